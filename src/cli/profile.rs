//! `--profile FILE`: a timeline of all threads for Perfetto or Chrome's trace viewer, and a table of the stages.
//!
//! The stages are spans of the library, which this subscriber times. Of each span it keeps sums in memory and one line
//! in the file, in the Trace Event Format: complete events, counters and thread names.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use imgidx::types::current_memory;
use imgidx::{Error, Progress, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::output::human_bytes;
use super::output_file::refuse_picture;

/// Events that are written; viewers cope with about this many.
const MAX_EVENTS: u64 = 2_000_000;

/// The profile of one run.
pub(super) struct Profile {
    path: PathBuf,
    start: Instant,
    threads: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// `None` once the profile is finished or a write has failed.
    file: Option<BufWriter<File>>,
    failed: Option<io::Error>,
    events: u64,
    stages: BTreeMap<&'static str, Stage>,
    /// Names of spans, by the address of their metadata.
    names: HashMap<u64, &'static str>,
}

/// The measurements of a stage.
struct Stage {
    /// Durations of single calls in microseconds, without the stages within them.
    times: Histogram<u64>,
    /// Total time in this stage, without the stages within it.
    own: Duration,
    /// Largest growth of the process's memory during one call, in bytes.
    growth: u64,
}

/// A span that a thread has entered.
struct Entered {
    start: Instant,
    memory: u64,
    /// Time in spans within this one.
    inner: Duration,
}

thread_local! {
    static THREAD: RefCell<Option<u64>> = const { RefCell::new(None) };
    static ENTERED: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
}

/// The profile of this process. There is at most one, because a process has one global subscriber.
static STARTED: OnceLock<Arc<Profile>> = OnceLock::new();

impl Profile {
    /// Starts measuring, for the rest of the process.
    ///
    /// # Errors
    /// If the file cannot be created, or the process has another subscriber.
    pub(super) fn start(path: &Path) -> Result<Arc<Self>> {
        refuse_picture(path, false)?;
        let file = File::create(path).map_err(Error::io("create", path))?;
        let mut file = BufWriter::new(file);
        file.write_all(b"[\n").map_err(Error::io("write", path))?;
        let state = State { file: Some(file), failed: None, events: 0, stages: BTreeMap::new(), names: HashMap::new() };
        if let Some(profile) = STARTED.get() {
            // The command waited for another process and starts over: start with an empty profile.
            *profile.state.lock() = state;
            return Ok(profile.clone());
        }
        let profile = Arc::new(Self {
            path: path.to_owned(),
            start: Instant::now(),
            threads: AtomicU64::new(0),
            state: Mutex::new(state),
        });
        let set = tracing::subscriber::set_global_default(profile.clone());
        set.map_err(|error| Error::Invalid(format!("--profile: {error}")))?;
        Ok(STARTED.get_or_init(|| profile).clone())
    }

    /// Records the memory of the process and the lengths of its queues.
    pub(super) fn count(&self, progress: &Progress) {
        let waiting = &progress.waiting;
        let counters = [
            ("memory", json!({"MiB": progress.memory.unwrap_or(0) as f64 / f64::from(1 << 20)})),
            ("waiting", json!({"paths": waiting.paths, "pictures": waiting.pictures, "results": waiting.results})),
        ];
        let at = self.start.elapsed();
        let mut state = self.state.lock();
        for (name, values) in counters {
            state.write(&json!({"name": name, "ph": "C", "ts": micros(at), "pid": 1, "args": values}));
        }
    }

    /// Completes the file, and returns the table of stages as lines.
    pub(super) fn finish(&self) -> Result<Vec<String>> {
        let mut state = self.state.lock();
        let path = self.path.as_path();
        if let Some(mut file) = state.file.take() {
            // Every event so far ends with a comma, so one without a comma must follow.
            let end =
                json!({"name": "end", "ph": "i", "ts": micros(self.start.elapsed()), "pid": 1, "tid": 0, "s": "g"});
            let written = writeln!(file, "{end}\n]").and_then(|()| file.flush());
            written.map_err(Error::io("write", path))?;
        }
        if let Some(error) = state.failed.take() {
            return Err(Error::io("write", path)(error));
        }
        let mut lines = table(&state.stages);
        if state.events >= MAX_EVENTS {
            lines.push(format!("`{}` holds only the first {MAX_EVENTS} events", path.display()));
        }
        Ok(lines)
    }

    /// The number of this thread. Its first use records the name of the thread too.
    fn thread(&self) -> u64 {
        THREAD.with_borrow_mut(|thread| {
            *thread.get_or_insert_with(|| {
                let number = self.threads.fetch_add(1, Ordering::Relaxed) + 1;
                let current = std::thread::current();
                let name = current.name().unwrap_or("thread");
                let args = json!({"name": if name == "main" { "writer" } else { name }});
                let event = json!({"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": args});
                self.state.lock().write(&event);
                number
            })
        })
    }
}

/// The stages, the longest first; stages that only wait come last.
fn table(stages: &BTreeMap<&'static str, Stage>) -> Vec<String> {
    let all: Duration = stages.iter().filter(|(name, _)| !is_waiting(name)).map(|(_, stage)| stage.own).sum();
    let mut stages: Vec<_> = stages.iter().collect();
    stages.sort_by_key(|(name, stage)| (is_waiting(name), std::cmp::Reverse(stage.own)));
    let head = format!(
        "{:<18}{:>9}{:>11}{:>11}{:>11}{:>8}{:>12}",
        "stage", "calls", "mean", "p95", "total", "share", "growth"
    );
    let line = |(name, stage): (&&str, &Stage)| {
        let share = if is_waiting(name) || all.is_zero() {
            String::new()
        } else {
            format!("{:.1} %", 100.0 * stage.own.as_secs_f64() / all.as_secs_f64())
        };
        format!(
            "{name:<18}{:>9}{:>11}{:>11}{:>11}{share:>8}{:>12}",
            stage.times.len(),
            milliseconds(stage.times.mean() / 1e3),
            milliseconds(stage.times.value_at_quantile(0.95) as f64 / 1e3),
            format!("{:.2} s", stage.own.as_secs_f64()),
            human_bytes(stage.growth),
        )
    };
    std::iter::once(head).chain(stages.into_iter().map(line)).collect()
}

/// Whether a stage only waits. Its time is listed but does not count as work.
fn is_waiting(stage: &str) -> bool {
    stage.starts_with("wait") || stage == "paused"
}

fn milliseconds(time: f64) -> String {
    format!("{time:.3} ms")
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

impl State {
    fn write(&mut self, event: &Value) {
        self.events += 1;
        if self.events > MAX_EVENTS {
            return;
        }
        if let Some(file) = &mut self.file
            && let Err(error) = writeln!(file, "{event},")
        {
            (self.file, self.failed) = (None, Some(error));
        }
    }
}

impl Subscriber for Profile {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("imgidx")
    }

    /// The id of a span is the address of its metadata, so all calls of a stage share it. What belongs to a single
    /// call is in `ENTERED`, per thread.
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let place: &'static Metadata<'static> = span.metadata();
        let id = std::ptr::from_ref(place).addr() as u64;
        self.state.lock().names.entry(id).or_insert_with(|| place.name());
        Id::from_u64(id)
    }

    fn enter(&self, _: &Id) {
        let entered = Entered { memory: current_memory().unwrap_or(0), inner: Duration::ZERO, start: Instant::now() };
        ENTERED.with_borrow_mut(|all| all.push(entered));
    }

    fn exit(&self, id: &Id) {
        let end = Instant::now();
        let Some((entered, took)) = ENTERED.with_borrow_mut(|all| {
            let entered = all.pop()?;
            let took = end.duration_since(entered.start);
            if let Some(outer) = all.last_mut() {
                outer.inner += took;
            }
            Some((entered, took))
        }) else {
            return;
        };
        let growth = current_memory().unwrap_or(0).saturating_sub(entered.memory);
        let thread = self.thread();
        let at = entered.start.duration_since(self.start);
        let mut state = self.state.lock();
        let Some(name) = state.names.get(&id.into_u64()).copied() else { return };
        let stage = state.stages.entry(name).or_insert_with(|| Stage {
            times: Histogram::new(3).expect("0 to 5 significant digits are allowed"),
            own: Duration::ZERO,
            growth: 0,
        });
        // Cannot fail: the histogram resizes itself.
        let own = took.saturating_sub(entered.inner);
        let _ = stage.times.record(own.as_micros() as u64);
        stage.own += own;
        stage.growth = stage.growth.max(growth);
        state.write(&json!({"name": name, "ph": "X", "ts": micros(at), "dur": micros(took), "pid": 1, "tid": thread}));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::trace_span;

    #[test]
    fn the_file_is_json_and_time_within_another_stage_is_not_counted_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.json");
        let profile = Profile::start(&path).expect("it is the only one");
        trace_span!("outer").in_scope(|| {
            let start = Instant::now();
            trace_span!("inner").in_scope(|| while start.elapsed() < Duration::from_millis(20) {});
        });
        trace_span!("wait for nothing").in_scope(|| {});
        profile.count(&Progress::default());
        let lines = profile.finish().expect("it can be written");
        let events: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        let names = |kind: &str| -> Vec<&str> {
            events.iter().filter(|it| it["ph"] == kind).filter_map(|it| it["name"].as_str()).collect()
        };
        assert_eq!(names("X"), ["inner", "outer", "wait for nothing"]);
        assert_eq!(names("C"), ["memory", "waiting"]);
        let inner = events.iter().find(|it| it["name"] == "inner").expect("it is there");
        assert!(inner["dur"].as_f64().is_some_and(|time| time > 19_000.0), "{inner}");
        let order: Vec<&str> = lines.iter().map(|line| line[..18].trim()).collect();
        assert_eq!(order, ["stage", "inner", "outer", "wait for nothing"], "{lines:#?}");
        assert!(lines[1].contains(" 9") || lines[1].contains("100.0 %"), "{lines:#?}");
    }
}
