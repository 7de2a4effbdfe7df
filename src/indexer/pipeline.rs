//! The stages of `add` and the queues between them.
//!
//! ```text
//! planner ──paths──▶ readers ──contents──▶ preprocessors ──pixels──▶ workers ──vectors──▶ writer (the calling thread)
//!    └──────────── files that need no reading ───────────────────────────────────────────▲
//! ```

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use tracing::trace_span;

use super::concurrency::{Concurrency, ConcurrencyController};
use super::context::{PipelineContext, ended_early};
use super::crash_journal::CrashJournal;
use super::memory_plan::{MemoryPlan, QUEUED_PER_WORKER};
use super::options::AddOptions;
use super::plan::{ReadCause, is_settled};
use super::planning::plan_all;
use super::preprocess::{Job, preprocess_all};
use super::record::{ObservedFile, Outcome, Recorder};
use super::report::{IndexReport, Progress, Waiting};
use super::setting::Setting;
use super::targets::{Target, prepare};
use super::throttle::Throttle;
use super::worker::work;
use crate::encoder::Encoder;
use crate::error::{Error, Result, io_reason};
use crate::media::{DecodeLimits, Packets, Reading, read_content};
use crate::model::Device;
use crate::scan::ScanOptions;
use crate::store::{ContentState, FoundFile, KnownContent, ModelRow, Store, Writer};
use crate::types::{ByteBudget, DecodedFrom, Metadata, RootId, Stage, current_memory, give_back_memory, now_ns};

/// Maximum number of outcomes in one transaction. A kill of the process loses the open transaction.
const MAX_BATCH_OUTCOMES: usize = 256;

/// Maximum time for which an outcome waits for others before it is committed.
const MAX_BATCH_TIME: Duration = Duration::from_millis(500);

/// Interval between progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Number of reader threads: more than one, so that a slow disk stays busy while a file is being hashed.
const READERS: usize = 2;

/// Maximum number of paths that wait for a reader.
const PATH_QUEUE: usize = 1024;

/// Maximum number of outcomes that wait for the writer.
const OUTCOME_QUEUE: usize = 1024;

/// Largest batch size to try, as a multiple of the initial one.
const MAX_BATCH_GROWTH: usize = 4;

/// Brings the index up to date for these targets.
///
/// # Errors
/// If the database, the model or ONNX Runtime fails. Outcomes that were committed before are kept.
pub(crate) fn add(
    writer: &mut Writer,
    targets: &[Target],
    model: ModelRow,
    encoder: &Encoder,
    options: &AddOptions,
    tuned: Option<Setting>,
    progress: &mut dyn FnMut(Progress),
) -> Result<IndexReport> {
    let start = Instant::now();
    let (online, offline_roots) = prepare_all(writer, targets, &options.scan)?;
    let moment = now_ns() / 1_000_000;
    let online_roots = online.iter().map(|(_, root)| *root).collect();
    let mut recorder = Recorder::new(model, moment, online_roots, options.again());
    // A child token, so that stopping the stages after an error does not cancel other work of the caller.
    let stop = options.cancel.child();
    // The batch size for an accelerator is set later: the device is known only once the model is loaded, and the model
    // is loaded only for new pictures.
    let tuned_batch = tuned.map(|tuned| tuned.batch_size);
    let batch = options.batch_size.map(NonZeroUsize::get).or(tuned_batch);
    let batch = batch.unwrap_or(Device::Cpu.usual_batch(None));
    let workers = options.workers(tuned.map(|tuned| tuned.workers));
    let wanted = Concurrency { workers, batch };
    let memory_plan = MemoryPlan::within(options.memory, wanted, encoder.model(), encoder.may_have_own_sessions());
    recorder.report.warnings.extend(memory_warning(&memory_plan, workers));
    let context = PipelineContext {
        database: writer.path().to_owned(),
        model,
        options,
        cancel: &stop,
        in_flight: Mutex::default(),
        memory_plan,
        files: ByteBudget::new(memory_plan.files),
        encoder,
        pixels: ByteBudget::new(memory_plan.pixels),
        limits: DecodeLimits { memory: memory_plan.pixels, time: options.picture_time },
        crash_journal: if encoder.sandbox().is_isolated() {
            CrashJournal::disabled(writer.path())
        } else {
            CrashJournal::start(writer.path(), memory_plan.concurrency.workers)
        },
        throttle: Throttle::new(memory_plan.concurrency),
        tuned_batch,
        found: AtomicU64::new(0),
        waiting_paths: AtomicUsize::new(0),
        waiting_pictures: AtomicUsize::new(0),
    };
    run(writer, &context, &online, &mut recorder, progress)?;
    context.crash_journal.finish();
    let cancelled = options.cancel.is_cancelled();
    let is_scanned = |(target, root): &(&Target, RootId)| (target.is_whole() && !cancelled).then_some(*root);
    let whole: HashSet<RootId> = online.iter().filter_map(is_scanned).collect();
    let reader = Store::open(writer.path())?;
    let batch = writer.batch()?;
    recorder.finish(&batch, &reader, &whole)?;
    for root in &whole {
        batch.clear_scan_failures(*root, moment)?;
    }
    batch.commit()?;
    let mut report = recorder.report;
    report.missing = writer.missing_since(moment)?;
    report.offline_roots.extend(offline_roots);
    report.warnings.extend(encoder.sandbox().why_not_isolated());
    report.interrupted = cancelled;
    report.device = encoder.device();
    (report.workers, report.batch_size) = (memory_plan.concurrency.workers, context.throttle.batch());
    report.finish(start.elapsed(), encoder.sandbox().peak_memory());
    Ok(report)
}

/// Maintenance that is worthwhile only after many runs: updates the stored counts and checkpoints the database.
pub(crate) fn tidy(writer: &mut Writer) -> Result<()> {
    let batch = writer.batch()?;
    batch.count_pending()?;
    batch.commit()?;
    writer.checkpoint()
}

/// Targets whose roots are online, with the ids of the roots.
type OnlineTargets<'a> = Vec<(&'a Target, RootId)>;

fn prepare_all<'a>(
    writer: &mut Writer,
    targets: &'a [Target],
    options: &ScanOptions,
) -> Result<(OnlineTargets<'a>, Vec<PathBuf>)> {
    let (mut online, mut offline) = (Vec::new(), Vec::new());
    // Files of the same folder share a root, which is prepared only once.
    let mut prepared = HashMap::new();
    for target in targets {
        let root = &target.part.root;
        let id = match prepared.entry((root, target.part.is_root())) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let id = prepare(writer, target, options)?;
                offline.extend(id.is_none().then(|| root.clone()));
                *new.insert(id)
            }
        };
        online.extend(id.map(|id| (target, id)));
    }
    Ok((online, offline))
}

/// Starts the stages, and writes outcomes until all stages have ended.
fn run(
    writer: &mut Writer,
    context: &PipelineContext<'_>,
    targets: &[(&Target, RootId)],
    recorder: &mut Recorder,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let (encoder, memory_plan) = (context.encoder, &context.memory_plan);
    encoder.begin();
    let workers = memory_plan.concurrency.workers;
    let (path_sender, paths) = bounded(PATH_QUEUE);
    let (job_sender, jobs) = bounded(2 * workers);
    let (picture_sender, picture_receiver) = bounded(QUEUED_PER_WORKER * workers);
    let (outcome_sender, outcomes) = bounded(OUTCOME_QUEUE);
    let mut controller = ConcurrencyController::new(effective_limit(memory_plan, encoder), memory_plan.concurrency);
    let mut is_settled = context.options.batch_size.is_some();
    std::thread::scope(|scope| {
        // Moved into the closure, so that a panic here closes the queue before the scope waits for the stages.
        let outcomes = outcomes;
        let sender = outcome_sender.clone();
        let plan = move || plan_all(context, targets, &path_sender, &sender);
        let planner = spawn(scope, "planner".into(), &outcome_sender, plan);
        for reader in 1..=READERS {
            let (paths, jobs, outcomes) = (paths.clone(), job_sender.clone(), outcome_sender.clone());
            let read = move || read_all(context, &paths, &jobs, &outcomes);
            spawn(scope, format!("reader {reader}"), &outcome_sender, read);
        }
        for worker in 0..workers {
            let (jobs, pictures, outcomes) = (jobs.clone(), picture_sender.clone(), outcome_sender.clone());
            let preprocess = move || {
                preprocess_all(context, worker, &jobs, &pictures, &outcomes);
                Ok(())
            };
            spawn(scope, format!("preprocessor {}", worker + 1), &outcome_sender, preprocess);
            let (pictures, outcomes) = (picture_receiver.clone(), outcome_sender.clone());
            let work = move || work(context, worker, &pictures, &outcomes);
            spawn(scope, format!("worker {}", worker + 1), &outcome_sender, work);
        }
        // A queue closes when its last sender is dropped, so this thread must not keep any.
        drop((paths, job_sender, jobs, picture_sender, picture_receiver, outcome_sender));
        let mut report_progress = |report: &IndexReport| {
            let memory = memory_after_trim(&mut controller, encoder);
            let waiting = Waiting {
                paths: context.waiting_paths.load(Ordering::Relaxed),
                pictures: context.waiting_pictures.load(Ordering::Relaxed),
                results: outcomes.len(),
            };
            if !is_settled && let Some(device) = encoder.device() {
                is_settled = true;
                if device.is_accelerator() {
                    let max = memory_plan.max_batch(encoder.model());
                    let batch = context.tuned_batch.unwrap_or_else(|| encoder.usual_batch()).min(max);
                    controller.suit_accelerator(batch, max.min(MAX_BATCH_GROWTH * batch));
                }
            }
            let concurrency = controller.tick(Instant::now(), report.embedded, memory, waiting.pictures > 0);
            context.throttle.set(concurrency);
            progress(Progress {
                found: context.found.load(Ordering::Relaxed),
                scanning: planner.as_ref().is_some_and(|planner| !planner.is_finished()),
                done: report.found(),
                embedded: report.embedded,
                failed: report.failed,
                memory,
                waiting,
                workers: concurrency.workers,
                batch_size: concurrency.batch,
            });
        };
        let result = write_all(writer, context, &outcomes, recorder, &mut report_progress);
        // After an error, drain the queue, so that no stage waits for space in it.
        context.cancel.cancel();
        outcomes.iter().for_each(drop);
        result
    })
}

/// Starts a thread for a stage, with a name for profilers and debuggers. An error of the stage, or of the system that
/// cannot start it, becomes an outcome.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    outcomes: &Sender<Outcome>,
    stage: impl FnOnce() -> Result<()> + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let sender = outcomes.clone();
    let run = move || match stage() {
        // Another stage or worker has reported the error, or is about to.
        Ok(()) | Err(Error::Interrupted) => {}
        Err(error) => drop(sender.send(Outcome::Broken(error))),
    };
    let started = std::thread::Builder::new().name(name).spawn_scoped(scope, run);
    let report_error = |error: std::io::Error| {
        let reason = format!("cannot start another thread: {}", io_reason(&error));
        let _ = outcomes.send(Outcome::Broken(Error::Invalid(reason)));
    };
    started.map_err(report_error).ok()
}

/// The memory limit of the process: the limit of the plan, plus what the process already uses for other purposes. A
/// daemon also answers queries.
fn effective_limit(memory_plan: &MemoryPlan, encoder: &Encoder) -> u64 {
    let counted = if encoder.is_loaded() { memory_plan.fixed } else { MemoryPlan::PROGRAM_BYTES };
    memory_plan.limit + memory(encoder).unwrap_or(0).saturating_sub(counted)
}

/// A warning if the memory limit is too low for all workers, or cannot be kept at all.
fn memory_warning(memory_plan: &MemoryPlan, workers: usize) -> Option<String> {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    if memory_plan.is_beyond_limit() {
        let (needed, limit) = (mib(memory_plan.fixed + memory_plan.files + memory_plan.pixels), mib(memory_plan.limit));
        return Some(format!(
            "the program and the model need about {needed} MiB, more than the limit of {limit} MiB (--memory)"
        ));
    }
    let (limit, left) = (mib(memory_plan.limit), memory_plan.concurrency.workers);
    (left < workers).then(|| {
        format!("{limit} MiB of memory is enough for only {left} of {workers} workers; use --memory to allow more")
    })
}

/// The memory in use, in bytes. If that is close to the limit, unused memory is first returned to the system.
fn memory_after_trim(controller: &mut ConcurrencyController, encoder: &Encoder) -> Option<u64> {
    let now = memory(encoder)?;
    if !controller.wants_trim(Instant::now(), now) {
        return Some(now);
    }
    give_back_memory();
    encoder.sandbox().unload();
    memory(encoder)
}

/// The memory of this process and of its decoder processes, in bytes.
fn memory(encoder: &Encoder) -> Option<u64> {
    Some(current_memory()? + encoder.sandbox().memory())
}

/// Reads and hashes files, and passes contents that need work to the preprocessors.
fn read_all<'a>(
    context: &'a PipelineContext<'_>,
    paths: &Receiver<(ObservedFile, ReadCause)>,
    jobs: &Sender<Job<'a>>,
    outcomes: &Sender<Outcome>,
) -> Result<()> {
    let store = Store::open(&context.database)?;
    for (found, cause) in paths {
        context.waiting_paths.fetch_sub(1, Ordering::Relaxed);
        if context.cancel.is_cancelled() {
            continue;
        }
        match if cause == ReadCause::Undescribed { described(context, &store, &found)? } else { None } {
            Some(outcome) => outcomes.send(outcome).map_err(ended_early)?,
            None => read_one(context, &store, found, jobs, outcomes)?,
        }
    }
    Ok(())
}

/// Reads the metadata of an unchanged file, and nothing else of it. `None` if the file has to be read after all.
fn described(context: &PipelineContext<'_>, store: &Store, found: &ObservedFile) -> Result<Option<Outcome>> {
    let Some(known) = store.content_at(found.file.root, &found.file.path, context.model)? else { return Ok(None) };
    let read = trace_span!("metadata").in_scope(|| Packets::read(&found.path()));
    Ok(read.ok().filter(|(_, stat)| stat.matches(&found.file.stat)).map(|(packets, _)| {
        let metadata = metadata_of(context, &packets);
        Outcome::Described { image: known.image, metadata, is_unchanged: true }
    }))
}

/// Interprets metadata in a decoder process. What ends the process says nothing.
fn metadata_of(context: &PipelineContext<'_>, packets: &Packets) -> Metadata {
    context.encoder.sandbox().metadata(packets, context.limits).unwrap_or_default()
}

fn read_one<'a>(
    context: &'a PipelineContext<'_>,
    store: &Store,
    found: ObservedFile,
    jobs: &Sender<Job<'a>>,
    outcomes: &Sender<Outcome>,
) -> Result<()> {
    let full_path = found.path();
    let hold = |bytes| trace_span!("wait for memory").in_scope(|| context.files.hold(bytes));
    let (reading, permit) = read_content(&full_path, context.memory_plan.files, hold);
    let observed = |stat, read_at_ns| {
        let file = FoundFile { stat, read_at_ns, ..found.file.clone() };
        ObservedFile { file, root_path: found.root_path.clone() }
    };
    let outcome = match reading {
        Reading::InFlux => Outcome::Unsettled(full_path),
        Reading::Exhausted(error) => return Err(Error::io("open", full_path)(error)),
        Reading::Skipped(reason, stat, read_at) => Outcome::Skipped { observed: observed(stat, read_at), reason },
        Reading::Failed(reason, stat, read_at) => {
            let observed = stat.map(|stat| observed(stat, read_at));
            Outcome::Unreadable { root: found.file.root, path: found.file.path, observed, stage: Stage::Read, reason }
        }
        Reading::Sidecar(bytes, stat, read_at) => {
            let metadata = metadata_of(context, &Packets::of_xmp_file(bytes));
            Outcome::Sidecar { observed: observed(stat, read_at), metadata }
        }
        Reading::Content(content, stat, read_at) => {
            let observed = observed(stat, read_at);
            let hash = content.hash;
            let is_claimed = context.in_flight.lock().insert(hash);
            // Looked up only after the claim, so that no other thread can be about to store the content.
            let look_up = || store.content(&hash, context.model);
            let known = if is_claimed { trace_span!("look up").in_scope(look_up)? } else { None };
            if !is_claimed {
                Outcome::Duplicate { observed, hash }
            } else if let Some(known) = known.filter(|known| is_settled(known.state, context.options.again())) {
                context.in_flight.lock().remove(&hash);
                Outcome::Linked { observed, image: known.image, state: known.state }
            } else if let Some(known) = known.filter(|known| known.state == ContentState::Undescribed) {
                let metadata = metadata_of(context, &Packets::find(&content.bytes, content.format));
                let described = Outcome::Described { image: known.image, metadata, is_unchanged: false };
                outcomes.send(described).map_err(ended_early)?;
                context.in_flight.lock().remove(&hash);
                Outcome::Linked { observed, image: known.image, state: ContentState::Done }
            } else if context.crash_journal.is_blamed(&hash) && !context.options.retry_failed {
                let reason = "the program ended more than once while decoding this picture".into();
                Outcome::Undecodable { observed, hash, bytes: content.size, reason }
            } else {
                let permit = permit.expect("a content that was read has a memory permit");
                let has_vector = known.is_some_and(|known| known.state == ContentState::Unmeasured);
                // What is known of a whole picture is not replaced by what its thumbnail shows.
                let is_quick = context.options.quick && !is_whole(store, known)?;
                context.waiting_pictures.fetch_add(1, Ordering::Relaxed);
                return jobs.send(Job { observed, content, permit, has_vector, is_quick }).map_err(ended_early);
            }
        }
    };
    // The writer may not take the outcome for a while.
    drop(permit);
    outcomes.send(outcome).map_err(ended_early)
}

/// Whether more than a thumbnail was decoded of a content before.
fn is_whole(store: &Store, known: Option<KnownContent>) -> Result<bool> {
    let Some(known) = known else { return Ok(false) };
    Ok(store.info_of(known.image)?.is_some_and(|info| info.decoded_from != DecodedFrom::Thumbnail))
}

/// Writes outcomes in transactions until there are no more.
fn write_all(
    writer: &mut Writer,
    context: &PipelineContext<'_>,
    outcomes: &Receiver<Outcome>,
    recorder: &mut Recorder,
    report_progress: &mut dyn FnMut(&IndexReport),
) -> Result<()> {
    // Reported at once, so that observers know that the run has started.
    report_progress(&recorder.report);
    let mut reported = Instant::now();
    loop {
        // Wait without a transaction, so that others can write or reset the write-ahead log meanwhile.
        let first = match outcomes.recv_timeout(PROGRESS_INTERVAL) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                report_progress(&recorder.report);
                reported = Instant::now();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => {
                report_progress(&recorder.report);
                return Ok(());
            }
        };
        let batch = writer.batch()?;
        let deadline = Instant::now() + MAX_BATCH_TIME;
        let mut next = Some(first);
        let mut count = 0;
        while let Some(outcome) = next {
            if let Outcome::Broken(error) = outcome {
                batch.commit()?;
                return Err(error);
            }
            trace_span!("record").in_scope(|| recorder.record(&batch, outcome))?;
            count += 1;
            if reported.elapsed() >= PROGRESS_INTERVAL {
                report_progress(&recorder.report);
                reported = Instant::now();
            }
            next = if count < MAX_BATCH_OUTCOMES { outcomes.recv_deadline(deadline).ok() } else { None };
        }
        trace_span!("commit").in_scope(|| batch.commit())?;
        for hash in recorder.settled.drain(..) {
            context.in_flight.lock().remove(&hash);
        }
    }
}
