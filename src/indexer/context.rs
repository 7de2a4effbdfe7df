//! The state that the stages of the pipeline share.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use crossbeam_channel::SendError;
use parking_lot::Mutex;

use super::crash_journal::CrashJournal;
use super::memory_plan::MemoryPlan;
use super::options::AddOptions;
use super::throttle::Throttle;
use crate::encoder::Encoder;
use crate::error::Error;
use crate::media::DecodeLimits;
use crate::store::ModelRow;
use crate::types::{ByteBudget, CancelToken, ContentHash};

/// The state that the stages of one run share.
pub(super) struct PipelineContext<'a> {
    pub database: PathBuf,
    pub model: ModelRow,
    pub options: &'a AddOptions,
    pub cancel: &'a CancelToken,
    /// Contents that are being processed, so that a second file with the same content is not decoded too.
    pub in_flight: Mutex<HashSet<ContentHash>>,
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

/// The error of a stage whose results nobody receives any more.
pub(super) fn ended_early<T>(_: SendError<T>) -> Error {
    Error::Interrupted
}
