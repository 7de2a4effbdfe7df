//! `imgidx tune`

use std::path::PathBuf;

use imgidx::index::{Trialed, TuneOptions, TuneReport, Tuned};
use imgidx::model::Device;
use imgidx::{CancelToken, Error, Result};
use serde_json::{Value, json};

use super::output::{Done, Failure, Out, count, object};
use super::{Global, add, plot};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Try with pictures of these directories [default: those of the index]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Try again, also if a choice is remembered
    #[arg(long)]
    again: bool,
    /// Try every combination, and not only those that lead to the best
    #[arg(long)]
    full: bool,
    /// Pictures to try with
    #[arg(long, value_name = "N", default_value_t = TuneOptions::default().pictures, value_parser = parse_pictures)]
    pictures: usize,
    /// Where the model may run; auto tries all devices that ONNX Runtime offers, but tensorrt
    #[arg(long, value_name = "DEVICE", default_value_t = Device::Auto)]
    device: Device,
    /// Draw the speed of every combination into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    // Without an index there is a model all the same; nothing is written to the database.
    let scratch = tempfile::tempdir().map_err(Error::io("make a folder in", &std::env::temp_dir()))?;
    let index = match global.open_existing(None) {
        Err(Error::NoIndex { .. }) => global.options(None).open(scratch.path().join("empty.db"))?,
        other => other?,
    };
    let asks_anew = args.again || args.full || args.plot.is_some() || !args.paths.is_empty();
    if let Some(tuned) = index.tuned(args.device)?.filter(|_| !asks_anew) {
        global.note("remembered; `imgidx tune --again` tries again");
        return tell_remembered(global, &tuned);
    }
    let cancel = CancelToken::default();
    add::cancel_on_interrupt(&cancel);
    let options = TuneOptions {
        device: args.device,
        pictures: args.pictures,
        full: args.full || args.plot.is_some(),
        cancel,
        ..TuneOptions::default()
    };
    let mut out = Out::new();
    let (mut broken, mut rows) = (None, 0);
    let report = index.tune(&args.paths, &options, |trialed| {
        if !global.json && broken.is_none() {
            let head = if rows == 0 { out.line(HEAD) } else { Ok(()) };
            rows += 1;
            broken = head.and_then(|()| out.line(row(trialed))).and_then(|()| out.flush()).err();
            if broken.is_some() {
                // Nobody reads what would be found.
                options.cancel.cancel();
            }
        }
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    let report = report.map_err(|error| match error {
        Error::Interrupted => Error::Invalid("interrupted: nothing is remembered".into()),
        other => other,
    })?;
    if let Some(path) = &args.plot {
        plot::write(path, &report.trials).map_err(Error::io("write", path))?;
    }
    tell(global, out, &report)
}

const HEAD: &str = "device     workers  threads  batch  images/s";

fn row(trialed: &Trialed) -> String {
    let setting = &trialed.setting;
    let (workers, threads, batch) = (setting.workers, setting.model_threads, setting.batch_size);
    format!("{:<9}{workers:>9}{threads:>9}{batch:>7}{:>10.1}", setting.device, trialed.images_per_second)
}

fn tell(global: &Global, mut out: Out, report: &TuneReport) -> Result<Done, Failure> {
    for (device, reason) in &report.unusable {
        global.note(&format!("{device} cannot be used: {reason}"));
    }
    if report.drawn {
        global.note("tried with drawn pictures, because none are indexed; give a directory to try with yours");
    }
    if global.json {
        let mut fields = object(serde_json::to_value(report).expect("a report is plain data"));
        let unusable = report.unusable.iter().map(|(device, why)| json!({"device": device, "reason": why}));
        fields.insert("unusable".into(), unusable.collect::<Value>());
        out.document(fields)?;
    } else {
        let (pictures, seconds) = (count(report.pictures as u64, "picture"), report.seconds);
        out.line(format_args!("best: {}, of {pictures} in {seconds:.1} s; remembered", words(&report.best)))?;
    }
    Ok(out.finish().map(|()| Done::All)?)
}

fn tell_remembered(global: &Global, tuned: &Tuned) -> Result<Done, Failure> {
    let mut out = Out::new();
    if global.json {
        out.document(object(json!({"remembered": tuned})))?;
    } else {
        out.line(format_args!("best: {}", words(&tuned.best)))?;
    }
    Ok(out.finish().map(|()| Done::All)?)
}

fn words(best: &Trialed) -> String {
    let setting = &best.setting;
    let (workers, threads) = (count(setting.workers as u64, "worker"), count(setting.model_threads as u64, "thread"));
    let (device, batch, rate) = (setting.device, setting.batch_size, best.images_per_second);
    format!("{workers} and sessions of {threads} on {device}, batches of {batch}: {rate:.1} images/s")
}

fn parse_pictures(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| (1..=10_000).contains(count)).ok_or(format!("`{text}` is not from 1 to 10000"))
}
