//! `imgidx status`

use imgidx::documents::{IndexStatus, Run};
use imgidx::index::Status;
use imgidx::store::{RootState, RunRow};
use imgidx::watch::DaemonStatus;
use imgidx::{Filter, Result};

use super::Global;
use super::output::{Done, Failure, Out, count};

pub(super) fn run(global: &Global) -> Result<Done, Failure> {
    let index = global.open_searcher(None)?;
    let status = index.status()?;
    let skipped = index.skipped_reasons(&Filter::default())?;
    let runs = index.runs(RUNS)?;
    let (daemon, lines) = daemon(&status);
    let mut out = Out::new();
    if global.json {
        out.document(IndexStatus::new(status, skipped, daemon, &runs))?;
    } else {
        print(&mut out, &status, &skipped)?;
        if let Some(run) = runs.first() {
            out.line(format_args!("last add  {}", run_line(run)))?;
        }
        for (i, line) in lines.iter().enumerate() {
            let head = if i == 0 { "daemon    " } else { "          " };
            out.line(format_args!("{head}{line}"))?;
        }
    }
    out.finish()
}

/// Number of runs in the JSON document.
const RUNS: usize = 20;

fn run_line(run: &RunRow) -> String {
    let pictures = count(run.embedded, "picture");
    let rate = if run.embedded > 0 { format!(" ({:.1} images/s)", run.images_per_second) } else { String::new() };
    format!("{}: {pictures} embedded in {:.2} s{rate}", Run::from(run).started, run.seconds)
}

/// The status of the daemon, as part of the document and as lines of text.
#[cfg(unix)]
fn daemon(status: &Status) -> (Option<DaemonStatus>, Vec<String>) {
    let daemon = super::ask::status(&status.database);
    let lines = daemon.as_ref().map(super::daemon::lines).unwrap_or_default();
    (daemon, lines)
}

#[cfg(not(unix))]
fn daemon(_: &Status) -> (Option<DaemonStatus>, Vec<String>) {
    (None, Vec::new())
}

fn print(out: &mut Out, status: &Status, skipped: &[(String, u64)]) -> std::io::Result<()> {
    let counts = &status.counts;
    out.path("database  ", &status.database, '\n')?;
    out.line(format_args!("pictures  {} in {}", counts.images, count(counts.files, "file")))?;
    for (number, text) in [
        (counts.missing, "missing; `imgidx prune` removes missing files from the index"),
        (status.failures, "could not be indexed; `imgidx failures` lists them"),
        (counts.truncated, "truncated; indexed as far as possible"),
    ] {
        if number > 0 {
            out.line(format_args!("          {} {text}", count(number, "file")))?;
        }
    }
    for (reason, files) in skipped {
        out.line(format_args!("          {} skipped: {reason}", count(*files, "file")))?;
    }
    let listed = |names: Vec<(&str, u64)>| {
        let parts: Vec<String> = names.into_iter().map(|(name, number)| format!("{number} {name}")).collect();
        parts.join(", ")
    };
    if !status.types.is_empty() {
        let types = status.types.iter().map(|(kind, number)| (kind.as_str(), *number)).collect();
        out.line(format_args!("types     {}", listed(types)))?;
    }
    if status.unmeasured > 0 {
        let pictures = count(status.unmeasured, "picture");
        out.line(format_args!("          {pictures} not measured yet; run `imgidx add` on the indexed directories"))?;
    }
    if status.provisional > 0 {
        let pictures = count(status.provisional, "picture");
        out.line(format_args!(
            "          {pictures} indexed by thumbnails; run `imgidx add` without --quick on the indexed directories"
        ))?;
    }
    if !status.labels.is_empty() {
        let labels = status.labels.iter().map(|(label, number)| (label.as_str(), *number)).collect();
        out.line(format_args!("labels    {}", listed(labels)))?;
    }
    let index = &status.index;
    out.line(format_args!("model     {}", status.model))?;
    if index.pending > 0 {
        let pictures = count(index.pending, "picture");
        out.line(format_args!(
            "          {pictures} without a vector of it; run `imgidx add` on the indexed directories"
        ))?;
    }
    let mut parts = vec![count(index.rows, "vector")];
    // Without quantized vectors, all are compared, and nothing is left to do.
    if index.snapshot > 0 {
        parts.extend((index.delta > 0).then(|| format!("{} newer than the quantized file", index.delta)));
        parts.extend((index.dead > 0).then(|| format!("{} deleted but still in that file", index.dead)));
    }
    out.line(format_args!("index     {}", parts.join(", ")))?;
    if let Some(graph) = &index.graph {
        let found = 100.0 * graph.recall;
        let text =
            format!("graph of {}, finds {found:.1} % of the ten nearest neighbours", count(graph.vectors, "vector"));
        out.line(format_args!("          {text}"))?;
    }
    for (i, root) in status.roots.iter().enumerate() {
        let state = if root.state == RootState::Online { "online " } else { "offline" };
        let head = if i == 0 { "roots     " } else { "          " };
        out.path(&format!("{head}{state}  {:>8}  ", root.files), &root.path, '\n')?;
        if !root.recursive {
            out.line("                             only files that were added one by one, not the whole directory")?;
        }
        if root.vanished > 0 {
            let files = count(root.vanished, "file");
            out.line(format_args!(
                "          {files} disappeared at once; if they are really gone, run `imgidx prune`"
            ))?;
        }
    }
    for (i, path) in status.forgotten.iter().enumerate() {
        let head = if i == 0 { "forgotten " } else { "          " };
        out.path(&format!("{head}                   "), path, '\n')?;
    }
    if status.traces > 0 {
        out.line(format_args!("traces    {}", status.traces))?;
    }
    Ok(())
}
