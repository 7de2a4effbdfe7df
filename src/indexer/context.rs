//! What the stages of the pipeline share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::crash_journal::CrashJournal;
use super::engine::Engine;
use super::memory_plan::MemoryPlan;
use super::options::AddOptions;
use super::record::InFlightSet;
use super::throttle::Throttle;
use crate::media::DecodeLimits;
use crate::scan::ScannedFile;
use crate::store::ModelRow;
use crate::types::{ByteBudget, CancelToken, RootId};

/// A file that is to be read.
pub(super) struct FoundPath {
    pub root: RootId,
    pub root_path: Arc<Path>,
    pub file: ScannedFile,
}

/// Everything that the context share.
pub(super) struct PipelineContext<'a> {
    pub database: PathBuf,
    pub model: ModelRow,
    pub options: &'a AddOptions,
    pub cancel: &'a CancelToken,
    pub in_flight: InFlightSet,
    pub memory_plan: MemoryPlan,
    pub engine: &'a Engine,
    /// File contents that are in memory.
    pub files: ByteBudget,
    /// Decoded pixels that are in memory.
    pub pixels: ByteBudget,
    pub limits: DecodeLimits,
    pub crash_journal: CrashJournal,
    pub throttle: Throttle,
    /// The size of batches that was found to be the fastest.
    pub tuned_batch: Option<usize>,
    /// Files that were found so far.
    pub found: AtomicU64,
    pub waiting_paths: AtomicUsize,
    pub waiting_pictures: AtomicUsize,
}
