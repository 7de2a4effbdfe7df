//! Reads, decodes and traces many pictures on all CPUs within a memory limit. Decoding runs in other processes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use parking_lot::{Condvar, Mutex};

use super::jpeg;
use super::limits::{Limits, Resources, deadline};
use super::pictures::TraceInput;
use super::{Coarse, TraceFacts, TraceOptions, Traced};
use crate::error::{Error, Result};
use crate::media::{DecodeLimits, DecodeRequest, Decoded, Filter, Fit, Format, Frame, Reading, read_content};
use crate::sandbox::Sandbox;
use crate::store::Store;
use crate::types::{ByteBudget, ContentHash, ImageType, MemoryPermit, Stage};
use crate::vector::{NotDrawn, Source, denoise, is_drawing};
use imgidx_types::catching_panics;

/// Maximum length of the longer side of traced pixels. Larger pictures are scaled down.
const MAX_SIDE: u32 = 1536;

/// Memory of the program itself, without files, pixels and drawings, in bytes.
const PROGRAM_BYTES: u64 = 48 << 20;

/// Memory for drawings per CPU, in bytes: enough for a picture of 256 pixels a side, enlarged five times.
const DRAWING_BYTES_PER_CPU: u64 = 76 << 20;

/// Memory for preparing a picture, in bytes per pixel.
const PREPARE_BYTES_PER_PIXEL: u64 = 24;

/// How much longer than the time limit decoding a picture may take.
const MAX_DECODING_DELAY: Duration = Duration::from_millis(500);

/// Maximum number of pictures that may be finished ahead of a slow one.
const MAX_AHEAD: usize = 64;

/// A picture that was read and is ready to be traced.
pub(crate) struct Ready<'a> {
    pub path: &'a Path,
    pub hash: ContentHash,
    /// How long reading and decoding took.
    pub time: Duration,
    /// The stored trace of it.
    pub known: Option<Traced>,
    /// The decoded picture; `None` if it was not decoded because `known` suffices.
    pub picture: Option<Prepared>,
}

/// A decoded picture.
pub(crate) struct Prepared {
    /// The source to trace, and its properties.
    pub source: Result<(Source, TraceFacts), NotDrawn>,
    /// What is traced if there is no time for `source`.
    pub coarse: Coarse,
}

/// The state that all workers share.
pub(crate) struct Batch<'a> {
    pub options: &'a TraceOptions,
    database: &'a Path,
    sandbox: &'a Sandbox,
    /// Whether pictures are decoded even if their stored trace suffices.
    decode_all: bool,
    files: ByteBudget,
    pixels: ByteBudget,
    /// Maximum size of a file, in bytes.
    max_file_bytes: u64,
    /// Maximum memory for decoding a picture, in bytes.
    max_pixel_bytes: u64,
    resources: Resources,
    /// Number of pictures delivered without a gap, in their order.
    delivered: Mutex<usize>,
    delivered_changed: Condvar,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(database: &'a Path, sandbox: &'a Sandbox, options: &'a TraceOptions, decode_all: bool) -> Self {
        let threads = threads(options);
        let available = options.memory.unwrap_or(TraceOptions::MEMORY).saturating_sub(PROGRAM_BYTES).max(32 << 20);
        let drawings = (threads as u64 * DRAWING_BYTES_PER_CPU).min(available / 2);
        let max_file_bytes = (available - drawings) / 4;
        let max_pixel_bytes = max_file_bytes * 3;
        Self {
            options,
            database,
            sandbox,
            decode_all,
            files: ByteBudget::new(max_file_bytes),
            pixels: ByteBudget::new(max_pixel_bytes),
            max_file_bytes,
            max_pixel_bytes,
            resources: Resources::new(threads, drawings),
            delivered: Mutex::new(0),
            delivered_changed: Condvar::new(),
        }
    }

    /// Runs `work` on each picture, and calls `each` with every result as it arrives, in any order.
    ///
    /// The result of a file that is not a drawing is [`Error::NoDrawing`]. The run ends early when it is cancelled or
    /// `each` fails.
    pub(crate) fn run<T: Send>(
        &self,
        trace_inputs: &[TraceInput],
        work: impl Fn(&Self, Ready<'_>) -> Result<T> + Sync,
        mut each: impl FnMut(usize, Result<T>) -> Result<()>,
    ) -> Result<()> {
        let workers = threads(self.options).min(trace_inputs.len());
        let (results, received) = bounded(2 * workers);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..workers {
                let (results, next, work) = (results.clone(), &next, &work);
                // Taken before the thread starts, so that its CPU does not look idle until then.
                let cpu = self.resources.try_take_cpu();
                scope.spawn(move || {
                    let _cpu = cpu;
                    self.run_worker(trace_inputs, next, &results, work);
                });
            }
            drop(results);
            // Dropping the receiver ends the workers.
            let mut early = BTreeSet::new();
            let result = received.into_iter().try_for_each(|(i, result)| {
                each(i, result)?;
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
        results: &Sender<(usize, Result<T>)>,
        work: &impl Fn(&Self, Ready<'_>) -> Result<T>,
    ) {
        let mut store = None;
        while !self.options.cancel.is_cancelled() {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = trace_inputs.get(i) else { return };
            self.wait_for_slow_pictures(i);
            let process = || work(self, self.prepare(input, &mut store)?);
            // Without a result, the other workers would wait for this picture forever.
            let result = catching_panics(process).unwrap_or_else(|panic| {
                Err(Error::NotTraced { path: input.path.clone(), reason: format!("it panicked: {panic}") })
            });
            // A picture that was interrupted before there was any drawing of it has no result.
            if matches!(result, Err(Error::Interrupted)) || results.send((i, result)).is_err() {
                drop(self.delivered.lock());
                self.delivered_changed.notify_all();
                return;
            }
        }
    }

    /// Waits until at most [`MAX_AHEAD`] pictures are ahead of the slowest one, because a caller that restores the
    /// order has to keep them in memory.
    fn wait_for_slow_pictures(&self, index: usize) {
        let mut delivered = self.delivered.lock();
        let must_wait = |delivered: &mut usize| index > *delivered + MAX_AHEAD && !self.options.cancel.is_cancelled();
        self.delivered_changed.wait_while(&mut delivered, must_wait);
    }

    /// Reads a picture, and decodes it unless its stored trace suffices.
    fn prepare<'w>(&self, input: &'w TraceInput, store: &mut Option<Store>) -> Result<Ready<'w>> {
        let (path, start) = (input.path.as_path(), Instant::now());
        let failed = |stage, reason| Error::Picture { path: path.to_owned(), stage, reason };
        let no_drawing = |is_photo| Err(Error::NoDrawing { path: path.to_owned(), is_photo });
        if let Some(reason) = &input.unreadable {
            return Err(failed(Stage::Scan, reason.clone()));
        }
        // Time that other pictures take is not counted.
        let waited = Cell::new(Duration::ZERO);
        let (reading, _held) = read_content(path, self.max_file_bytes, |bytes| wait_for(bytes, &self.files, &waited));
        let content = match reading {
            // Nobody asked for this file.
            Reading::Skipped(..) if !input.is_named => return no_drawing(false),
            reading => reading.picture(path).map_err(|reason| failed(Stage::Read, reason))?,
        };
        if content.format == Format::Svg {
            return no_drawing(false);
        }
        let store = match store {
            Some(store) => store,
            none => none.insert(Store::open(self.database)?),
        };
        let known = store.trace(&content.hash)?.and_then(Traced::from_row);
        let is_left_out = |kind| kind == Some(ImageType::Photo) && !self.options.photos;
        // An earlier run may have traced it with `photos`.
        if is_left_out(known.as_ref().and_then(|known| known.facts.kind)) {
            return no_drawing(true);
        }
        let mut ready = Ready { path, hash: content.hash, time: start.elapsed(), known, picture: None };
        if !self.decode_all && ready.known.as_ref().is_some_and(|known| known.suffices(self.options)) {
            return Ok(ready);
        }
        let time = self.options.picture_time.min(self.options.time.saturating_add(MAX_DECODING_DELAY));
        let limits = DecodeLimits { memory: self.max_pixel_bytes, time };
        let frame = Frame { fit: Fit::Inside, width: MAX_SIDE, height: MAX_SIDE, filter: Filter::Lanczos };
        let request =
            DecodeRequest { side: MAX_SIDE, feature_time: None, frame: Some(frame), alpha: true, quick: false };
        let hold = |bytes| wait_for(bytes, &self.pixels, &waited);
        let decoded = self.sandbox.decode_and_measure(&content.bytes, content.format, limits, &request, hold);
        let Decoded { info, mut features, pixels, alpha, .. } =
            decoded.map_err(|error| failed(Stage::Decode, error.to_string()))?;
        let mut pixels = pixels.expect("the request includes a frame");
        // Compression makes drawings look like photographs.
        if let Some(kind) = &mut features.kind
            && kind.label == ImageType::Photo
            && is_drawing(&pixels)
        {
            kind.label = ImageType::Uncertain;
        }
        if is_left_out(features.kind.map(|kind| kind.label)) {
            return no_drawing(true);
        }
        let bytes = PREPARE_BYTES_PER_PIXEL * u64::from(pixels.width()) * u64::from(pixels.height());
        let _held = wait_for(bytes, &self.pixels, &waited);
        let (alpha, size) = (alpha.as_ref(), (info.width, info.height));
        let deadline = deadline(start + waited.get(), self.options.time, &self.options.cancel);
        let scale = f64::from(pixels.width().max(pixels.height())) / f64::from(info.width.max(info.height));
        let noise = jpeg::noise(&content.bytes) * scale as f32;
        let denoised = denoise(&mut pixels, noise, &deadline);
        let coarse = Coarse::of(&pixels, alpha, size, &features);
        let source = denoised.and_then(|()| {
            let source = Source::within(pixels, alpha, size, &deadline)?;
            let facts = TraceFacts::of(&source, &features, &deadline)?;
            Ok((source, facts))
        });
        ready.picture = Some(Prepared { source, coarse });
        ready.time = start.elapsed().saturating_sub(waited.get());
        Ok(ready)
    }

    /// Waits until there is memory for a search, and returns the limits of that search, for which part of the time has
    /// passed.
    pub(crate) fn limits(&self, bytes: u64, passed: Duration) -> Limits<'_> {
        self.resources.limits(bytes, self.options.time.saturating_sub(passed), &self.options.cancel)
    }

    /// Makes a coarse drawing of a picture for which there was no time, unless the run was cancelled.
    pub(crate) fn trace_coarsely(&self, hash: ContentHash, coarse: Coarse) -> Result<Traced, NotDrawn> {
        coarse.trace(hash, self.options.tier, &self.resources, &self.options.cancel)
    }
}

/// Waits for memory, and adds the time that this took.
fn wait_for<'a>(bytes: u64, budget: &'a ByteBudget, waited: &Cell<Duration>) -> MemoryPermit<'a> {
    let start = Instant::now();
    let held = budget.hold(bytes);
    waited.set(waited.get() + start.elapsed());
    held
}

fn threads(options: &TraceOptions) -> usize {
    let all = || thread::available_parallelism().map_or(1, usize::from);
    options.threads.map_or_else(all, usize::from)
}
