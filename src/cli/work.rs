//! Options of the commands that index: which files to read, and how.

use std::num::NonZeroUsize;
use std::time::Duration;

use imgidx::AddOptions;
use imgidx::media::DecodeLimits;
use imgidx::model::Device;
use imgidx::scan::ScanOptions;

use super::{number_in, one_of, parse_size};

/// Maximum number of workers or pictures. More would only exhaust the system.
pub(super) const MAX_COUNT: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");

#[derive(Debug, clap::Args)]
pub(super) struct ScanArgs {
    /// Exclude files and directories that match, in the syntax of .gitignore (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Include files and directories whose names start with a dot
    #[arg(long)]
    pub hidden: bool,
    /// Follow symbolic links
    #[arg(long)]
    pub follow_links: bool,
    /// Do not enter other file systems
    #[arg(long)]
    pub one_file_system: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct WorkArgs {
    /// Number of workers [default: what `tune` found, or one per core]
    #[arg(long, value_name = "N", value_parser = number_in(NonZeroUsize::MIN..=MAX_COUNT))]
    threads: Option<NonZeroUsize>,
    /// Pictures per batch of the model [default: what `tune` found, or what suits the device]
    #[arg(long, value_name = "N", value_parser = number_in(NonZeroUsize::MIN..=MAX_COUNT))]
    batch_size: Option<NonZeroUsize>,
    /// Memory limit for the whole process, such as 800M or 2G; a picture that needs more fails [default: 512M, more for
    /// large models and many cores]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Device to run the model on: auto, cpu, cuda, tensorrt, coreml, directml or openvino; `imgidx runtime` lists the
    /// available ones
    #[arg(long, value_name = "DEVICE", default_value_t = Device::Auto, value_parser = one_of(Device::ALL, Device::as_str), hide_possible_values = true)]
    pub device: Device,
    /// Milliseconds for measuring the features of a picture; what takes longer is left out [default: no limit]
    #[arg(long, value_name = "MS", value_parser = number_in(0..=86_400_000_u64))]
    feature_time: Option<u64>,
    /// Seconds of processor time for a picture, after which it fails
    #[arg(long, value_name = "SECONDS", default_value_t = DecodeLimits::TIME.as_secs(), value_parser = number_in(1..=86_400_u64))]
    picture_time: u64,
}

impl ScanArgs {
    pub(super) fn options(&self) -> ScanOptions {
        ScanOptions {
            exclude: self.exclude.clone(),
            hidden: self.hidden,
            follow_links: self.follow_links,
            one_file_system: self.one_file_system,
        }
    }
}

impl WorkArgs {
    pub(super) fn options(&self) -> AddOptions {
        AddOptions {
            threads: self.threads,
            batch_size: self.batch_size,
            memory: self.memory,
            device: self.device,
            feature_time: self.feature_time.map(Duration::from_millis),
            picture_time: Duration::from_secs(self.picture_time),
            ..AddOptions::default()
        }
    }
}
