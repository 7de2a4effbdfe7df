//! The context of `add` and the queues between them.
//!
//! ```text
//! planner ──paths──▶ readers ──contents──▶ lookers ──pixels──▶ workers ──vectors──▶ writer (the calling thread)
//!    └──────────── what needs no reading ───────────────────────────────────────────▲
//! ```

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::trace_span;

use super::concurrency::{Concurrency, ConcurrencyController};
use super::context::{FoundPath, PipelineContext};
use super::crash_journal::CrashJournal;
use super::engine::Engine;
use super::memory_plan::{AHEAD, MemoryPlan};
use super::options::AddOptions;
use super::planning::plan_all;
use super::preprocess::{Job, preprocess_all};
use super::record::{InFlightSet, ObservedFile, Outcome, Recorder};
use super::report::{IndexReport, Progress, Waiting};
use super::targets::{Target, prepare};
use super::throttle::Throttle;
use super::trial::Setting;
use super::worker::work;
use crate::error::{Error, Result, io_reason};
use crate::media::{DecodeLimits, Reading, read_content};
use crate::model::Device;
use crate::scan::ScanOptions;
use crate::store::{ContentState, FoundFile, ModelRow, Store, Writer};
use crate::types::{ByteBudget, RootId, Stage, current_memory, give_back_memory, path_from_bytes};

/// Outcomes that a transaction holds at most. What is in an open transaction is lost if the process is killed.
const BATCH_OUTCOMES: usize = 256;

/// How long an outcome waits for others before it is committed.
const BATCH_TIME: Duration = Duration::from_millis(500);

/// How often progress is told.
const PROGRESS_TIME: Duration = Duration::from_millis(100);

/// Threads that read: more than one, so that a slow disk has something to do while a file is being hashed.
const READERS: usize = 2;

/// Paths that wait for a reader.
const PATH_QUEUE: usize = 1024;

/// Outcomes that wait for the writer.
const OUTCOME_QUEUE: usize = 1024;

/// How many times as large as at first batches are tried at most.
const MOST_GROWTH: usize = 4;

/// Brings the targets up to date.
///
/// # Errors
/// When the database, the model or ONNX Runtime fails. What was committed before stays.
pub(crate) fn add(
    writer: &mut Writer,
    targets: &[Target],
    model: ModelRow,
    engine: &Engine,
    options: &AddOptions,
    tuned: Option<Setting>,
    progress: &mut dyn FnMut(Progress),
) -> Result<IndexReport> {
    let start = Instant::now();
    let (online, offline_roots) = prepare_all(writer, targets, &options.scan)?;
    let moment = milliseconds_since_1970();
    let online_roots = online.iter().map(|(_, root)| *root).collect();
    let mut recorder = Recorder::new(model, moment, online_roots, options.retry_failed);
    // Also stops the context after an error, which must not cancel the caller's other work.
    let stop = options.cancel.child();
    // What suits the device is known when the model has been loaded, which only new pictures are a reason for.
    let tuned_batch = tuned.map(|tuned| tuned.batch_size);
    let batch = options.batch_size.map(NonZeroUsize::get).or(tuned_batch);
    let batch = batch.unwrap_or(Device::Cpu.usual_batch(None));
    let workers = options.workers(tuned.map(|tuned| tuned.workers));
    let memory_plan =
        MemoryPlan::within(options.memory, workers, batch, engine.model(), engine.may_have_own_sessions());
    recorder.report.warnings.extend(too_little_memory(&memory_plan, workers));
    let context = PipelineContext {
        database: writer.path().to_owned(),
        model,
        options,
        cancel: &stop,
        in_flight: InFlightSet::default(),
        memory_plan,
        files: ByteBudget::new(memory_plan.files),
        engine,
        pixels: ByteBudget::new(memory_plan.pixels),
        limits: DecodeLimits { memory: memory_plan.pixels, time: options.picture_time },
        crash_journal: if engine.sandbox().is_isolated() {
            CrashJournal::none(writer.path())
        } else {
            CrashJournal::start(writer.path(), memory_plan.workers)
        },
        throttle: Throttle::new(Concurrency { workers: memory_plan.workers, batch: memory_plan.batch }),
        tuned_batch,
        found: AtomicU64::new(0),
        waiting_paths: AtomicUsize::new(0),
        waiting_pictures: AtomicUsize::new(0),
    };
    run(writer, &context, &online, engine, &mut recorder, progress)?;
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
    report.warnings.extend(engine.sandbox().why_not_isolated());
    report.interrupted = cancelled;
    report.device = engine.device();
    (report.workers, report.batch_size) = (memory_plan.workers, context.throttle.batch());
    report.finish(start.elapsed(), engine.sandbox().peak_memory());
    Ok(report)
}

/// Brings up to date what only many runs together need: counts, and the database file itself.
pub(crate) fn tidy(writer: &mut Writer) -> Result<()> {
    let batch = writer.batch()?;
    batch.count_pending()?;
    batch.commit()?;
    writer.checkpoint()
}

/// Targets whose roots can be read, with the roots' rows.
type OnlineTargets<'a> = Vec<(&'a Target, RootId)>;

fn prepare_all<'a>(
    writer: &mut Writer,
    targets: &'a [Target],
    options: &ScanOptions,
) -> Result<(OnlineTargets<'a>, Vec<PathBuf>)> {
    let (mut online, mut offline) = (Vec::new(), Vec::new());
    // Of many files in one folder the folder is prepared once.
    let mut prepared: HashMap<(&Path, bool), Option<RootId>> = HashMap::new();
    for target in targets {
        let key = (target.root_path.as_path(), target.scope.as_os_str().is_empty());
        let root = match prepared.get(&key) {
            Some(root) => *root,
            None => {
                let root = prepare(writer, target, options)?;
                if root.is_none() {
                    offline.push(target.root_path.clone());
                }
                prepared.insert(key, root);
                root
            }
        };
        online.extend(root.map(|root| (target, root)));
    }
    Ok((online, offline))
}

/// Starts the context and writes until all of them are done.
fn run(
    writer: &mut Writer,
    context: &PipelineContext<'_>,
    targets: &[(&Target, RootId)],
    engine: &Engine,
    recorder: &mut Recorder,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    engine.begin();
    let MemoryPlan { workers, batch, .. } = context.memory_plan;
    let (path_sender, paths) = bounded(PATH_QUEUE);
    let (job_sender, jobs) = bounded(2 * workers);
    let (picture_sender, picture_receiver) = bounded(AHEAD * workers);
    let (outcome_sender, outcomes) = bounded(OUTCOME_QUEUE);
    let mut controller =
        ConcurrencyController::new(limit_now(&context.memory_plan, engine), Concurrency { workers, batch });
    let mut is_settled = context.options.batch_size.is_some();
    std::thread::scope(|scope| {
        // Taken into the closure, so that a panic here ends the queue before the scope waits for the context.
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
            let look = move || preprocess_all(context, worker, &jobs, &pictures, &outcomes);
            spawn(scope, format!("preprocessor {}", worker + 1), &outcome_sender, look);
            let (pictures, outcomes) = (picture_receiver.clone(), outcome_sender.clone());
            let work = move || work(context, worker, &pictures, &outcomes);
            spawn(scope, format!("worker {}", worker + 1), &outcome_sender, work);
        }
        // Each queue ends when its last sender is gone, so none may be left here.
        drop((paths, job_sender, jobs, picture_sender, picture_receiver, outcome_sender));
        let mut tell = |report: &IndexReport| {
            let memory = memory_now(&mut controller, engine);
            let waiting = Waiting {
                paths: context.waiting_paths.load(Ordering::Relaxed),
                pictures: context.waiting_pictures.load(Ordering::Relaxed),
                results: outcomes.len(),
            };
            if !is_settled && let Some(device) = engine.device() {
                is_settled = true;
                if device.is_accelerator() {
                    let most = context.memory_plan.most_batch(engine.model());
                    let batch = context.tuned_batch.unwrap_or_else(|| engine.usual_batch()).min(most);
                    controller.suit_accelerator(batch, most.min(MOST_GROWTH * batch));
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
        let result = write_all(writer, context, &outcomes, recorder, &mut tell);
        // After an error: let the context run dry, so that none of them waits for memory_plan in its queue.
        context.cancel.cancel();
        outcomes.iter().for_each(drop);
        result
    })
}

/// Starts a thread with a name, by which profilers and debuggers tell it; where there is no memory_plan for it, that is the outcome.
fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    outcomes: &Sender<Outcome>,
    run: impl FnOnce() + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, ()>> {
    let started = std::thread::Builder::new().name(name).spawn_scoped(scope, run);
    let no_room = |error: std::io::Error| {
        let reason = format!("the system has no memory_plan for another thread: {}", io_reason(&error));
        let _ = outcomes.send(Outcome::Broken(Error::Invalid(reason)));
    };
    started.map_err(no_room).ok()
}

/// What the process may have: the limit, and what it has already that the limit does not count. A daemon answers queries beside.
fn limit_now(memory_plan: &MemoryPlan, engine: &Engine) -> u64 {
    let counted = if engine.is_loaded() { memory_plan.fixed } else { MemoryPlan::PROGRAM };
    memory_plan.limit + memory(engine).unwrap_or(0).saturating_sub(counted)
}

/// What has to be said if a limit of memory keeps workers from being there, or cannot be kept at all.
fn too_little_memory(memory_plan: &MemoryPlan, workers: usize) -> Option<String> {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    if memory_plan.is_beyond_limit() {
        let (least, limit) = (mib(memory_plan.fixed + memory_plan.files + memory_plan.pixels), mib(memory_plan.limit));
        return Some(format!(
            "the program and the model need about {least} MiB, more than the {limit} MiB of --memory"
        ));
    }
    let (limit, left) = (mib(memory_plan.limit), memory_plan.workers);
    (left < workers).then(|| {
        format!("{limit} MiB of memory have memory_plan for {left} of {workers} workers; --memory allows more")
    })
}

/// The memory that the process has; if that is nearly all it may have, what the allocator keeps for later is given back first.
fn memory_now(controller: &mut ConcurrencyController, engine: &Engine) -> Option<u64> {
    let now = memory(engine)?;
    if !controller.wants_trim(Instant::now(), now) {
        return Some(now);
    }
    give_back_memory();
    engine.sandbox().unload();
    memory(engine)
}

/// The memory of this process, and of those that decode for it.
fn memory(engine: &Engine) -> Option<u64> {
    Some(current_memory()? + engine.sandbox().memory())
}

/// Reads and hashes files, and passes on those with contents that need work.
fn read_all<'a>(
    context: &'a PipelineContext<'_>,
    paths: &Receiver<FoundPath>,
    jobs: &Sender<Job<'a>>,
    outcomes: &Sender<Outcome>,
) {
    let store = match Store::open(&context.database) {
        Ok(store) => store,
        Err(error) => {
            let _ = outcomes.send(Outcome::Broken(error));
            return;
        }
    };
    for path in paths {
        context.waiting_paths.fetch_sub(1, Ordering::Relaxed);
        if context.cancel.is_cancelled() {
            continue;
        }
        let sent = match read_one(context, &store, path) {
            Ok(Next::Work(job)) => {
                context.waiting_pictures.fetch_add(1, Ordering::Relaxed);
                jobs.send(*job).is_ok()
            }
            Ok(Next::Done(outcome)) => outcomes.send(*outcome).is_ok(),
            Err(error) => {
                let _ = outcomes.send(Outcome::Broken(error));
                return;
            }
        };
        if !sent {
            return;
        }
    }
}

/// What follows the reading of a file.
enum Next<'a> {
    Work(Box<Job<'a>>),
    Done(Box<Outcome>),
}

fn read_one<'a>(context: &'a PipelineContext<'_>, store: &Store, path: FoundPath) -> Result<Next<'a>> {
    let FoundPath { root, root_path, file } = path;
    let full_path = root_path.join(path_from_bytes(&file.path));
    let hold = |bytes| trace_span!("wait for memory_plan").in_scope(|| context.files.hold(bytes));
    let (reading, held) = read_content(&full_path, context.memory_plan.files, hold);
    let observed = |stat, read_at_ns| {
        let file = FoundFile { root, path: file.path.clone(), stat, read_at_ns };
        ObservedFile { file, root_path: root_path.clone() }
    };
    let outcome = match reading {
        Reading::InFlux => Outcome::Unsettled(full_path.clone()),
        Reading::Exhausted(error) => return Err(Error::io("open", full_path)(error)),
        Reading::Skipped(reason, stat, read_at) => Outcome::Skipped { observed: observed(stat, read_at), reason },
        Reading::Failed(reason, stat, read_at) => {
            let observed = stat.map(|stat| observed(stat, read_at));
            Outcome::Unreadable { root, path: file.path.clone(), observed, stage: Stage::Read, reason }
        }
        Reading::Content(content, stat, read_at) => {
            let observed = observed(stat, read_at);
            let hash = content.hash;
            let is_mine = context.in_flight.take(hash);
            // Decoded up after it was claimed, so that nobody can be about to store it.
            let look_up = || store.content(&hash, context.model);
            let known = if is_mine { trace_span!("look up").in_scope(look_up)? } else { None };
            if !is_mine {
                Outcome::Twin { observed, hash }
            } else if let Some(known) = known.filter(|known| is_settled(context, known.state)) {
                context.in_flight.release(&hash);
                Outcome::Linked { observed, image: known.image, state: known.state }
            } else if context.crash_journal.is_blamed(&hash) && !context.options.retry_failed {
                let reason = "the program ended more than once while this was being decoded".into();
                Outcome::Undecodable { observed, hash, bytes: content.bytes.len() as u64, reason }
            } else {
                let held = held.expect("what was read is held");
                let has_vector = known.is_some_and(|known| known.state == ContentState::Unmeasured);
                return Ok(Next::Work(Box::new(Job { observed, content, held, has_vector })));
            }
        }
    };
    Ok(Next::Done(Box::new(outcome)))
}

/// Whether a content needs no work.
fn is_settled(context: &PipelineContext<'_>, state: ContentState) -> bool {
    match state {
        ContentState::Done => true,
        ContentState::Failed => !context.options.retry_failed,
        ContentState::Pending | ContentState::Unmeasured => false,
    }
}

/// Writes outcomes in transactions until there are no more.
fn write_all(
    writer: &mut Writer,
    context: &PipelineContext<'_>,
    outcomes: &Receiver<Outcome>,
    recorder: &mut Recorder,
    tell: &mut dyn FnMut(&IndexReport),
) -> Result<()> {
    // At once, so that somebody who looks on knows that it has begun.
    tell(&recorder.report);
    let mut told = Instant::now();
    loop {
        // Wait without a transaction, so that others can write to the log's reset meanwhile.
        let first = match outcomes.recv_timeout(PROGRESS_TIME) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                tell(&recorder.report);
                told = Instant::now();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => {
                tell(&recorder.report);
                return Ok(());
            }
        };
        let batch = writer.batch()?;
        let deadline = Instant::now() + BATCH_TIME;
        let mut next = Some(first);
        let mut count = 0;
        while let Some(outcome) = next {
            if let Outcome::Broken(error) = outcome {
                batch.commit()?;
                return Err(error);
            }
            trace_span!("record").in_scope(|| recorder.record(&batch, outcome))?;
            count += 1;
            if told.elapsed() >= PROGRESS_TIME {
                tell(&recorder.report);
                told = Instant::now();
            }
            next = if count < BATCH_OUTCOMES { outcomes.recv_deadline(deadline).ok() } else { None };
        }
        trace_span!("commit").in_scope(|| batch.commit())?;
        for hash in recorder.committed() {
            context.in_flight.release(&hash);
        }
    }
}

fn milliseconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
