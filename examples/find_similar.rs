//! Indexes a directory and prints the pictures most like a given one.
//!
//! ```sh
//! cargo run --release --example find_similar -- ./photos ./photos/logo.png
//! ```

use imgidx::{AddOptions, Index, Query};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(picture)) = (arguments.next(), arguments.next()) else {
        return Err("usage: find_similar DIRECTORY PICTURE".into());
    };
    let mut index = Index::open("find_similar.db")?;
    let report = index.add([directory], &AddOptions::default())?;
    println!("{} new, {} unchanged, {} failed", report.new, report.unchanged, report.failed);
    for hit in index.searcher().similar(&Query::image(picture), 10)? {
        println!("{:.3}  {}", hit.score, hit.path.display());
    }
    Ok(())
}
