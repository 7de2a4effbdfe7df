//! Many pictures: read, decoded by other processes, and traced, on all processors and within a limit of memory.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

use super::pictures::TraceInput;
use super::{Limits, TraceFacts, TraceOptions, Traced};
use crate::error::{Error, Result};
use crate::media::{DecodeLimits, DecodeRequest, Decoded, Filter, Fit, Format, Frame, Reading, read_content};
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::types::{ByteBudget, ContentHash, ImageType, MemoryPermit, Stage};
use crate::vector::Source;

/// The longer side of the pixels that are traced, at most.
const SIDE: u32 = 1536;

/// What the program takes beside files, pixels and drawings.
const PROGRAM: u64 = 48 << 20;

/// What drawings may take for each processor: enough for a picture of 256 pixels a side, five times enlarged.
const DRAWINGS: u64 = 76 << 20;

/// Bytes that are taken for each pixel while a picture is prepared.
const PREPARED: u64 = 24;

/// How long the first drawing of a picture may take.
const TOO_LATE: Duration = Duration::from_secs(60);

/// How many pictures may be done before one that takes long.
const AHEAD: usize = 64;

/// Longer than anybody waits.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// A picture that is ready to be traced.
pub(crate) struct Ready<'a> {
    pub path: &'a Path,
    pub hash: ContentHash,
    /// How long it took to get ready.
    pub time: Duration,
    /// The drawing that is known of it.
    pub known: Option<Traced>,
    /// What it is traced from, and what is known of that, if it was decoded at: where a known drawing is enough it is not.
    pub source: Option<(Source, TraceFacts)>,
}

/// What becomes of a picture that was wished for.
pub(crate) enum Outcome<T> {
    Done(T),
    /// It is no picture, or no drawing, and nobody has named it.
    PassedOver(Passed),
    Failed(Error),
}

/// Why a picture was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    NoPicture,
    Photo,
    Svg,
}

/// What all workers share.
pub(crate) struct Batch<'a> {
    pub database: &'a Path,
    pub sandbox: &'a Sandbox,
    pub options: &'a TraceOptions,
    files: ByteBudget,
    pixels: ByteBudget,
    drawings: ByteBudget,
    /// Bytes that a file may have, and its pixels.
    most_bytes: u64,
    most_pixels: u64,
    /// Processors that nobody uses.
    idle: AtomicUsize,
    /// How many pictures were told of, up to the first that was not.
    told: Mutex<usize>,
    is_told: Condvar,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(database: &'a Path, sandbox: &'a Sandbox, options: &'a TraceOptions) -> Self {
        let threads = threads(options);
        let room = options.memory.unwrap_or(TraceOptions::MEMORY).saturating_sub(PROGRAM).max(32 << 20);
        let drawings = (threads as u64 * DRAWINGS).min(room / 2);
        let most_pixels = (room - drawings) / 4 * 3;
        Self {
            database,
            sandbox,
            options,
            files: ByteBudget::new((room - drawings) / 4),
            most_bytes: (room - drawings) / 4,
            pixels: ByteBudget::new(most_pixels),
            drawings: ByteBudget::new(drawings),
            most_pixels,
            idle: AtomicUsize::new(threads),
            told: Mutex::new(0),
            is_told: Condvar::new(),
        }
    }

    /// Has each picture worked on; `each` is told what came of it, as it comes. Ends early when the work is cancelled or `each` fails.
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
                // Taken here, so that none looks idle whose thread has not begun.
                let processor = self.processor();
                scope.spawn(move || {
                    let _processor = processor;
                    self.work_off(trace_inputs, next, &results, is_enough, work);
                });
            }
            drop(results);
            // Dropping what is received ends the workers.
            let mut early = BTreeSet::new();
            let told = received.into_iter().try_for_each(|(i, outcome)| {
                each(i, outcome)?;
                early.insert(i);
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                while early.remove(&*told) {
                    *told += 1;
                }
                self.is_told.notify_all();
                Ok(())
            });
            // Whoever waits for others has nothing to wait for any more.
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = usize::MAX / 2;
            self.is_told.notify_all();
            told
        })
    }

    fn work_off<T>(
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
            self.wait_for_those_before(i);
            let outcome = self.fulfil(input, &mut store, is_enough, work);
            if results.send((i, outcome)).is_err() {
                return;
            }
        }
    }

    /// Waits until not too many are ahead of a slow one: who puts them into order has to keep them.
    fn wait_for_those_before(&self, index: usize) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.is_told.wait_while(told, |told| index > *told + AHEAD));
    }

    fn fulfil<T>(
        &self,
        input: &TraceInput,
        store: &mut Option<Store>,
        is_enough: &impl Fn(&Traced) -> bool,
        work: &impl Fn(&Self, Ready<'_>) -> Result<T>,
    ) -> Outcome<T> {
        let fulfil = AssertUnwindSafe(|| match self.prepare(input, store, is_enough) {
            Ok(Ok(ready)) => work(self, ready).map_or_else(Outcome::Failed, Outcome::Done),
            Ok(Err(passed)) => Outcome::PassedOver(passed),
            Err(error) => Outcome::Failed(error),
        });
        // Others would wait for it for ever.
        let broken =
            |_| Error::NotTraced { path: input.path.clone(), reason: "it broke off and gave no reason".into() };
        catch_unwind(fulfil).unwrap_or_else(|panic| Outcome::Failed(broken(panic)))
    }

    /// Reads a picture, and decodes it unless a drawing is known that is enough.
    fn prepare<'w>(
        &self,
        input: &'w TraceInput,
        store: &mut Option<Store>,
        is_enough: &impl Fn(&Traced) -> bool,
    ) -> Result<Result<Ready<'w>, Passed>> {
        let (path, start) = (input.path.as_path(), Instant::now());
        let failed = |stage, reason| Error::Picture { path: path.to_owned(), stage, reason };
        let refused = |passed: Passed| match input.is_named {
            true => Err(Error::NoDrawing { path: path.to_owned(), is_photo: passed == Passed::Photo }),
            false => Ok(Err(passed)),
        };
        if let Some(reason) = &input.unreadable {
            return Err(failed(Stage::Scan, reason.clone()));
        }
        let (reading, _held) = read_content(path, self.most_bytes, |bytes| self.files.hold(bytes));
        let content = match reading {
            Reading::Skipped(..) if !input.is_named => return Ok(Err(Passed::NoPicture)),
            reading => reading.picture(path).map_err(|reason| failed(Stage::Read, reason))?,
        };
        if content.format == Format::Svg {
            return refused(Passed::Svg);
        }
        let store = match store {
            Some(store) => store,
            none => none.insert(Store::open(self.database)?),
        };
        let known = store.trace(&content.hash)?.and_then(Traced::from_row);
        // One that was forced before.
        let is_photo = known.as_ref().is_some_and(|known| known.facts.kind == Some(ImageType::Photo));
        if is_photo && !self.options.photos {
            return refused(Passed::Photo);
        }
        let mut ready = Ready { path, hash: content.hash, time: start.elapsed(), known, source: None };
        if ready.known.as_ref().is_some_and(is_enough) {
            return Ok(Ok(ready));
        }
        let limits = DecodeLimits { memory: self.most_pixels, time: self.options.picture_time };
        let hold = |bytes| self.pixels.hold(bytes);
        let decoded = self.sandbox.decode_and_measure(&content.bytes, content.format, limits, &wanted(), hold);
        let decoded = decoded.map_err(|error| failed(Stage::Decode, error.to_string()))?;
        let Decoded { info, features, pixels, alpha } = decoded;
        let is_photo = features.kind.is_some_and(|kind| kind.label == ImageType::Photo);
        if is_photo && !self.options.photos {
            return refused(Passed::Photo);
        }
        let pixels = pixels.expect("they were asked for");
        let _held = self.pixels.hold(PREPARED * u64::from(pixels.width()) * u64::from(pixels.height()));
        let source = Source::new(pixels, alpha.as_ref(), (info.width, info.height));
        let facts = TraceFacts::of(&source, &features);
        ready.source = Some((source, facts));
        ready.time = start.elapsed();
        Ok(Ok(ready))
    }

    /// Waits until there is memory for a search, and tells what it may take.
    pub(crate) fn limits(&self, bytes: u64) -> Share<'_> {
        let held = self.drawings.hold(bytes);
        let start = Instant::now();
        let after = |time: Duration| start.checked_add(time).unwrap_or(start + NEVER);
        let (deadline, too_late) = (after(self.options.time), after(self.options.time.max(TOO_LATE)));
        Share { batch: self, start, deadline, too_late, _held: held }
    }

    /// Takes a processor, if there is one.
    fn processor(&self) -> Option<Processor<'_>> {
        let take = |idle: usize| idle.checked_sub(1);
        let taken = self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok().then_some(Processor { idle: &self.idle })
    }
}

fn threads(options: &TraceOptions) -> usize {
    let all = || thread::available_parallelism().map_or(1, usize::from);
    options.threads.map_or_else(all, usize::from)
}

fn wanted() -> DecodeRequest {
    let frame = Frame { fit: Fit::Inside, width: SIDE, height: SIDE, filter: Filter::Lanczos };
    DecodeRequest { side: SIDE, feature_time: None, frame: Some(frame), alpha: true }
}

/// A processor that is in use until this is dropped.
pub(crate) struct Processor<'a> {
    idle: &'a AtomicUsize,
}

impl Drop for Processor<'_> {
    fn drop(&mut self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the search for one picture's drawing may take.
pub(crate) struct Share<'a> {
    batch: &'a Batch<'a>,
    start: Instant,
    deadline: Instant,
    too_late: Instant,
    _held: MemoryPermit<'a>,
}

impl Share<'_> {
    /// How long it has been used.
    pub(crate) fn time(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A processor and memory for one more drawing.
pub(crate) struct Spare<'a> {
    _processor: Processor<'a>,
    _held: MemoryPermit<'a>,
}

impl<'a> Limits for Share<'a> {
    type Spare = Spare<'a>;

    fn is_late(&self) -> bool {
        self.batch.options.cancel.is_cancelled() || Instant::now() >= self.deadline
    }

    fn is_too_late(&self) -> bool {
        Instant::now() >= self.too_late
    }

    fn spare(&self, bytes: u64) -> Option<Spare<'a>> {
        let processor = self.batch.processor()?;
        Some(Spare { _processor: processor, _held: self.batch.drawings.try_hold(bytes)? })
    }
}
