//! Indexes directories with a progress line and stops cleanly after a number of seconds.
//!
//! ```sh
//! cargo run --release --example watch_progress -- 30 ./photos ./scans
//! ```

use std::time::{Duration, Instant};

use imgidx::{AddOptions, OpenOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().ok_or("usage: watch_progress SECONDS DIRECTORY…")?.parse()?;
    let directories: Vec<String> = arguments.collect();
    let deadline = Instant::now() + Duration::from_secs(seconds);

    let options = AddOptions::default();
    let cancel = options.cancel.clone();
    let mut index = OpenOptions::default().notice(|text| eprintln!("{text}")).open("watch_progress.db")?;
    let report = index.add_with_progress(&directories, &options, |progress| {
        eprint!("\r{} of {} files, {} failed", progress.done, progress.found, progress.failed);
        if Instant::now() > deadline {
            cancel.cancel();
        }
    })?;
    eprintln!();
    for failure in index.searcher().failures()? {
        println!("{}: {}", failure.path.display(), failure.reason);
    }
    println!("{} pictures in {:.1} s, interrupted: {}", report.embedded, report.seconds, report.interrupted);
    Ok(())
}
