//! Reads, decodes and traces many pictures on all CPUs within a memory limit. Decoding runs in other processes.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::pictures::TraceInput;
use super::{Limits, TraceFacts, TraceOptions, Traced};
use crate::error::{Error, Result};
use crate::media::{DecodeLimits, DecodeRequest, Decoded, Filter, Fit, Format, Frame, Reading, read_content};
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::types::{ByteBudget, ContentHash, ImageType, MemoryPermit, Stage};
use crate::vector::Source;

/// Maximum length of the longer side of traced pixels. Larger pictures are scaled down.
const MAX_SIDE: u32 = 1536;

/// Memory of the program itself, without files, pixels and drawings, in bytes.
const PROGRAM_BYTES: u64 = 48 << 20;

/// Memory for drawings per CPU, in bytes: enough for a picture of 256 pixels a side, enlarged five times.
const DRAWING_BYTES_PER_CPU: u64 = 76 << 20;

/// Memory for preparing a picture, in bytes per pixel.
const PREPARE_BYTES_PER_PIXEL: u64 = 24;

/// Time allowed for the first drawing of a picture, even if the search has less.
const FIRST_DRAWING_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum number of pictures that may be finished ahead of a slow one.
const MAX_AHEAD: usize = 64;

/// Stands in for a deadline too far away to be represented: a year.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// A picture that was read and is ready to be traced.
pub(crate) struct Ready<'a> {
    pub path: &'a Path,
    pub hash: ContentHash,
    /// How long reading and decoding took.
    pub time: Duration,
    /// The stored trace of it.
    pub known: Option<Traced>,
    /// The source to trace, and its properties; `None` if the picture was not decoded because `known` is enough.
    pub source: Option<(Source, TraceFacts)>,
}

/// What reading and decoding a picture gave.
enum Prepared<'a> {
    Ready(Box<Ready<'a>>),
    Skipped(SkipReason),
}

/// The outcome of processing one picture.
pub(crate) enum Outcome<T> {
    Done(T),
    /// A file in a named folder that is not a picture, or not a drawing.
    Skipped(SkipReason),
    Failed(Error),
}

/// Why a file was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SkipReason {
    NotAPicture,
    Photo,
    Svg,
}

/// The state that all workers share.
pub(crate) struct Batch<'a> {
    pub database: &'a Path,
    pub sandbox: &'a Sandbox,
    pub options: &'a TraceOptions,
    files: ByteBudget,
    pixels: ByteBudget,
    drawings: ByteBudget,
    /// Maximum size of a file, in bytes.
    max_file_bytes: u64,
    /// Maximum memory for decoding a picture, in bytes.
    max_pixel_bytes: u64,
    /// Number of CPUs that are not in use.
    idle: AtomicUsize,
    /// Number of pictures delivered without a gap, in their order.
    delivered: Mutex<usize>,
    delivered_changed: Condvar,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(database: &'a Path, sandbox: &'a Sandbox, options: &'a TraceOptions) -> Self {
        let threads = threads(options);
        let available = options.memory.unwrap_or(TraceOptions::MEMORY).saturating_sub(PROGRAM_BYTES).max(32 << 20);
        let drawings = (threads as u64 * DRAWING_BYTES_PER_CPU).min(available / 2);
        let max_pixel_bytes = (available - drawings) / 4 * 3;
        Self {
            database,
            sandbox,
            options,
            files: ByteBudget::new((available - drawings) / 4),
            max_file_bytes: (available - drawings) / 4,
            pixels: ByteBudget::new(max_pixel_bytes),
            drawings: ByteBudget::new(drawings),
            max_pixel_bytes,
            idle: AtomicUsize::new(threads),
            delivered: Mutex::new(0),
            delivered_changed: Condvar::new(),
        }
    }

    /// Runs `work` on each picture, and calls `each` with every outcome as it arrives, in any order.
    ///
    /// A picture is not decoded if `is_enough` returns true for its stored trace. The run ends early when it is
    /// cancelled or `each` fails.
    pub(crate) fn run<T: Send>(
        &self,
        trace_inputs: &[TraceInput],
        is_enough: impl Fn(&Traced) -> bool + Sync,
        work: impl Fn(&Self, Ready<'_>) -> Result<T> + Sync,
        mut each: impl FnMut(usize, Outcome<T>) -> Result<()>,
    ) -> Result<()> {
        let workers = threads(self.options).min(trace_inputs.len());
        let (results, received) = bounded(2 * workers);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..workers {
                let (results, next, is_enough, work) = (results.clone(), &next, &is_enough, &work);
                // Taken before the thread starts, so that its CPU does not look idle until then.
                let cpu = self.try_take_cpu();
                scope.spawn(move || {
                    let _cpu = cpu;
                    self.run_worker(trace_inputs, next, &results, is_enough, work);
                });
            }
            drop(results);
            // Dropping the receiver ends the workers.
            let mut early = BTreeSet::new();
            let result = received.into_iter().try_for_each(|(i, outcome)| {
                each(i, outcome)?;
                early.insert(i);
                let mut delivered = self.delivered.lock();
                while early.remove(&*delivered) {
                    *delivered += 1;
                }
                self.delivered_changed.notify_all();
                Ok(())
            });
            // Wakes all workers that wait for slow pictures: nothing more is delivered.
            *self.delivered.lock() = usize::MAX / 2;
            self.delivered_changed.notify_all();
            result
        })
    }

    fn run_worker<T>(
        &self,
        trace_inputs: &[TraceInput],
        next: &AtomicUsize,
        results: &Sender<(usize, Outcome<T>)>,
        is_enough: &impl Fn(&Traced) -> bool,
        work: &impl Fn(&Self, Ready<'_>) -> Result<T>,
    ) {
        let mut store = None;
        while !self.options.cancel.is_cancelled() {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = trace_inputs.get(i) else { return };
            self.wait_for_slow_pictures(i);
            let outcome = self.process(input, &mut store, is_enough, work);
            if results.send((i, outcome)).is_err() {
                return;
            }
        }
    }

    /// Waits until at most [`MAX_AHEAD`] pictures are ahead of the slowest one, because a caller that restores the
    /// order has to keep them in memory.
    fn wait_for_slow_pictures(&self, index: usize) {
        let mut delivered = self.delivered.lock();
        self.delivered_changed.wait_while(&mut delivered, |delivered| index > *delivered + MAX_AHEAD);
    }

    fn process<T>(
        &self,
        input: &TraceInput,
        store: &mut Option<Store>,
        is_enough: &impl Fn(&Traced) -> bool,
        work: &impl Fn(&Self, Ready<'_>) -> Result<T>,
    ) -> Outcome<T> {
        let process = AssertUnwindSafe(|| match self.prepare(input, store, is_enough) {
            Ok(Prepared::Ready(ready)) => work(self, *ready).map_or_else(Outcome::Failed, Outcome::Done),
            Ok(Prepared::Skipped(reason)) => Outcome::Skipped(reason),
            Err(error) => Outcome::Failed(error),
        });
        // Without an outcome, the other workers would wait for this picture forever.
        let panicked = |_| Error::NotTraced { path: input.path.clone(), reason: "the worker panicked".into() };
        catch_unwind(process).unwrap_or_else(|panic| Outcome::Failed(panicked(panic)))
    }

    /// Reads a picture, and decodes it unless its stored trace is enough.
    fn prepare<'w>(
        &self,
        input: &'w TraceInput,
        store: &mut Option<Store>,
        is_enough: &impl Fn(&Traced) -> bool,
    ) -> Result<Prepared<'w>> {
        let (path, start) = (input.path.as_path(), Instant::now());
        let failed = |stage, reason| Error::Picture { path: path.to_owned(), stage, reason };
        let skip_or_fail = |reason: SkipReason| match input.is_named {
            true => Err(Error::NoDrawing { path: path.to_owned(), is_photo: reason == SkipReason::Photo }),
            false => Ok(Prepared::Skipped(reason)),
        };
        if let Some(reason) = &input.unreadable {
            return Err(failed(Stage::Scan, reason.clone()));
        }
        let (reading, _held) = read_content(path, self.max_file_bytes, |bytes| self.files.hold(bytes));
        let content = match reading {
            Reading::Skipped(..) if !input.is_named => return Ok(Prepared::Skipped(SkipReason::NotAPicture)),
            reading => reading.picture(path).map_err(|reason| failed(Stage::Read, reason))?,
        };
        if content.format == Format::Svg {
            return skip_or_fail(SkipReason::Svg);
        }
        let store = match store {
            Some(store) => store,
            none => none.insert(Store::open(self.database)?),
        };
        let known = store.trace(&content.hash)?.and_then(Traced::from_row);
        // An earlier run may have traced it with `photos`.
        let is_photo = known.as_ref().is_some_and(|known| known.facts.kind == Some(ImageType::Photo));
        if is_photo && !self.options.photos {
            return skip_or_fail(SkipReason::Photo);
        }
        let mut ready = Ready { path, hash: content.hash, time: start.elapsed(), known, source: None };
        if ready.known.as_ref().is_some_and(is_enough) {
            return Ok(Prepared::Ready(Box::new(ready)));
        }
        let limits = DecodeLimits { memory: self.max_pixel_bytes, time: self.options.picture_time };
        let hold = |bytes| self.pixels.hold(bytes);
        let decoded = self.sandbox.decode_and_measure(&content.bytes, content.format, limits, &decode_request(), hold);
        let decoded = decoded.map_err(|error| failed(Stage::Decode, error.to_string()))?;
        let Decoded { info, features, pixels, alpha } = decoded;
        let is_photo = features.kind.is_some_and(|kind| kind.label == ImageType::Photo);
        if is_photo && !self.options.photos {
            return skip_or_fail(SkipReason::Photo);
        }
        let pixels = pixels.expect("the request includes a frame");
        let _held = self.pixels.hold(PREPARE_BYTES_PER_PIXEL * u64::from(pixels.width()) * u64::from(pixels.height()));
        let source = Source::new(pixels, alpha.as_ref(), (info.width, info.height));
        let facts = TraceFacts::of(&source, &features);
        ready.source = Some((source, facts));
        ready.time = start.elapsed();
        Ok(Prepared::Ready(Box::new(ready)))
    }

    /// Waits until there is memory for a search, and returns the limits of that search.
    pub(crate) fn limits(&self, bytes: u64) -> SearchLimits<'_> {
        let held = self.drawings.hold(bytes);
        let start = Instant::now();
        let after = |time: Duration| start.checked_add(time).unwrap_or(start + NEVER);
        let (deadline, first_drawing_deadline) =
            (after(self.options.time), after(self.options.time.max(FIRST_DRAWING_TIMEOUT)));
        SearchLimits { batch: self, start, deadline, first_drawing_deadline, _held: held }
    }

    /// Takes a CPU, if one is idle.
    fn try_take_cpu(&self) -> Option<CpuPermit<'_>> {
        let take = |idle: usize| idle.checked_sub(1);
        let taken = self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok().then_some(CpuPermit { idle: &self.idle })
    }
}

fn threads(options: &TraceOptions) -> usize {
    let all = || thread::available_parallelism().map_or(1, usize::from);
    options.threads.map_or_else(all, usize::from)
}

fn decode_request() -> DecodeRequest {
    let frame = Frame { fit: Fit::Inside, width: MAX_SIDE, height: MAX_SIDE, filter: Filter::Lanczos };
    DecodeRequest { side: MAX_SIDE, feature_time: None, frame: Some(frame), alpha: true }
}

/// A CPU in use; dropping the permit gives the CPU back.
pub(crate) struct CpuPermit<'a> {
    idle: &'a AtomicUsize,
}

impl Drop for CpuPermit<'_> {
    fn drop(&mut self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }
}

/// The limits of the search for one picture, with its share of the memory.
pub(crate) struct SearchLimits<'a> {
    batch: &'a Batch<'a>,
    start: Instant,
    deadline: Instant,
    first_drawing_deadline: Instant,
    _held: MemoryPermit<'a>,
}

impl SearchLimits<'_> {
    /// How long the search has been running.
    pub(crate) fn time(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A CPU and memory for one more drawing at the same time.
pub(crate) struct Spare<'a> {
    _cpu: CpuPermit<'a>,
    _held: MemoryPermit<'a>,
}

impl<'a> Limits for SearchLimits<'a> {
    type Spare = Spare<'a>;

    fn is_late(&self) -> bool {
        self.batch.options.cancel.is_cancelled() || Instant::now() >= self.deadline
    }

    fn is_too_late(&self) -> bool {
        Instant::now() >= self.first_drawing_deadline
    }

    fn spare(&self, bytes: u64) -> Option<Spare<'a>> {
        let cpu = self.batch.try_take_cpu()?;
        Some(Spare { _cpu: cpu, _held: self.batch.drawings.try_hold(bytes)? })
    }
}
