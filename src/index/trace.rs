//! Traces pictures, and predicts the scores of traces.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::Index;
use crate::error::{Error, Result};
use crate::store::Recorder;
use crate::trace::{
    Batch, CANDIDATES, Compared, Estimate, Prepared, Ready, Tier, TraceFacts, TraceInput, TraceOptions, Traced,
    bytes_for, find, first_for, trace_inputs,
};
use crate::types::ContentHash;
use crate::vector::NotDrawn;

/// The predicted score of a picture's trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceEstimate {
    /// Digest of the file's content.
    pub hash: ContentHash,
    /// Properties of the picture that the estimate is based on.
    pub facts: TraceFacts,
    /// The predicted score and its error.
    pub estimate: Estimate,
    /// Score and tier of the stored trace, if there is one.
    pub known: Option<(f64, Tier)>,
}

/// The outcome for one of the requested files.
#[derive(Debug)]
pub struct TraceStep<T> {
    /// Position in the order of the request, from 0.
    pub index: usize,
    /// Total number of files.
    pub of: usize,
    /// Path of the file.
    pub path: PathBuf,
    /// Relative path for its SVG, unique within the run: its path in the requested folder, or the file name of a
    /// requested file, ending in `svg`.
    pub target: PathBuf,
    /// The result; `None` if the file was found in a folder and is not a drawing, or not a picture.
    pub result: Option<Result<T>>,
}

/// Counts and times of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TraceReport {
    /// Number of pictures traced.
    pub traced: u64,
    /// How many of those had been traced before.
    pub stored: u64,
    /// Number of photographs found in folders and left out.
    pub photos: u64,
    /// Number of pictures that could not be traced.
    pub failed: u64,
    /// Duration of the run, in seconds.
    pub seconds: f64,
    /// Whether the run was cancelled before all pictures were done.
    pub interrupted: bool,
}

impl Index {
    /// Traces pictures, and those in folders, on all CPUs. Calls `each` with every file as it is done, in any order.
    ///
    /// Traces are stored by content: a second trace of the same picture is free.
    ///
    /// Photographs are refused if they are named and left out in folders, unless [`TraceOptions::photos`] is set. SVGs
    /// are always refused or left out.
    ///
    /// # Errors
    /// When a path does not exist, the database fails, or `each` fails. A picture that cannot be traced is not an
    /// error of the run: `each` receives its result.
    pub fn trace<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TraceOptions,
        mut each: impl FnMut(TraceStep<Traced>) -> Result<()>,
    ) -> Result<TraceReport> {
        let recorder = Recorder::open(self.path());
        let mut is_reported = false;
        let mut record = |traced: &Traced| {
            let recorded = match &recorder {
                Ok(recorder) => recorder.put_trace(&traced.to_row()).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = recorded
                && !std::mem::replace(&mut is_reported, true)
            {
                self.searcher.options().tell(&format!("cannot store traces: {reason}"));
            }
        };
        let mut stored = 0;
        let report = self.run(paths, options, options.pixels, trace_one, |step| {
            match &step.result {
                Some(Ok(traced)) if traced.stored => stored += 1,
                Some(Ok(traced)) if !traced.coarse => record(traced),
                _ => {}
            }
            each(step)
        })?;
        Ok(TraceReport { stored, ..report })
    }

    /// Predicts the scores of traces of pictures, and of those in folders, without tracing them.
    ///
    /// # Errors
    /// The same as for [`Index::trace`].
    pub fn estimate_traces<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TraceOptions,
        each: impl FnMut(TraceStep<TraceEstimate>) -> Result<()>,
    ) -> Result<TraceReport> {
        let predict = |batch: &Batch<'_>, ready: Ready<'_>| {
            let prepared = ready.picture.expect("all pictures are decoded");
            let (_, facts) = prepared.source.map_err(|error| failure(batch, ready.path, &error))?;
            let estimate = Estimate::of(&facts, batch.options.tier);
            let known = ready.known.map(|known| (known.score, known.tier));
            Ok(TraceEstimate { hash: ready.hash, facts, estimate, known })
        };
        self.run(paths, options, true, predict, each)
    }

    fn run<P: AsRef<Path>, T: Send>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TraceOptions,
        decode_all: bool,
        work: impl Fn(&Batch<'_>, Ready<'_>) -> Result<T> + Sync,
        mut each: impl FnMut(TraceStep<T>) -> Result<()>,
    ) -> Result<TraceReport> {
        let start = Instant::now();
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let trace_inputs = trace_inputs(&paths)?;
        let mut report = TraceReport::default();
        let mut done = 0;
        let batch = Batch::new(self.path(), self.searcher.options().sandbox(), options, decode_all);
        batch.run(&trace_inputs, work, |index, result| {
            done += 1;
            let TraceInput { path, target, is_named, .. } = &trace_inputs[index];
            let result = match result {
                Err(Error::NoDrawing { is_photo, .. }) if !is_named => {
                    report.photos += u64::from(is_photo);
                    None
                }
                result => {
                    report.traced += u64::from(result.is_ok());
                    report.failed += u64::from(result.is_err());
                    Some(result)
                }
            };
            each(TraceStep { index, of: trace_inputs.len(), path: path.clone(), target: target.clone(), result })
        })?;
        report.interrupted = done < trace_inputs.len();
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }
}

/// Traces one picture, unless its stored trace suffices.
fn trace_one(batch: &Batch<'_>, ready: Ready<'_>) -> Result<Traced> {
    let Ready { path, hash, time, known, picture } = ready;
    let options = batch.options;
    let source = picture.as_ref().and_then(|picture| picture.source.as_ref().ok());
    let compared = source.filter(|_| options.pixels).map(|(source, _)| Compared::of(source));
    let (known, Prepared { source, coarse }) = match (known, picture) {
        (Some(known), _) if known.suffices(options) => return Ok(Traced { compared, ..known }),
        (known, picture) => (known, picture.expect("a picture without a sufficient trace is decoded")),
    };
    let found = source.and_then(|(source, facts)| {
        let limits = batch.limits(bytes_for(&source, options.tier), time);
        // A higher tier starts from the parameters that a lower one found.
        let first = known.as_ref().map_or(CANDIDATES[first_for(facts.kind)], |known| known.parameters);
        find(&source, (hash, facts), options.tier, first, &limits)
    });
    let found = match (found, known) {
        // Better late than worse.
        (Err(NotDrawn::Late), Some(known)) => return Ok(Traced { compared, ..known }),
        (Ok(found), Some(known)) if found.score < known.score => return Ok(Traced { compared, ..known }),
        (Err(NotDrawn::Late), None) => batch.trace_coarsely(hash, coarse),
        (found, _) => found,
    };
    let traced = found.map_err(|error| failure(batch, path, &error))?;
    Ok(Traced { compared, time: time + traced.time, ..traced })
}

fn failure(batch: &Batch<'_>, path: &Path, error: &NotDrawn) -> Error {
    let path = path.to_owned();
    match error {
        NotDrawn::Late if batch.options.cancel.is_cancelled() => Error::Interrupted,
        NotDrawn::Late => Error::TraceTimeout { path, limit: batch.options.time },
        other => Error::NotTraced { path, reason: other.to_string() },
    }
}
