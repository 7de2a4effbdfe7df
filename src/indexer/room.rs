//! How a limit of memory is shared out.

use crate::model::{Element, Model};

/// The program, ONNX Runtime, caches of the database, and what waits between the stages: 46 MiB were measured with one worker
/// and an empty database, and four connections may fill 8 MiB of cache each.
const PROGRAM: u64 = 72 << 20;

/// A session beside its graph, and a worker's pictures of usual size.
const WORKER: u64 = 10 << 20;

/// Values between layers that are alive at a time, in multiples of the input: 2.8 MiB a picture were measured with the
/// built-in model, whose input has 0.15.
const ACTIVATIONS: u64 = 20;

/// What is left for files and pixels at least, if need be beyond the limit: without it nothing could be decoded.
const LEAST_ROOM: u64 = 24 << 20;

/// The limit where none is given, for so many cores.
pub(super) fn usual_memory(cores: usize) -> u64 {
    const LEAST: u64 = 512 << 20;
    const PER_CORE: u64 = 64 << 20;
    (PROGRAM + PER_CORE * cores as u64).max(LEAST)
}

/// What a run may work with at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Workers.
    pub workers: usize,
    /// Pictures that go through the model at once.
    pub batch: usize,
    /// Bytes of files that were read and not decoded yet.
    pub files: u64,
    /// Bytes of pixels that are being decoded and scaled.
    pub pixels: u64,
}

impl Room {
    /// Shares out a limit among so many workers and so large batches, or fewer and smaller ones if there is no room for them.
    pub fn within(limit: u64, workers: usize, batch: usize, model: &Model, own_sessions: bool) -> Self {
        let cost = Cost::of(model, own_sessions);
        let (mut workers, mut batch) = (workers, batch);
        // At least a third is for pictures.
        while cost.of_all(workers, batch) > limit / 3 * 2 && (workers, batch) != (1, 1) {
            if batch > 1 {
                batch /= 2;
            } else {
                workers -= 1;
            }
        }
        let room = limit.saturating_sub(cost.of_all(workers, batch)).max(LEAST_ROOM);
        Self { workers, batch, files: room / 3, pixels: room / 3 * 2 }
    }
}

/// What the model takes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    session: u64,
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
        let picture = ACTIVATIONS * 3 * u64::from(input.width) * u64::from(input.height) * value;
        // Weights are laid out anew for the processor beside the graph itself.
        Self { session: 2 * model.graph_bytes(), picture, own_sessions }
    }

    fn of_all(&self, workers: usize, batch: usize) -> u64 {
        let (workers, batch) = (workers as u64, batch as u64);
        let sessions = if self.own_sessions { workers } else { 1 };
        PROGRAM + workers * WORKER + sessions * (self.session + batch * self.picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(limit: u64, workers: usize, batch: usize) -> Room {
        Room::within(limit << 20, workers, batch, &Model::builtin(), true)
    }

    #[test]
    fn what_is_shared_out_never_exceeds_the_limit() {
        for limit in [128, 200, 256, 512, 4096] {
            for (workers, batch) in [(1, 1), (2, 2), (16, 2), (64, 64)] {
                let room = within(limit, workers, batch);
                let cost = Cost::of(&Model::builtin(), true).of_all(room.workers, room.batch);
                assert!(cost + room.files + room.pixels <= limit << 20, "{limit}, {workers}, {batch}: {room:?}");
                assert!(room.workers >= 1 && room.workers <= workers && room.batch >= 1 && room.batch <= batch);
            }
        }
    }

    #[test]
    fn with_room_enough_all_workers_are_there_and_with_little_one_is() {
        let all = within(512, 2, 2);
        assert_eq!((all.workers, all.batch), (2, 2));
        let little = within(64, 16, 8);
        assert_eq!((little.workers, little.batch), (1, 1));
        assert_eq!(little.files + little.pixels, LEAST_ROOM / 3 * 3);
    }

    #[test]
    fn what_is_usual_has_room_for_a_worker_on_every_core() {
        for cores in [1, 2, 4, 8, 16, 64, 256] {
            let room = Room::within(usual_memory(cores), cores, 2, &Model::builtin(), true);
            assert_eq!((room.workers, room.batch), (cores, 2), "{cores} cores");
        }
    }

    #[test]
    fn batches_become_smaller_before_workers_become_fewer() {
        let room = within(512, 8, 16);
        assert!(room.batch < 16 && room.workers == 8, "{room:?}");
    }
}
