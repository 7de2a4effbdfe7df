//! How a limit of memory is shared out.

use crate::model::{Element, Model};

/// A session beside its graph, and a worker's pictures of usual size.
const WORKER: u64 = 10 << 20;

/// Pictures that are ready for the model and wait, for each worker. With fewer of them lookers would stand still while workers do not, and a
/// core with them.
pub(super) const AHEAD: usize = 4;

/// Values between layers that are alive at a time, in multiples of the input: 2.8 MiB a picture were measured with the
/// built-in model, whose input has 0.15.
const ACTIVATIONS: u64 = 20;

/// What is left for files and pixels at least, if need be beyond the limit: without it nothing could be decoded.
const LEAST_ROOM: u64 = 24 << 20;

/// The limit where none is given, unless the model needs more.
const USUAL: u64 = 512 << 20;

/// What a run may work with at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryPlan {
    /// Workers.
    pub workers: usize,
    /// Pictures that go through the model at once.
    pub batch: usize,
    /// Bytes of files that were read and not decoded yet.
    pub files: u64,
    /// Bytes of pixels that are being decoded and scaled.
    pub pixels: u64,
    /// Bytes that the program and the model need, beside files and pixels.
    pub fixed: u64,
    /// Bytes that all of it may take.
    pub limit: u64,
}

impl MemoryPlan {
    /// The program, ONNX Runtime, caches of the database, and what waits between the context: 46 MiB were measured with one worker
    /// and an empty database, and four connections may fill 8 MiB of cache each.
    pub(super) const PROGRAM: u64 = 72 << 20;

    /// Shares out a limit among so many workers and so large batches, or fewer and smaller ones if there is no memory_plan for them. Without a limit
    /// there is memory_plan for all of them, within half of the machine's memory.
    pub(super) fn within(limit: Option<u64>, workers: usize, batch: usize, model: &Model, own_sessions: bool) -> Self {
        let cost = Cost::of(model, own_sessions);
        let limit = limit.unwrap_or_else(|| cost.usual_limit(workers, batch, machine_memory()));
        let (mut workers, mut batch) = (workers, batch);
        // At least a third is for pictures.
        while cost.of_all(workers, batch) > limit / 3 * 2 && (workers, batch) != (1, 1) {
            if batch > 1 {
                batch /= 2;
            } else {
                workers -= 1;
            }
        }
        let fixed = cost.of_all(workers, batch);
        // A tenth is for what nobody counts.
        let memory_plan = (limit / 10 * 9).saturating_sub(fixed).max(LEAST_ROOM);
        Self { workers, batch, files: memory_plan / 3, pixels: memory_plan / 3 * 2, fixed, limit }
    }

    /// Whether the limit cannot be kept.
    pub(super) fn is_beyond_limit(&self) -> bool {
        self.fixed + self.files + self.pixels > self.limit
    }

    /// The largest batches that workers may gather, each its own, for a session that they share.
    pub(super) fn most_batch(&self, model: &Model) -> usize {
        let each = Cost::of(model, false).input * self.workers as u64;
        usize::try_from(self.limit / 4 / each.max(1)).unwrap_or(usize::MAX).max(1)
    }
}

/// What the model takes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    session: u64,
    /// A picture as it goes in, and as it is laid out for that.
    input: u64,
    /// A picture that waits for the model.
    waiting: u64,
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
        // Weights are laid out anew for the processor beside the graph itself.
        let session = 2 * model.graph_bytes();
        Self {
            session,
            input: pixels * (1 + value),
            waiting: pixels,
            picture: ACTIVATIONS * pixels * value,
            own_sessions,
        }
    }

    fn of_all(&self, workers: usize, batch: usize) -> u64 {
        let (workers, batch) = (workers as u64, batch as u64);
        let sessions = if self.own_sessions { workers } else { 1 };
        MemoryPlan::PROGRAM
            + workers * (WORKER + AHEAD as u64 * self.waiting)
            + sessions * (self.session + batch * self.picture)
    }

    /// So much that two thirds are enough for all workers, but at most half of the machine's memory.
    fn usual_limit(&self, workers: usize, batch: usize, machine: Option<u64>) -> u64 {
        let enough = self.of_all(workers, batch).div_ceil(2) * 3 + 3;
        let most = machine.map_or(u64::MAX, |bytes| bytes / 2);
        enough.min(most).max(USUAL)
    }
}

/// The memory of the machine in bytes, where it is known.
fn machine_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let info = rustix::system::sysinfo();
        Some(info.totalram as u64 * u64::from(info.mem_unit))
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(limit: u64, workers: usize, batch: usize) -> MemoryPlan {
        MemoryPlan::within(Some(limit << 20), workers, batch, &Model::builtin(), true)
    }

    #[test]
    fn what_is_shared_out_never_exceeds_the_limit() {
        for limit in [136, 200, 256, 512, 4096] {
            for (workers, batch) in [(1, 1), (2, 2), (16, 2), (64, 64)] {
                let memory_plan = within(limit, workers, batch);
                let cost = Cost::of(&Model::builtin(), true).of_all(memory_plan.workers, memory_plan.batch);
                assert!(
                    cost + memory_plan.files + memory_plan.pixels <= limit << 20,
                    "{limit}, {workers}, {batch}: {memory_plan:?}"
                );
                assert!(
                    memory_plan.workers >= 1
                        && memory_plan.workers <= workers
                        && memory_plan.batch >= 1
                        && memory_plan.batch <= batch
                );
                assert!(!memory_plan.is_beyond_limit());
            }
        }
    }

    #[test]
    fn with_room_enough_all_workers_are_there_and_with_little_one_is() {
        let all = within(512, 2, 2);
        assert_eq!((all.workers, all.batch), (2, 2));
        let little = within(64, 16, 8);
        assert_eq!((little.workers, little.batch), (1, 1));
        assert!(little.is_beyond_limit());
        assert_eq!(little.files + little.pixels, LEAST_ROOM);
    }

    #[test]
    fn without_a_limit_there_is_room_for_a_worker_on_every_core_whatever_the_model() {
        let builtin = Cost::of(&Model::builtin(), true);
        let large = Cost { session: 700 << 20, ..builtin };
        for cost in [builtin, large] {
            for cores in [1, 2, 4, 8, 16, 64, 256] {
                let limit = cost.usual_limit(cores, 2, None);
                assert!(cost.of_all(cores, 2) <= limit / 3 * 2 && limit >= USUAL, "{cores} cores");
            }
        }
        assert_eq!(large.usual_limit(64, 2, Some(8 << 30)), 4 << 30, "not more than half of the machine's");
    }

    #[test]
    fn batches_become_smaller_before_workers_become_fewer() {
        let memory_plan = within(512, 8, 16);
        assert!(memory_plan.batch < 16 && memory_plan.workers == 8, "{memory_plan:?}");
    }

    #[test]
    fn batches_for_an_accelerator_fit_into_memory_too() {
        let memory_plan = MemoryPlan::within(Some(1 << 30), 16, 2, &Model::builtin(), false);
        let most = memory_plan.most_batch(&Model::builtin());
        assert!((32..256).contains(&most), "{most}");
    }
}
