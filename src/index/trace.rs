//! Tracing pictures, with what was learned from those that were traced before.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::Index;
use crate::error::{Error, Result};
use crate::store::{Recorder, TraceRow};
use crate::trace::{
    Batch, CANDIDATES, CandidateScores, Compared, Estimate, LESSONS, Outcome, Passed, Ready, Sample, ScorePredictor,
    Tier, TraceFacts, TraceInput, TraceOptions, Traced, VERSION, bytes_for, find, trace_inputs,
};
use crate::types::ContentHash;
use crate::vector::NotDrawn;

/// What a trace can be expected to be worth.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceEstimate {
    /// Digest of the picture's content.
    pub hash: ContentHash,
    /// What the estimate is made from.
    pub facts: TraceFacts,
    /// The estimate.
    pub estimate: Estimate,
    /// What a trace that is known is worth, and its tier.
    pub known: Option<(f64, Tier)>,
}

/// What became of one of the pictures that were asked for.
#[derive(Debug)]
pub struct TraceStep<T> {
    /// Its place in the order of what was asked for, from 0.
    pub index: usize,
    /// How many files there are in all.
    pub of: usize,
    /// Its path.
    pub path: PathBuf,
    /// A path for its SVG in some folder, which no other one has: as it lies in the folder that was asked for, or its name, ending in `svg`.
    pub target: PathBuf,
    /// What came of it; `None` if it is in a folder and no drawing, or no picture at all.
    pub result: Option<Result<T>>,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TraceReport {
    /// Pictures that were traced.
    pub traced: u64,
    /// Of those, how many had been traced before.
    pub stored: u64,
    /// Photographs in folders, which were left out.
    pub photos: u64,
    /// Pictures that could not be traced.
    pub failed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether it was cancelled before all was done.
    pub interrupted: bool,
}

impl Index {
    /// Traces pictures, and those in folders, on all processors; `each` is told of each as it is done. What was found is remembered by the content: a
    /// second trace is free, and further ones learn from it.
    ///
    /// Photographs are refused where they are named, and left out in folders, unless the options say otherwise; so are SVGs.
    ///
    /// # Errors
    /// When a path is not there, the database fails, or `each` does. Pictures that cannot be traced are no error: `each` is told.
    pub fn trace<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TraceOptions,
        mut each: impl FnMut(TraceStep<Traced>) -> Result<()>,
    ) -> Result<TraceReport> {
        let experience = self.experience()?;
        let recorder = Recorder::open(self.path());
        let mut is_told = false;
        let mut record = |row: &TraceRow| {
            let recorded = recorder.as_ref().map_err(ToString::to_string);
            let recorded = recorded.and_then(|recorder| recorder.put_trace(row).map_err(|error| error.to_string()));
            if let Err(reason) = recorded
                && !std::mem::replace(&mut is_told, true)
            {
                self.options.tell(&format!("what was traced is not remembered: {reason}"));
            }
        };
        let is_enough = |known: &Traced| !options.pixels && known.suffices(options);
        let work = |batch: &Batch<'_>, ready: Ready<'_>| trace_one(batch, ready, &experience);
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

    /// Tells what traces of pictures, and of those in folders, can be expected to be worth, without making them.
    ///
    /// # Errors
    /// Those of [`Index::trace`].
    pub fn estimate_traces<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
        options: &TraceOptions,
        mut each: impl FnMut(TraceStep<TraceEstimate>) -> Result<()>,
    ) -> Result<TraceReport> {
        let experience = self.experience()?;
        let work = |batch: &Batch<'_>, ready: Ready<'_>| {
            let known = ready.known.map(|known| (known.score, known.tier));
            let (_, facts) = ready.source.expect("it was decoded at, because no drawing is enough");
            let estimate = experience.estimate(&facts, batch.options.tier);
            Ok(TraceEstimate { hash: ready.hash, facts, estimate, known })
        };
        self.run(paths, options, |_| false, work, |step| each(step).map(|()| false))
    }

    fn experience(&self) -> Result<ScorePredictor> {
        let lessons = self.store.trace_lessons(VERSION, LESSONS)?;
        let read = |sample: crate::store::TraceLesson| {
            let facts: TraceFacts = serde_json::from_str(&sample.facts).ok()?;
            let candidates: CandidateScores = serde_json::from_str(&sample.candidates).ok()?;
            Sample::new(&facts, &candidates, sample.score, Tier::from_rank(sample.tier)?)
        };
        Ok(ScorePredictor::new(lessons.into_iter().filter_map(read).collect()))
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
        let batch = Batch::new(self.path(), self.options.sandbox(), options);
        batch.run(&trace_inputs, is_enough, work, |index, outcome| {
            done += 1;
            let result = match outcome {
                Outcome::Done(done) => Some(Ok(done)),
                Outcome::Failed(error) => Some(Err(error)),
                Outcome::PassedOver(passed) => {
                    report.photos += u64::from(passed == Passed::Photo);
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

/// Traces one picture, and tells what is to be remembered of it, unless that is known.
fn trace_one(batch: &Batch<'_>, ready: Ready<'_>, experience: &ScorePredictor) -> Result<(Traced, Option<TraceRow>)> {
    let (options, known) = (batch.options, ready.known);
    let compared = ready.source.as_ref().filter(|_| options.pixels).map(|(source, _)| Compared::of(source));
    let (known, (source, facts)) = match (known, ready.source) {
        (Some(known), _) if known.suffices(options) => return Ok((Traced { compared, ..known }, None)),
        (known, source) => (known, source.expect("it was decoded at, because what is known is not enough")),
    };
    let limits = batch.limits(bytes_for(&source, options.tier));
    // A higher tier begins with what a lower one has found.
    let first = known.map_or_else(|| CANDIDATES[experience.first(&facts)], |known| known.parameters);
    let failed = |error: NotDrawn| Error::NotTraced { path: ready.path.to_owned(), reason: error.to_string() };
    let found = find(&source, options.tier, &[first], &limits).map_err(failed)?;
    let candidates = found.candidates;
    let traced = Traced::new(ready.hash, facts, options.tier, found, ready.time + limits.time());
    let row = traced.to_row(&candidates);
    Ok((Traced { compared, ..traced }, Some(row)))
}
