//! The first stage: plans all targets, and sends each file to the readers or straight to the writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;
use tracing::trace_span;

use super::context::{PipelineContext, ended_early};
use super::plan::{PlanStep, Planner, ReadCause};
use super::record::{ObservedFile, Outcome};
use super::targets::{Target, health};
use crate::error::{Error, Result};
use crate::scan::ScannedFile;
use crate::store::{FileState, FoundFile, Store};
use crate::types::{RootId, Stage, now_ns, path_from_bytes, path_to_bytes};

/// Plans all targets. Files that have to be read go to `paths`, all other steps to `outcomes`.
pub(super) fn plan_all(
    context: &PipelineContext<'_>,
    targets: &[(&Target, RootId)],
    paths: &Sender<(ObservedFile, ReadCause)>,
    outcomes: &Sender<Outcome>,
) -> Result<()> {
    let store = Store::open(&context.database)?;
    targets.iter().try_for_each(|(target, root)| plan_one(context, &store, target, *root, paths, outcomes))
}

fn plan_one(
    context: &PipelineContext<'_>,
    store: &Store,
    target: &Target,
    root: RootId,
    paths: &Sender<(ObservedFile, ReadCause)>,
    outcomes: &Sender<Outcome>,
) -> Result<()> {
    let options = context.options;
    let known = store.roots()?.into_iter().find(|known| known.id == root);
    let mut planner = Planner::new(store, target, known.as_ref(), context.model, &options.scan, options.again())?;
    let root_path: Arc<Path> = target.part.root.as_path().into();
    let scope = path_to_bytes(&target.part.scope);
    let observed = |ScannedFile { path, stat }| {
        let file = FoundFile { root, path, stat, read_at_ns: now_ns() };
        ObservedFile { file, root_path: root_path.clone() }
    };
    let mut unchanged = UnchangedRun { outcomes, run: None };
    while let Some(step) = trace_span!("walk").in_scope(|| planner.next())? {
        if context.cancel.is_cancelled() {
            return unchanged.end();
        }
        context.found.fetch_add(1, Ordering::Relaxed);
        if !matches!(step, PlanStep::Unchanged(_)) {
            unchanged.end()?;
        }
        let outcome = match step {
            PlanStep::Unchanged(state) => {
                unchanged.add(state)?;
                continue;
            }
            PlanStep::Restored(id, state) => Outcome::Restored(id, state),
            PlanStep::Moved(from, file, _) => Outcome::Moved { from, observed: observed(file) },
            PlanStep::Unlisted(error) if error.is_exhausted => {
                let folder = root_path.join(path_from_bytes(&error.path));
                let text = format!("cannot list `{}`: {}", folder.display(), error.reason);
                return Err(Error::Invalid(text));
            }
            PlanStep::Unlisted(error) => {
                let (path, reason) = (error.path, error.reason);
                Outcome::Unreadable { root, path, observed: None, stage: Stage::Scan, reason }
            }
            PlanStep::Read(file, _) if file.path != *scope && is_unsettled(&file, options.settle) => {
                Outcome::Unsettled(observed(file).path())
            }
            PlanStep::Read(file, cause) => {
                context.waiting_paths.fetch_add(1, Ordering::Relaxed);
                paths.send((observed(file), cause)).map_err(ended_early)?;
                continue;
            }
        };
        outcomes.send(outcome).map_err(ended_early)?;
    }
    unchanged.end()?;
    // A drive may have been unplugged during the walk; files that were not found then may still exist.
    let outcome = match known {
        Some(known) if health(store, &known)?.is_none() => Outcome::WentOffline(known.id, known.path),
        _ => Outcome::Unseen(root, planner.unseen()?),
    };
    outcomes.send(outcome).map_err(ended_early)
}

/// A run of consecutive unchanged files, sent as one outcome. There may be a million of them, and waking the writer for
/// each would take longer than all other work for them.
struct UnchangedRun<'a> {
    outcomes: &'a Sender<Outcome>,
    run: Option<(FileState, u64)>,
}

impl UnchangedRun<'_> {
    fn add(&mut self, state: FileState) -> Result<()> {
        /// Limits how far the reported progress lags behind.
        const MAX_RUN: u64 = 256;
        match &mut self.run {
            Some((same, files)) if *same == state && *files < MAX_RUN => *files += 1,
            _ => {
                self.end()?;
                self.run = Some((state, 1));
            }
        }
        Ok(())
    }

    /// Sends the current run, if any.
    fn end(&mut self) -> Result<()> {
        let Some((state, files)) = self.run.take() else { return Ok(()) };
        self.outcomes.send(Outcome::Unchanged(state, files)).map_err(ended_early)
    }
}

/// Whether a file has changed so recently that it may still be being written. A time in the future is ignored.
fn is_unsettled(file: &ScannedFile, settle: Option<Duration>) -> bool {
    let Some(settle) = settle else { return false };
    let age = now_ns().saturating_sub(file.stat.ctime_ns.max(file.stat.mtime_ns));
    u64::try_from(age).is_ok_and(|age| u128::from(age) < settle.as_nanos())
}
