//! Traces all logos and drawings in a directory to SVG and prints the quality of each trace.
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
            // The file is a photograph or not a picture, so there is nothing to trace.
            None => {}
            Some(Err(error)) => eprintln!("{error}"),
            Some(Ok(traced)) => {
                let bytes = traced.svg.len();
                println!("{:.1}  {bytes} bytes  {}", traced.quality.ssimulacra2, step.path.display());
            }
        }
        Ok(())
    })?;
    println!("{} traced, {} of them reused from earlier runs", report.traced, report.stored);
    Ok(())
}
