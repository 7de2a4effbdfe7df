//! `imgidx tune`

use std::path::PathBuf;

use imgidx::documents::Remembered;
use imgidx::index::{Measurement, TuneOptions, TuneReport, UnusableDevice};
use imgidx::model::Device;
use imgidx::{Error, Result};

use super::output::{Done, Failure, Out, count};
use super::{Global, add, number_in, one_of};

const EXAMPLES: &str = examples![
    "Measure with the indexed pictures, or show what is remembered" => "imgidx tune",
    "Measure again with 48 pictures of a directory" => "imgidx tune --pictures 48 ~/Pictures",
];

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directories with pictures to measure with [default: those of the index]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Measure again, even if settings are remembered
    #[arg(long)]
    again: bool,
    /// Number of pictures to measure with
    #[arg(long, value_name = "N", default_value_t = TuneOptions::default().pictures, value_parser = number_in(1..=10_000_usize))]
    pictures: usize,
    /// Device to run the model on; auto measures all that ONNX Runtime offers, except tensorrt
    #[arg(long, value_name = "DEVICE", default_value_t = Device::Auto, value_parser = one_of(Device::ALL, Device::as_str), hide_possible_values = true)]
    device: Device,
}

pub(super) fn run(global: &Global, args: Args) -> Result<Done, Failure> {
    // Tuning needs a model but no index, and writes nothing to the database, so an empty one is enough.
    let (_scratch, index) = global.open_or_empty(None)?;
    let must_measure = args.again || !args.paths.is_empty();
    if let Some(tuned) = index.tuned(args.device)?.filter(|_| !must_measure) {
        global.note("these settings are remembered; `imgidx tune --again` measures again");
        let best = describe(&tuned.best);
        return global.print(|| Remembered { remembered: tuned }, |out| out.line(format_args!("best: {best}")));
    }
    let options = TuneOptions { device: args.device, pictures: args.pictures, cancel: add::cancel_on_interrupt() };
    let mut out = Out::new();
    let (mut broken, mut rows) = (None, 0);
    let report = index.tune(&args.paths, &options, |measurement| {
        if !global.json && broken.is_none() {
            let head = if rows == 0 { out.line(HEAD) } else { Ok(()) };
            rows += 1;
            broken = head.and_then(|()| out.line(row(measurement))).and_then(|()| out.flush()).err();
            if broken.is_some() {
                // The reader of the output is gone, so stop measuring.
                options.cancel.cancel();
            }
        }
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    let report = report.map_err(|error| match error {
        Error::Interrupted => Error::Invalid("interrupted; no settings are remembered".into()),
        other => other,
    })?;
    print_report(global, out, &report)
}

const HEAD: &str = "device     workers  threads  batch  images/s";

fn row(measurement: &Measurement) -> String {
    let setting = &measurement.setting;
    let (workers, threads, batch) = (setting.workers, setting.model_threads, setting.batch_size);
    format!("{:<9}{workers:>9}{threads:>9}{batch:>7}{:>10.1}", setting.device, measurement.images_per_second)
}

fn print_report(global: &Global, mut out: Out, report: &TuneReport) -> Result<Done, Failure> {
    for UnusableDevice { device, reason } in &report.unusable {
        global.note(&format!("{device} cannot be used: {reason}"));
    }
    if report.drawn {
        global.note("measured with generated pictures, because none are indexed; give a directory to use your own");
    }
    if global.json {
        out.document(report)?;
    } else {
        out.line("the fastest, measured again:")?;
        report.finalists.iter().try_for_each(|finalist| out.line(row(finalist)))?;
        let (pictures, seconds) = (count(report.pictures as u64, "picture"), report.seconds);
        out.line(format_args!(
            "best: {}; measured with {pictures} in {seconds:.1} s and remembered",
            describe(&report.best)
        ))?;
    }
    out.finish()
}

fn describe(best: &Measurement) -> String {
    let setting = &best.setting;
    let (workers, threads) = (count(setting.workers as u64, "worker"), count(setting.model_threads as u64, "thread"));
    let (device, batch, rate) = (setting.device, setting.batch_size, best.images_per_second);
    format!("{workers} with {threads} each on {device}, batches of {batch}: {rate:.1} images/s")
}
