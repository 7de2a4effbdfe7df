//! Traces pictures, and learns from earlier traces.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::Index;
use crate::error::{Error, Result};
use crate::store::{Recorder, TraceRow};
use crate::trace::{
    Batch, CANDIDATES, CandidateScores, Compared, Estimate, MAX_SAMPLES, Outcome, Ready, Sample, ScorePredictor,
    SkipReason, Tier, TraceFacts, TraceInput, TraceOptions, Traced, VERSION, bytes_for, find, trace_inputs,
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
    /// Traces are stored by content: a second trace of the same picture is free, and later traces learn from it.
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
        let predictor = self.score_predictor()?;
        let recorder = Recorder::open(self.path());
        let mut is_reported = false;
        let mut record = |row: &TraceRow| {
            let recorded = recorder.as_ref().map_err(ToString::to_string);
            let recorded = recorded.and_then(|recorder| recorder.put_trace(row).map_err(|error| error.to_string()));
            if let Err(reason) = recorded
                && !std::mem::replace(&mut is_reported, true)
            {
                self.searcher.options().tell(&format!("cannot store traces: {reason}"));
            }
        };
        let is_enough = |known: &Traced| !options.pixels && known.suffices(options);
        let work = |batch: &Batch<'_>, ready: Ready<'_>| trace_one(batch, ready, &predictor);
        self.run(paths, options, is_enough, work, |step| {
            let TraceStep { index, of, path, target, result } = step;
            let result = result.map(|result| {
                result.map(|(traced, row)| {
                    row.iter().for_each(&mut record);
                    traced
                })
            });
            let stored = result.as_ref().is_some_and(|result| result.as_ref().is_ok_and(|traced| traced.stored));
            each(TraceStep { index, of, path, target, result })?;
            Ok(stored)
        })
    }

    /// Predicts the scores of traces of pictures, and of those in folders, without tracing them.
    ///
    /// # Errors
    /// The same as for [`Index::trace`].
    pub fn estimate_traces<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TraceOptions,
        mut each: impl FnMut(TraceStep<TraceEstimate>) -> Result<()>,
    ) -> Result<TraceReport> {
        let predictor = self.score_predictor()?;
        let work = |batch: &Batch<'_>, ready: Ready<'_>| {
            let known = ready.known.map(|known| (known.score, known.tier));
            let (_, facts) = ready.source.expect("a picture without a sufficient trace is decoded");
            let estimate = predictor.estimate(&facts, batch.options.tier);
            Ok(TraceEstimate { hash: ready.hash, facts, estimate, known })
        };
        self.run(paths, options, |_| false, work, |step| each(step).map(|()| false))
    }

    fn score_predictor(&self) -> Result<ScorePredictor> {
        let samples = self.store.trace_lessons(VERSION, MAX_SAMPLES)?;
        let read = |sample: crate::store::TraceLesson| {
            let facts: TraceFacts = serde_json::from_str(&sample.facts).ok()?;
            let candidates: CandidateScores = serde_json::from_str(&sample.candidates).ok()?;
            Sample::new(&facts, &candidates, sample.score, Tier::from_rank(sample.tier)?)
        };
        Ok(ScorePredictor::new(samples.into_iter().filter_map(read).collect()))
    }

    fn run<P: AsRef<Path>, T: Send>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TraceOptions,
        is_enough: impl Fn(&Traced) -> bool + Sync,
        work: impl Fn(&Batch<'_>, Ready<'_>) -> Result<T> + Sync,
        mut each: impl FnMut(TraceStep<T>) -> Result<bool>,
    ) -> Result<TraceReport> {
        let start = Instant::now();
        let paths: Vec<PathBuf> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let trace_inputs = trace_inputs(&paths)?;
        let mut report = TraceReport::default();
        let mut done = 0;
        let batch = Batch::new(self.path(), self.searcher.options().sandbox(), options);
        batch.run(&trace_inputs, is_enough, work, |index, outcome| {
            done += 1;
            let result = match outcome {
                Outcome::Done(done) => Some(Ok(done)),
                Outcome::Failed(error) => Some(Err(error)),
                Outcome::Skipped(reason) => {
                    report.photos += u64::from(reason == SkipReason::Photo);
                    None
                }
            };
            match &result {
                Some(Ok(_)) => report.traced += 1,
                Some(Err(_)) => report.failed += 1,
                None => {}
            }
            let TraceInput { path, target, .. } = &trace_inputs[index];
            let step = TraceStep { index, of: trace_inputs.len(), path: path.clone(), target: target.clone(), result };
            report.stored += u64::from(each(step)?);
            Ok(())
        })?;
        report.interrupted = done < trace_inputs.len();
        report.seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }
}

/// Traces one picture. Also returns the row to store, unless the stored trace is enough.
fn trace_one(batch: &Batch<'_>, ready: Ready<'_>, predictor: &ScorePredictor) -> Result<(Traced, Option<TraceRow>)> {
    let (options, known) = (batch.options, ready.known);
    let compared = ready.source.as_ref().filter(|_| options.pixels).map(|(source, _)| Compared::of(source));
    let (known, (source, facts)) = match (known, ready.source) {
        (Some(known), _) if known.suffices(options) => return Ok((Traced { compared, ..known }, None)),
        (known, source) => (known, source.expect("a picture without a sufficient trace is decoded")),
    };
    let limits = batch.limits(bytes_for(&source, options.tier));
    // A higher tier starts from the parameters that a lower one found.
    let first = known.map_or_else(|| CANDIDATES[predictor.first(&facts)], |known| known.parameters);
    let failed = |error: NotDrawn| Error::NotTraced { path: ready.path.to_owned(), reason: error.to_string() };
    let found = find(&source, options.tier, &[first], &limits).map_err(failed)?;
    let candidates = found.candidates;
    let traced = Traced::new(ready.hash, facts, options.tier, found, ready.time + limits.time());
    let row = traced.to_row(&candidates);
    Ok((Traced { compared, ..traced }, Some(row)))
}
