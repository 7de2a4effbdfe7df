//! `imgidx status`

use std::time::{Duration, SystemTime};

use imgidx::Result;
use imgidx::index::Status;
use imgidx::store::{RootState, RunRow};
use serde_json::{Map, Value, json};

use super::Global;
use super::output::{Done, Failure, Out, count, insert_path};

pub(super) fn run(global: &Global) -> Result<Done, Failure> {
    let index = global.open_searcher(None)?;
    let status = index.status()?;
    let skipped = index.skipped_reasons()?;
    let runs = index.runs(RUNS)?;
    let (daemon, lines) = daemon(&status);
    let mut out = Out::new();
    if global.json {
        let mut fields = document(&status, &skipped, daemon);
        fields.insert("runs".into(), runs.iter().map(run_document).collect());
        out.document(fields)?;
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
    Ok(out.finish().map(|()| Done::All)?)
}

/// Number of runs in the JSON document.
const RUNS: usize = 20;

fn run_document(run: &RunRow) -> Value {
    let report: Value = serde_json::from_str(&run.report).unwrap_or_default();
    let mut fields = Map::from_iter([("started".to_owned(), json!(rfc3339(run.started_at)))]);
    if let Value::Object(report) = report {
        fields.extend(report.into_iter().filter(|(key, _)| !matches!(key.as_str(), "offline_roots" | "vanished")));
    }
    Value::Object(fields)
}

fn run_line(run: &RunRow) -> String {
    let pictures = count(run.embedded, "picture");
    let rate = if run.embedded > 0 { format!(" ({:.1} images/s)", run.images_per_second) } else { String::new() };
    format!("{}: {pictures} embedded in {:.2} s{rate}", rfc3339(run.started_at), run.seconds)
}

/// A time in milliseconds since 1970, as text.
fn rfc3339(milliseconds: i64) -> String {
    // The end of the year 9999, because RFC 3339 has four digits for the year.
    const LAST: u64 = 253_402_300_799_999;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis((milliseconds.max(0) as u64).min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The state of the daemon, as JSON and as lines of text.
#[cfg(unix)]
fn daemon(status: &Status) -> (Value, Vec<String>) {
    match super::ask::status(&status.database) {
        Some(daemon) => (super::daemon::document(&daemon), super::daemon::lines(&daemon)),
        None => (Value::Null, Vec::new()),
    }
}

#[cfg(not(unix))]
fn daemon(_: &Status) -> (Value, Vec<String>) {
    (Value::Null, Vec::new())
}

fn document(status: &Status, skipped: &[(String, u64)], daemon: Value) -> Map<String, Value> {
    let roots = status.roots.iter().map(|root| {
        let mut fields = Map::new();
        insert_path(&mut fields, "path", &root.path);
        fields.insert("state".into(), json!(root.state));
        fields.insert("files".into(), json!(root.files));
        fields.insert("vanished".into(), json!(root.vanished));
        Value::Object(fields)
    });
    let mut fields = Map::new();
    insert_path(&mut fields, "database", &status.database);
    let rest = json!({
        "images": status.counts.images,
        "files": status.counts.files,
        "missing": status.counts.missing,
        "skipped": status.counts.skipped,
        "skipped_reasons": skipped.iter().map(|(why, n)| (why.clone(), json!(n))).collect::<Map<_, _>>(),
        "truncated": status.counts.truncated,
        "roots": roots.collect::<Vec<_>>(),
        "types": status.types.iter().map(|(kind, n)| (kind.as_str().to_owned(), json!(n))).collect::<Map<_, _>>(),
        "unmeasured": status.unmeasured,
        "labels": status.labels.iter().map(|(label, n)| json!({"label": label, "images": n})).collect::<Vec<_>>(),
        "model": status.model,
        "index": status.index,
        "failures": status.failures,
        "daemon": daemon,
    });
    fields.append(&mut super::output::object(rest));
    fields
}

fn print(out: &mut Out, status: &Status, skipped: &[(String, u64)]) -> std::io::Result<()> {
    let counts = &status.counts;
    out.path("database  ", &status.database, '\n')?;
    out.line(format_args!("pictures  {} in {}", counts.images, count(counts.files, "file")))?;
    for (number, text) in [
        (counts.missing, "missing; `imgidx prune` removes their rows"),
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
        out.line(format_args!("          {pictures} not measured yet; run `imgidx add` on their directories"))?;
    }
    if !status.labels.is_empty() {
        let labels = status.labels.iter().map(|(label, number)| (label.as_str(), *number)).collect();
        out.line(format_args!("labels    {}", listed(labels)))?;
    }
    let index = &status.index;
    out.line(format_args!("model     {}", status.model))?;
    if index.pending > 0 {
        let pictures = count(index.pending, "picture");
        out.line(format_args!("          {pictures} without a vector of it; run `imgidx add` on their directories"))?;
    }
    let mut parts = vec![count(index.rows, "vector")];
    parts.extend((index.delta > 0).then(|| format!("{} not quantized yet", index.delta)));
    parts.extend((index.dead > 0).then(|| format!("{} deleted but still in the quantized file", index.dead)));
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
        if root.vanished > 0 {
            let files = count(root.vanished, "file");
            out.line(format_args!("          {files} vanished at once; if they are really gone, run `imgidx prune`"))?;
        }
    }
    Ok(())
}
