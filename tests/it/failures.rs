//! Pictures that cannot be indexed: reported with a reason, remembered, and tried again when that makes sense.

use std::fs;

use imgidx::AddOptions;
use imgidx::index::{PruneOptions, Pruned};
use imgidx::types::Stage;

use crate::common::{Sandbox, png, write};

#[test]
fn a_failure_is_remembered_by_its_content() {
    let sandbox = Sandbox::new();
    let broken = [&png(1)[..60], b"garbage"].concat();
    write(&sandbox.photo("broken.png"), &broken);
    sandbox.draw("good.png", 2);
    let report = sandbox.add();
    assert_eq!((report.new, report.failed), (1, 1));
    let failures = sandbox.open().searcher().failures().expect("failures");
    assert_eq!((failures.len(), failures[0].stage, failures[0].attempts), (1, Stage::Decode, 1));
    assert_eq!(failures[0].path, sandbox.photo("broken.png"));
    assert!(!failures[0].reason.is_empty());

    // The content is not tried again, under this name or another.
    write(&sandbox.photo("copy.png"), &broken);
    let report = sandbox.add();
    assert_eq!((report.failed, report.known_failures), (1, 1));
    let failures = sandbox.open().searcher().failures().expect("failures");
    assert_eq!(failures.iter().map(|failure| failure.attempts).collect::<Vec<_>>(), [1, 1]);

    let retry = AddOptions { retry_failed: true, ..AddOptions::default() };
    assert_eq!(sandbox.add_with(&retry).failed, 2);
    assert_eq!(sandbox.open().searcher().failures().expect("failures")[0].attempts, 2);

    // A repaired file is a new content.
    write(&sandbox.photo("broken.png"), &png(3));
    fs::remove_file(sandbox.photo("copy.png")).expect("it is there");
    let report = sandbox.add();
    assert_eq!((report.changed, report.failed), (1, 0));
    assert_eq!(sandbox.open().searcher().failures().expect("failures"), []);
}

#[test]
fn an_empty_picture_file_is_a_failure_with_a_reason() {
    let sandbox = Sandbox::new();
    write(&sandbox.photo("empty.jpg"), b"");
    assert_eq!(sandbox.add().failed, 1);
    let failures = sandbox.open().searcher().failures().expect("failures");
    assert_eq!((failures[0].stage, failures[0].reason.as_str()), (Stage::Read, "the file is empty"));
    write(&sandbox.photo("empty.jpg"), &png(1));
    assert_eq!(sandbox.add().failed, 0);
    assert_eq!(sandbox.open().searcher().failures().expect("failures"), []);
}

#[test]
fn a_picture_too_large_for_the_memory_fails_alone() {
    let sandbox = Sandbox::new();
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbaImage::new(2000, 2000).write_to(&mut bytes, image::ImageFormat::Gif).expect("it encodes");
    write(&sandbox.photo("large.gif"), &bytes.into_inner());
    sandbox.draw("small.png", 1);
    let small = AddOptions { memory: Some(8 << 20), ..AddOptions::default() };
    let report = sandbox.add_with(&small);
    assert_eq!((report.new, report.failed), (1, 1));
    let failures = sandbox.open().searcher().failures().expect("failures");
    assert!(failures[0].reason.contains("--memory"), "{}", failures[0].reason);
    let retry = AddOptions { retry_failed: true, ..AddOptions::default() };
    assert_eq!(sandbox.add_with(&retry).failed, 0);
    assert_eq!(sandbox.open().searcher().failures().expect("failures"), []);
}

#[cfg(unix)]
#[test]
fn what_may_not_be_read_is_told_and_its_neighbours_are_indexed() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
    };
    let sandbox = Sandbox::new();
    sandbox.draw("good.png", 1);
    sandbox.draw("closed/inside.png", 2);
    let secret = sandbox.draw("secret.png", 3);
    sandbox.add();
    let closed = sandbox.photo("closed");
    mode(&closed, 0o000);
    mode(&secret, 0o000);
    if fs::read(&secret).is_ok() {
        eprintln!("skipped: this user may read everything");
        mode(&closed, 0o755);
        return;
    }
    let report = sandbox.add();
    mode(&closed, 0o755);
    mode(&secret, 0o644);
    assert_eq!((report.failed, report.missing), (2, 0), "an unreadable folder is taken for an empty one");
    let stages: Vec<_> =
        sandbox.open().searcher().failures().expect("failures").iter().map(|failure| failure.stage).collect();
    assert_eq!(stages, [Stage::Scan, Stage::Read]);
    let report = sandbox.add();
    assert_eq!((report.failed, report.embedded), (0, 0));
    assert_eq!(sandbox.open().searcher().failures().expect("failures"), []);
}

#[cfg(unix)]
#[test]
fn links_in_circles_end() {
    let sandbox = Sandbox::new();
    sandbox.draw("a/b.png", 1);
    std::os::unix::fs::symlink("..", sandbox.photo("a/up")).expect("a link");
    std::os::unix::fs::symlink("self", sandbox.photo("self")).expect("a link");
    let scan = imgidx::scan::ScanOptions { follow_links: true, ..Default::default() };
    let report = sandbox.add_with(&AddOptions { scan, ..AddOptions::default() });
    assert_eq!((report.new, report.failed), (1, 0));
}

#[test]
fn a_damaged_vector_is_found_and_made_again() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    sandbox.draw("b.png", 2);
    sandbox.add();
    let database = sandbox.tamper();
    let damage = "UPDATE embedding SET vector = zeroblob(length(vector)) WHERE id = 1";
    assert_eq!(database.execute(damage, []).expect("it can be damaged"), 1);
    drop(database);
    let found = sandbox.run(&["--db", "photos.db", "check"]).code(1);
    assert!(found.stdout.contains("embedding 1: the vector does not match its checksum"), "{}", found.stdout);
    let mut index = sandbox.open();
    let problems = index.check(true).expect("it can be checked");
    assert_eq!(problems.iter().map(|problem| problem.repaired).collect::<Vec<_>>(), [true]);
    let report = sandbox.add();
    assert_eq!((report.embedded, report.unchanged), (1, 2));
    assert_eq!(index.check(false).expect("it can be checked"), []);
}

#[test]
fn failures_go_with_their_files() {
    let sandbox = Sandbox::new();
    sandbox.draw("good.png", 1);
    write(&sandbox.photo("empty.jpg"), b"");
    write(&sandbox.photo("broken.gif"), b"GIF89a");
    assert_eq!(sandbox.add().failed, 2);
    fs::remove_file(sandbox.photo("empty.jpg")).expect("it is there");
    fs::remove_file(sandbox.photo("broken.gif")).expect("it is there");
    assert_eq!(sandbox.add().missing, 2);
    let index = sandbox.open();
    assert_eq!(
        (index.searcher().failures().expect("failures").len(), index.searcher().status().expect("a status").failures),
        (0, 0)
    );
    let removed = Pruned { files: 2, images: 1, ..Pruned::default() };
    assert_eq!(index.prunable(&PruneOptions::default()).expect("numbers"), removed);
    assert_eq!(sandbox.open().prune(&PruneOptions::default()).expect("it can be pruned"), removed);
}

#[test]
fn copies_of_a_failure_are_all_mended_by_one_retry() {
    let sandbox = Sandbox::new();
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbaImage::new(2000, 2000).write_to(&mut bytes, image::ImageFormat::Gif).expect("it encodes");
    for name in ["a.gif", "b.gif", "c.gif"] {
        write(&sandbox.photo(name), bytes.get_ref());
    }
    let small = AddOptions { memory: Some(8 << 20), ..AddOptions::default() };
    assert_eq!(sandbox.add_with(&small).failed, 3);
    let retry = AddOptions { retry_failed: true, ..AddOptions::default() };
    let report = sandbox.add_with(&retry);
    assert_eq!((report.failed, report.embedded, report.unchanged), (0, 1, 3));
}

#[test]
fn a_content_that_ended_the_program_twice_is_left_out() {
    let sandbox = Sandbox::new();
    sandbox.draw("good.png", 1);
    sandbox.draw("deadly.png", 2);
    let hash = imgidx::types::ContentHash::of(&png(2));
    // The crash journal of two runs that ended while they decoded it: the hash, and the number of attempts.
    write(&sandbox.path("photos.db-inflight"), &[hash.as_bytes().as_slice(), &[2]].concat());
    let report = sandbox.add();
    assert_eq!((report.new, report.failed), (1, 1));
    let failures = sandbox.open().searcher().failures().expect("failures");
    assert!(failures[0].reason.contains("the program ended"), "{}", failures[0].reason);
    assert!(!sandbox.path("photos.db-inflight").exists());
    let retry = AddOptions { retry_failed: true, ..AddOptions::default() };
    assert_eq!(sandbox.add_with(&retry).failed, 0);
}

#[test]
fn without_a_runtime_an_add_ends_with_the_reason_however_little_memory_there_is() {
    let sandbox = Sandbox::new();
    for seed in 0..40 {
        let noise = image::RgbImage::from_fn(300, 300, |x, y| {
            image::Rgb([x, y, seed].map(|v| (v.wrapping_mul(2_654_435_761) >> 13) as u8))
        });
        noise.save(sandbox.photo(format!("{seed}.bmp"))).expect("a picture");
    }
    let broken = sandbox.path("broken.so");
    write(&broken, b"no library");
    let arguments = ["--runtime", "broken.so", "add", "photos", "--memory", "2M", "--threads", "2"];
    let failed = sandbox.run(&arguments).code(1);
    assert!(
        failed.stderr.contains("no usable ONNX Runtime") && failed.stderr.contains("broken.so"),
        "{}",
        failed.stderr
    );
}

#[test]
fn a_known_picture_that_is_too_large_for_this_run_stays_known() {
    let sandbox = Sandbox::new();
    let noise = image::RgbImage::from_fn(1800, 1800, |x, y| {
        image::Rgb([x * 7919, y * 104_729, x * y].map(|v| (v.wrapping_mul(2_654_435_761) >> 11) as u8))
    });
    noise.save(sandbox.photo("large.bmp")).expect("a picture");
    assert_eq!(sandbox.add().new, 1);
    let file = fs::File::options().write(true).open(sandbox.photo("large.bmp")).expect("it is there");
    file.set_modified(std::time::SystemTime::now()).expect("it can be touched");
    let small = AddOptions { memory: Some(4 << 20), ..AddOptions::default() };
    assert_eq!(sandbox.add_with(&small).failed, 1);
    let index = sandbox.open();
    assert_eq!(index.searcher().status().expect("a status").counts.images, 1, "it can still be found");
    assert_eq!(index.searcher().failures().expect("failures")[0].reason, "the file is 10 MiB; the limit is 8 MiB");
    assert_eq!(sandbox.add().failed, 0, "and is tried again by itself");
    assert_eq!(index.searcher().failures().expect("failures"), []);
}
