//! A daemon at the limits of the system: lost events, too few watches, drives that are pulled out, full disks.
//!
//! Most of the tests need a namespace in which an ordinary user may mount file systems and set limits. Where the system
//! does not allow one, they print that they were skipped.

use std::fs;

use serde_json::Value;

use crate::common::{Daemon, Sandbox, png, write};

fn log(sandbox: &Sandbox) -> Vec<Value> {
    let text = fs::read_to_string(sandbox.path("watch.log")).expect("it is there");
    assert!(!text.contains("panicked"), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn total(log: &[Value], count: &str) -> u64 {
    log.iter().filter(|line| line["event"] == "updated").filter_map(|line| line[count].as_u64()).sum()
}

#[test]
fn events_that_the_system_has_lost_are_made_up_for_by_a_scan() {
    let max_events =
        fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").ok().and_then(|text| text.trim().parse().ok());
    let Some(max_events @ ..=20_000_usize) = max_events else {
        eprintln!("skipped: the system queues too many events for any to be lost");
        return;
    };
    let sandbox = Sandbox::new();
    let content = png(1);
    for number in 0..8 {
        write(&sandbox.photo(format!("{number}.png")), &content);
    }
    let mut daemon = Daemon::start(&sandbox, &["photos"]);
    daemon.sync();
    // While the daemon is stopped, more events happen than the system queues. The last ones are certainly lost.
    daemon.signal("STOP");
    for number in 0..=max_events / 2 {
        let (from, to) = if number % 2 == 0 { ("0.png", "renamed.png") } else { ("renamed.png", "0.png") };
        fs::rename(sandbox.photo(from), sandbox.photo(to)).expect("it can be renamed");
    }
    write(&sandbox.photo("deep/in/a new folder.png"), &content);
    fs::remove_file(sandbox.photo("7.png")).expect("it is there");
    daemon.signal("CONT");
    daemon.wait_for("it has noticed", |daemon| daemon.logged("events-lost") > 0);
    daemon.wait_for("it has recovered", |daemon| daemon.logged("recovered") > 0);
    daemon.sync();
    assert!(daemon.events("degraded")[0]["why"].as_str().is_some_and(|why| why.contains("has lost events")));
    assert_eq!(daemon.status()["degraded"].as_array().map(Vec::len), Some(0));
    let names: Vec<_> = sandbox.present("photos.db").into_keys().collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(names.contains(&sandbox.photo("deep/in/a new folder.png")) && !names.contains(&sandbox.photo("7.png")));
    // Folders that were created meanwhile are watched.
    write(&sandbox.photo("deep/in/another.png"), &content);
    daemon.sync();
    assert_eq!(sandbox.present("photos.db").len(), 9);
    daemon.stop();
}

#[test]
fn folders_that_cannot_be_watched_are_scanned_and_that_is_told() {
    let sandbox = Sandbox::new();
    for seed in 0..12 {
        sandbox.draw(&format!("{seed:02}/a.png"), seed);
    }
    write(&sandbox.path("new.png"), &png(50));
    let Some(finished) = sandbox.in_namespace(
        r#"
        echo 6 > /proc/sys/user/max_inotify_watches
        start photos --poll-every 300ms
        $I daemon sync
        await '"event":"degraded"'
        $I daemon status
        cp new.png photos/11/new.png
        # There is no event for it.
        for _ in $(seq 100); do
            if $I list | grep -q 11/new.png; then break; fi
            sleep 0.1
        done
        $I list | grep 11/new.png
        stop
    "#,
    ) else {
        return;
    };
    let stdout = &finished.stdout;
    assert!(stdout.contains("scanned periodically: not all of its directories can be watched"), "{stdout}");
    let hint = "this user's limit of watched directories is reached; scanning it every 300ms instead; to raise the limit, run \
                `sudo sysctl fs.inotify.max_user_watches=1048576`";
    assert!(stdout.contains(hint), "{stdout}");
}

#[test]
fn a_system_that_gives_no_instance_leaves_scanning() {
    let sandbox = Sandbox::new();
    sandbox.draw("a.png", 1);
    write(&sandbox.path("new.png"), &png(50));
    let Some(finished) = sandbox.in_namespace(
        r#"
        echo 0 > /proc/sys/user/max_inotify_instances
        start photos --poll-every 300ms
        $I daemon sync
        cp new.png photos/new.png
        $I daemon sync
        $I list | grep new.png
        $I status
        stop
    "#,
    ) else {
        return;
    };
    assert!(finished.stdout.contains("sudo sysctl fs.inotify.max_user_instances=1024"), "{}", finished.stdout);
}

#[test]
fn a_drive_that_is_pulled_out_takes_no_rows_with_it() {
    let sandbox = Sandbox::new();
    for seed in 0..40 {
        write(&sandbox.path(format!("backup/{}/{seed}.png", seed % 4)), &png(seed));
    }
    let Some(finished) = sandbox.in_namespace(
        r#"
        mount -t tmpfs none photos
        cp -a backup/. photos/
        start photos --poll-every 300ms
        $I daemon sync
        umount photos
        await '"event":"offline"'
        $I daemon sync
        echo "rows $($I list | wc -l)"
        $I similar backup/1/1.png -k 3 --paths
        $I status | grep offline
        # Another, empty drive in its place.
        mount -t tmpfs none photos
        sleep 1
        echo "rows $($I list | wc -l)"
        cp -a backup/. photos/
        await '"event":"online"'
        $I daemon sync
        echo "rows $($I list | wc -l)"
        cp backup/0/0.png photos/copy.png
        $I daemon sync
        echo "rows $($I list | wc -l)"
        stop
        $I check
    "#,
    ) else {
        return;
    };
    let rows: Vec<&str> = finished.stdout.lines().filter(|line| line.starts_with("rows")).collect();
    assert_eq!(rows, ["rows 40", "rows 40", "rows 40", "rows 41"], "{}", finished.stdout);
    let log = log(&sandbox);
    assert_eq!((total(&log, "embedded"), total(&log, "missing")), (40, 0));
}

#[test]
fn a_full_disk_is_told_and_everything_is_done_when_there_is_room() {
    let sandbox = Sandbox::new();
    let content: Vec<Vec<u8>> = (0..200).map(png).collect();
    for number in 0..600 {
        write(&sandbox.photo(format!("{number}.png")), &content[number % 200]);
    }
    let Some(finished) = sandbox.in_namespace(
        r#"
        mkdir small
        mount -t tmpfs -o size=2m none small
        I="$PROGRAM --db small/photos.db"
        $PROGRAM --db small/photos.db --json watch photos 2>> watch.log & DAEMON=$!
        trap 'kill -9 $DAEMON 2> /dev/null || true' EXIT
        await '"event":"watching"'
        await 'no space is left'
        $I daemon status | grep degraded
        mount -o remount,size=64m small
        await '"event":"recovered"'
        $I daemon sync
        echo "rows $($I list | wc -l)"
        stop
        $I check
    "#,
    ) else {
        return;
    };
    assert!(finished.stdout.contains("rows 600"), "{}", finished.stdout);
}
