//! Divides a memory limit among the stages of the pipeline.

use super::concurrency::Concurrency;
use crate::model::{Element, Model};

/// Bytes for one worker: a session without its graph, and its pictures of usual size.
const WORKER_BYTES: u64 = 10 << 20;

/// Queue length for decoded pictures, per worker. With a shorter queue, preprocessors would wait while workers are
/// busy, and leave a core idle.
pub(super) const QUEUED_PER_WORKER: usize = 4;

/// Size of the activations that are alive at the same time, in multiples of the input. Measured with the built-in
/// model: 2.8 MiB per picture, with an input of 0.15 MiB.
const ACTIVATIONS: u64 = 20;

/// Minimum number of bytes for files and pixels, even beyond the limit: with less, nothing could be decoded.
const MIN_BUFFERS: u64 = 24 << 20;

/// The default limit, unless the model needs more.
const DEFAULT_LIMIT: u64 = 512 << 20;

/// The resources of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    pub concurrency: Concurrency,
    /// Bytes for files that are read and not yet decoded.
    pub files: u64,
    /// Bytes for pixels that are being decoded and scaled.
    pub pixels: u64,
    /// Bytes that the program and the model need in addition to files and pixels.
    pub fixed: u64,
    /// Limit for the sum, in bytes.
    pub limit: u64,
}

impl MemoryPlan {
    /// Bytes for the program, ONNX Runtime, the caches of the database, and the queues between the stages. Measured
    /// with one worker and an empty database: 46 MiB; four connections may fill 8 MiB of cache each.
    pub(super) const PROGRAM_BYTES: u64 = 72 << 20;

    /// Divides a limit among these workers, or among fewer with smaller batches if the limit is too low for them.
    /// Without a limit, all workers get enough memory, within half of the machine's memory.
    pub(super) fn within(limit: Option<u64>, mut concurrency: Concurrency, model: &Model, own_sessions: bool) -> Self {
        let cost = Cost::of(model, own_sessions);
        let limit = limit.unwrap_or_else(|| cost.default_limit(concurrency, machine_memory()));
        // At least a third of the limit is left for pictures.
        while cost.total(concurrency) > limit / 3 * 2 && concurrency != (Concurrency { workers: 1, batch: 1 }) {
            concurrency.reduce();
        }
        let fixed = cost.total(concurrency);
        // 10 % headroom for allocations that are not counted.
        let buffers = (limit / 10 * 9).saturating_sub(fixed).max(MIN_BUFFERS);
        Self { concurrency, files: buffers / 3, pixels: buffers / 3 * 2, fixed, limit }
    }

    /// Whether the run needs more than the limit.
    pub(super) fn is_beyond_limit(&self) -> bool {
        self.fixed + self.files + self.pixels > self.limit
    }

    /// Maximum batch size for a shared session, for which each worker collects a batch of its own.
    pub(super) fn max_batch(&self, model: &Model) -> usize {
        let each = Cost::of(model, false).input * self.concurrency.workers as u64;
        usize::try_from(self.limit / 4 / each.max(1)).unwrap_or(usize::MAX).max(1)
    }
}

/// Memory that a model needs, in bytes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    session: u64,
    /// A picture's pixels together with the input tensor that is made from them.
    input: u64,
    /// A picture that waits for the model.
    waiting: u64,
    /// The activations of a picture in the model.
    picture: u64,
    own_sessions: bool,
}

impl Cost {
    fn of(model: &Model, own_sessions: bool) -> Self {
        let input = &model.spec().input;
        let value = match input.dtype {
            Element::U8 => 1,
            Element::F32 => 4,
        };
        let pixels = 3 * u64::from(input.width) * u64::from(input.height);
        // ONNX Runtime keeps the weights a second time, in the layout that suits the processor.
        let session = 2 * model.graph_bytes();
        let (input, picture) = (pixels * (1 + value), ACTIVATIONS * pixels * value);
        Self { session, input, waiting: pixels, picture, own_sessions }
    }

    fn total(&self, concurrency: Concurrency) -> u64 {
        let (workers, batch) = (concurrency.workers as u64, concurrency.batch as u64);
        let sessions = if self.own_sessions { workers } else { 1 };
        MemoryPlan::PROGRAM_BYTES
            + workers * (WORKER_BYTES + QUEUED_PER_WORKER as u64 * self.waiting)
            + sessions * (self.session + batch * self.picture)
    }

    /// A limit of which two thirds are enough for all workers, but at most half of the machine's memory.
    fn default_limit(&self, concurrency: Concurrency, machine: Option<u64>) -> u64 {
        let needed = self.total(concurrency).div_ceil(2) * 3 + 3;
        let max = machine.map_or(u64::MAX, |bytes| bytes / 2);
        needed.min(max).max(DEFAULT_LIMIT)
    }
}

/// The machine's memory in bytes, if it is known.
fn machine_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        Some(info.totalram as u64 * u64::from(info.mem_unit))
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(limit: u64, workers: usize, batch: usize) -> MemoryPlan {
        MemoryPlan::within(Some(limit << 20), Concurrency { workers, batch }, &Model::builtin(), true)
    }

    #[test]
    fn the_plan_never_exceeds_the_limit() {
        for limit in [136, 200, 256, 512, 4096] {
            for (workers, batch) in [(1, 1), (2, 2), (16, 2), (64, 64)] {
                let memory_plan = within(limit, workers, batch);
                let planned = memory_plan.concurrency;
                let cost = Cost::of(&Model::builtin(), true).total(planned);
                assert!(cost + memory_plan.files + memory_plan.pixels <= limit << 20, "{limit}: {memory_plan:?}");
                assert!((1..=workers).contains(&planned.workers) && (1..=batch).contains(&planned.batch));
                assert!(!memory_plan.is_beyond_limit());
            }
        }
    }

    #[test]
    fn a_sufficient_limit_allows_all_workers_and_a_low_one_allows_one() {
        let all = within(512, 2, 2);
        assert_eq!(all.concurrency, Concurrency { workers: 2, batch: 2 });
        let little = within(64, 16, 8);
        assert_eq!(little.concurrency, Concurrency { workers: 1, batch: 1 });
        assert!(little.is_beyond_limit());
        assert_eq!(little.files + little.pixels, MIN_BUFFERS);
    }

    #[test]
    fn the_default_limit_allows_a_worker_on_every_core_whatever_the_model() {
        let builtin = Cost::of(&Model::builtin(), true);
        let large = Cost { session: 700 << 20, ..builtin };
        for cost in [builtin, large] {
            for cores in [1, 2, 4, 8, 16, 64, 256] {
                let concurrency = Concurrency { workers: cores, batch: 2 };
                let limit = cost.default_limit(concurrency, None);
                assert!(cost.total(concurrency) <= limit / 3 * 2 && limit >= DEFAULT_LIMIT, "{cores} cores");
            }
        }
        let limit = large.default_limit(Concurrency { workers: 64, batch: 2 }, Some(8 << 30));
        assert_eq!(limit, 4 << 30, "at most half of the machine's memory");
    }

    #[test]
    fn the_batch_size_is_reduced_before_the_number_of_workers() {
        let Concurrency { workers, batch } = within(512, 8, 16).concurrency;
        assert!(batch < 16 && workers == 8, "{workers} workers, {batch} pictures");
    }

    #[test]
    fn batches_for_an_accelerator_fit_into_memory_too() {
        let memory_plan =
            MemoryPlan::within(Some(1 << 30), Concurrency { workers: 16, batch: 2 }, &Model::builtin(), false);
        let max = memory_plan.max_batch(&Model::builtin());
        assert!((32..256).contains(&max), "{max}");
    }
}
