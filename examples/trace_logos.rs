//! Makes SVGs of all logos and drawings in a directory, and tells how good they are.
//!
//! ```sh
//! cargo run --release --example trace_logos -- ./logos
//! ```

use imgidx::{Index, Tier, TraceOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(directory) = std::env::args_os().nth(1) else { return Err("usage: trace_logos DIRECTORY".into()) };
    let index = Index::open("trace_logos.db")?;
    let report = index.trace([directory], &TraceOptions::of(Tier::Balanced), |step| {
        match step.result {
            // Among the pictures there may be photographs, and what is no picture at all.
            None => {}
            Some(Err(error)) => eprintln!("{error}"),
            Some(Ok(traced)) => {
                let bytes = traced.svg.len();
                println!("{:.1}  {bytes} bytes  {}", traced.quality.ssimulacra2, step.path.display());
            }
        }
        Ok(())
    })?;
    println!("{} traced, {} of them known from before", report.traced, report.stored);
    Ok(())
}
