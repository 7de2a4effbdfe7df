//! Renamed files, and files that are missing or seem to be.

use std::fs;

use imgidx::AddOptions;
use imgidx::scan::ScanOptions;

use crate::common::{Sandbox, png};

#[test]
fn a_renamed_folder_is_not_read_again() {
    let sandbox = Sandbox::new();
    for seed in 0..5 {
        sandbox.draw(&format!("old/{seed}.png"), seed);
    }
    fs::write(sandbox.photo("old/text.txt"), "dear diary").expect("a file");
    if sandbox.photo("old/0.png").metadata().and_then(|metadata| metadata.created()).is_err() {
        eprintln!("skipped: this file system does not record when a file was created");
        return;
    }
    // Rows of files that were read in the same clock tick as they changed are not trusted.
    std::thread::sleep(std::time::Duration::from_millis(25));
    sandbox.add();
    let (before, photos) = (sandbox.rows(), sandbox.photos());
    fs::rename(photos.join("old"), photos.join("new")).expect("it can be renamed");
    // Zeros with the old size and time: if they were read, the file would not count as moved.
    let unreadable = sandbox.photo("new/3.png");
    let content = fs::read(&unreadable).expect("it is there");
    let modified = unreadable.metadata().and_then(|metadata| metadata.modified()).expect("it has a time");
    let file = fs::File::options().write(true).open(&unreadable).expect("it is there");
    std::io::Write::write_all(&mut &file, &vec![0; content.len()]).expect("it can be written");
    file.set_modified(modified).expect("a time");
    let report = sandbox.add();
    assert_eq!((report.moved, report.skipped, report.missing, report.embedded), (6, 0, 0, 0), "{report:?}");
    let renamed: Vec<_> =
        before.into_iter().map(|(path, hash, missing)| (path.replace("old/", "new/"), hash, missing)).collect();
    assert_eq!(sandbox.rows(), renamed);
}

#[test]
fn a_new_file_with_the_number_and_the_times_of_a_deleted_one_is_read() {
    let sandbox = Sandbox::new();
    let old = sandbox.draw("old.png", 1);
    let modified = old.metadata().and_then(|metadata| metadata.modified()).expect("it has a time");
    std::thread::sleep(std::time::Duration::from_millis(25));
    sandbox.add();
    let number = old.metadata().map(|metadata| inode(&metadata)).expect("it is there");
    fs::remove_file(&old).expect("it is there");
    // A different content of the same length.
    let mut content = png(1);
    *content.last_mut().expect("it has bytes") ^= 1;
    for attempt in 0..50 {
        let new = sandbox.photo(format!("new{attempt}.png"));
        fs::write(&new, &content).expect("a file");
        fs::File::options().append(true).open(&new).and_then(|file| file.set_modified(modified)).expect("a time");
        if new.metadata().is_ok_and(|metadata| inode(&metadata) == number) {
            let report = sandbox.add();
            assert_eq!((report.moved, report.new + report.failed), (0, attempt + 1), "{report:?}");
            return;
        }
    }
    eprintln!("skipped: this file system does not give numbers again");
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[test]
fn a_root_that_loses_most_of_its_files_at_once_is_not_believed_until_prune_says_so() {
    let sandbox = Sandbox::new();
    for number in 0..160_u8 {
        sandbox.draw(&format!("{}/{number}.png", number % 4), number);
    }
    sandbox.add();
    for folder in ["0", "1", "2"] {
        fs::remove_dir_all(sandbox.photo(folder)).expect("it can be removed");
    }
    let report = sandbox.add();
    assert_eq!(report.missing, 0);
    assert_eq!(report.vanished.iter().map(|it| (it.files, it.of)).collect::<Vec<_>>(), [(120, 160)]);
    assert!(sandbox.rows().iter().all(|(_, _, missing)| !missing));
    let status = sandbox.run_on_index(&["status"]).code(0);
    assert!(status.stdout.contains("120 files disappeared at once"), "{}", status.stdout);

    // Some files are back, so that few enough are missing to be recorded as missing.
    for number in (0..160_u8).filter(|number| number % 4 == 0) {
        sandbox.draw(&format!("{}/{number}.png", number % 4), number);
    }
    let report = sandbox.add();
    assert_eq!((report.missing, report.vanished.len(), report.embedded), (80, 0, 0), "{report:?}");
}

#[test]
fn what_vanishes_in_steps_vanishes_at_once_too() {
    let sandbox = Sandbox::new();
    for number in 0..300_u16 {
        let folder = if number < 120 {
            "a"
        } else if number < 225 {
            "b"
        } else {
            "c"
        };
        sandbox.draw(&format!("{folder}/{number}.png"), (number % 200) as u8);
    }
    sandbox.add();
    fs::remove_dir_all(sandbox.photo("a")).expect("it can be removed");
    assert_eq!(sandbox.add().missing, 120, "fewer than half of the files are held back");
    fs::remove_dir_all(sandbox.photo("b")).expect("it can be removed");
    let report = sandbox.add();
    assert_eq!((report.missing, report.vanished[0].files, report.vanished[0].of), (0, 105, 300));
    // A few more at a time are held back too.
    for number in 225..250 {
        fs::remove_file(sandbox.photo(format!("c/{number}.png"))).expect("it is there");
    }
    let report = sandbox.add();
    assert_eq!((report.missing, report.vanished[0].files), (0, 130));
}

#[test]
fn prune_confirms_that_what_vanished_is_gone() {
    let sandbox = Sandbox::new();
    for number in 0..150_u8 {
        sandbox.draw(&format!("{}/{number}.png", number % 5), number);
    }
    sandbox.add();
    for folder in ["0", "1", "2", "3"] {
        fs::remove_dir_all(sandbox.photo(folder)).expect("it can be removed");
    }
    assert_eq!(sandbox.add().vanished.len(), 1);
    // One of the files comes back before the confirmation.
    sandbox.draw("1/1.png", 1);
    let pruned = sandbox.run_on_index(&["prune"]).code(0);
    assert_eq!(pruned.stdout, "removed 119 missing files and the data of 119 pictures from the index\n");
    assert_eq!(sandbox.rows().len(), 31);
    assert!(sandbox.open().searcher().status().expect("a state").roots.iter().all(|root| root.vanished == 0));
    let report = sandbox.add();
    assert_eq!((report.new, report.embedded, report.vanished.len()), (0, 0, 0), "{report:?}");
}

#[cfg(unix)]
#[test]
fn what_is_behind_a_link_now_is_not_what_was_there() {
    let sandbox = Sandbox::new();
    sandbox.draw("a/b.png", 1);
    sandbox.draw("c.png", 2);
    sandbox.add();
    fs::rename(sandbox.photo("a"), sandbox.path("elsewhere")).expect("it can be renamed");
    std::os::unix::fs::symlink(sandbox.path("elsewhere"), sandbox.photo("a")).expect("a link");
    assert_eq!(sandbox.add().missing, 1);
    let followed = AddOptions { scan: ScanOptions { follow_links: true, ..Default::default() }, ..Default::default() };
    let report = sandbox.add_with(&followed);
    assert_eq!((report.unchanged, report.embedded), (2, 0), "{report:?}");
}

#[test]
fn a_file_that_has_become_a_folder_and_the_other_way_round() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b/c.png", 2);
    sandbox.add();
    fs::remove_file(sandbox.photo("a.png")).expect("it is there");
    fs::remove_dir_all(sandbox.photo("b")).expect("it is there");
    sandbox.draw("a.png/d.png", 3);
    sandbox.draw("b", 4);
    let mut index = sandbox.open();
    let report =
        index.add([sandbox.photo("a.png"), sandbox.photo("b")], &AddOptions::default()).expect("they can be indexed");
    assert_eq!((report.new, report.missing), (2, 2), "{report:?}");
}
