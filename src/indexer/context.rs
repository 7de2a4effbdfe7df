//! The state that the stages of the pipeline share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::crash_journal::CrashJournal;
use super::memory_plan::MemoryPlan;
use super::options::AddOptions;
use super::record::InFlightSet;
use super::throttle::Throttle;
use crate::encoder::Encoder;
use crate::media::DecodeLimits;
use crate::scan::ScannedFile;
use crate::store::ModelRow;
use crate::types::{ByteBudget, CancelToken, RootId};

/// A file that has to be read.
pub(super) struct FoundPath {
    pub root: RootId,
    pub root_path: Arc<Path>,
    pub file: ScannedFile,
}

/// The state that the stages of one run share.
pub(super) struct PipelineContext<'a> {
    pub database: PathBuf,
    pub model: ModelRow,
    pub options: &'a AddOptions,
    pub cancel: &'a CancelToken,
    pub in_flight: InFlightSet,
    pub memory_plan: MemoryPlan,
    pub encoder: &'a Encoder,
    /// Budget for file contents in memory.
    pub files: ByteBudget,
    /// Budget for decoded pixels in memory.
    pub pixels: ByteBudget,
    pub limits: DecodeLimits,
    pub crash_journal: CrashJournal,
    pub throttle: Throttle,
    /// The batch size that tuning has found to be the fastest.
    pub tuned_batch: Option<usize>,
    /// Number of files found so far.
    pub found: AtomicU64,
    pub waiting_paths: AtomicUsize,
    pub waiting_pictures: AtomicUsize,
}
