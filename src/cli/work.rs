//! Options of commands that index: which files, and how.

use std::num::NonZeroUsize;
use std::time::Duration;

use imgidx::AddOptions;
use imgidx::media::DecodeLimits;
use imgidx::model::Device;
use imgidx::scan::ScanOptions;

use super::parse_size;

#[derive(Debug, clap::Args)]
pub(super) struct ScanArgs {
    /// Leave out what matches, as in .gitignore; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Look at names with a dot at the front too
    #[arg(long)]
    pub hidden: bool,
    /// Follow symbolic links
    #[arg(long)]
    pub follow_links: bool,
    /// Stay on the file system of each directory
    #[arg(long)]
    pub one_file_system: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct WorkArgs {
    /// Workers [default: what `tune` has found, or one for each core]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    threads: Option<NonZeroUsize>,
    /// Pictures that go through the model at once [default: what `tune` has found, or what suits the device]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    batch_size: Option<NonZeroUsize>,
    /// Memory that all of it may take, such as 800M or 2G; pictures wait for room, and one that needs more by itself
    /// fails [default: 512M, and more for large models and many cores]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Run the model there: auto, cpu, cuda, tensorrt, coreml, directml or openvino; `imgidx runtime` tells which can be used
    #[arg(long, value_name = "DEVICE", default_value_t = Device::Auto)]
    pub device: Device,
    /// Milliseconds to measure features in, for each picture; what there is no time for is left out
    #[arg(long, value_name = "MS")]
    feature_time: Option<u64>,
    /// Seconds of a processor's time that one picture may take
    #[arg(long, value_name = "SECONDS", default_value_t = DecodeLimits::TIME.as_secs(), value_parser = clap::value_parser!(u64).range(1..=86_400))]
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

/// Reads a number of workers or pictures: more than this would only exhaust the system.
fn parse_count(text: &str) -> Result<NonZeroUsize, String> {
    const MAX_COUNT: usize = 1024;
    let count: NonZeroUsize = text.parse().map_err(|_| format!("`{text}` is not a number from 1 to {MAX_COUNT}"))?;
    if count.get() > MAX_COUNT { Err(format!("{count} is more than {MAX_COUNT}")) } else { Ok(count) }
}
