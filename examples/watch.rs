//! Keeps an index current with a folder and prints what happens, until the folder has been quiet for 20 seconds.
//!
//! ```sh
//! cargo run --release --example watch -- ~/Pictures
//! ```

use std::time::{Duration, Instant};

use imgidx::Index;
use imgidx::watch::{Activity, WatchEvent, WatchOptions, Watcher};

fn main() -> imgidx::Result<()> {
    let folder = std::env::args_os().nth(1).unwrap_or_else(|| ".".into());
    let index = Index::open("watched.db")?;
    let watcher = Watcher::new(index, &[folder.into()], WatchOptions::default())?;
    // `Watcher::run` blocks this thread; other threads control it through this handle.
    let control = watcher.control();
    std::thread::spawn(move || {
        let mut busy = Instant::now();
        while busy.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_secs(1));
            if control.status().activity != Activity::Idle {
                busy = Instant::now();
            }
        }
        control.stop();
    });
    watcher.run(|event| match event {
        WatchEvent::Ready { roots, folders } => println!("watching {roots} roots with {folders} folders"),
        WatchEvent::Updated(report) => {
            println!(
                "{} new, {} changed, {} moved, {} missing",
                report.new, report.changed, report.moved, report.missing
            );
        }
        WatchEvent::Offline(root) => println!("`{}` is offline", root.display()),
        WatchEvent::Degraded(why) => println!("degraded: {why}"),
        _ => {}
    })
}
