//! Traces: SVG drawings of images, one per content.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{OptionalExtension, Row, params};

use super::Store;
use super::batch::{Writer, now_ms};
use super::open::open_recorder;
use super::sqlite_error::At;
use crate::error::{Error, Result};
use crate::types::{ContentHash, ImageType};

/// The maximum length of a stored SVG document in bytes. The tracer makes no larger ones.
const MAX_SVG_BYTES: u64 = 256 << 20;

/// The stored trace of a picture. Values that only other layers interpret are stored as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRow {
    /// Digest of the picture's content, which may or may not be indexed.
    pub hash: ContentHash,
    /// Version of the tracer.
    pub version: u32,
    /// Tier: 0 fast, 1 balanced, 2 quality.
    pub tier: u8,
    /// Whether there was time to try everything that the tier tries.
    pub complete: bool,
    /// Duration of the trace in milliseconds.
    pub milliseconds: u64,
    /// Number of drawings that were compared.
    pub tried: u32,
    /// Type of the picture.
    pub kind: Option<ImageType>,
    /// Input of the score predictor, as JSON.
    pub facts: String,
    /// Parameters of the drawing, as JSON.
    pub parameters: String,
    /// Score of each candidate, as JSON; `null` for those that were not tried.
    pub candidates: String,
    /// Score of the drawing.
    pub score: f64,
    /// SSIMULACRA2 of the drawing.
    pub ssimulacra2: f64,
    /// Structural similarity (SSIM) of the drawing.
    pub ssim: f64,
    /// Number of shapes.
    pub shapes: u32,
    /// The SVG document.
    pub svg: String,
}

/// The part of a trace that the score predictor learns from.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceLesson {
    /// Input of the score predictor, as JSON.
    pub facts: String,
    /// Score of each candidate, as JSON.
    pub candidates: String,
    /// Score of the drawing.
    pub score: f64,
    /// Tier: 0 fast, 1 balanced, 2 quality.
    pub tier: u8,
}

impl Store {
    /// The trace of a content.
    pub fn trace(&self, hash: &ContentHash) -> Result<Option<TraceRow>> {
        self.trace_where("hash = ?1", hash.as_bytes())
    }

    pub(super) fn trace_at(&self, row: i64) -> Result<Option<TraceRow>> {
        self.trace_where("id = ?1", row)
    }

    fn trace_where(&self, condition: &str, key: impl rusqlite::ToSql) -> Result<Option<TraceRow>> {
        let sql = format!(
            "SELECT hash, version, tier, complete, milliseconds, tried, type, facts, parameters, candidates, score,
                    ssimulacra2, ssim, shapes, svg FROM trace WHERE {condition}"
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([key], read).optional())
            .at(&self.path)
    }

    /// Up to `limit` samples from traces by a version of the tracer, the latest first. Only tiers above 0 try all
    /// candidates, so only those are returned.
    pub fn trace_lessons(&self, version: u32, limit: usize) -> Result<Vec<TraceLesson>> {
        self.connection
            .prepare_cached(
                "SELECT facts, candidates, score, tier FROM trace WHERE version = ?1 AND tier > 0 ORDER BY traced_at DESC LIMIT ?2",
            )
            .and_then(|mut statement| {
                let read = |row: &Row<'_>| {
                    Ok(TraceLesson { facts: row.get(0)?, candidates: row.get(1)?, score: row.get(2)?, tier: row.get(3)? })
                };
                statement.query_map(params![version, limit], read)?.collect()
            })
            .at(&self.path)
    }
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ImageType>> {
    Ok(row.get::<_, Option<String>>(column)?.as_deref().and_then(ImageType::from_name))
}

fn read(row: &Row<'_>) -> rusqlite::Result<TraceRow> {
    let svg = inflate(row.get_ref(14)?.as_blob()?);
    Ok(TraceRow {
        hash: row.get::<_, [u8; 32]>(0)?.into(),
        version: row.get(1)?,
        tier: row.get(2)?,
        complete: row.get(3)?,
        milliseconds: row.get(4)?,
        tried: row.get(5)?,
        kind: kind(row, 6)?,
        facts: row.get(7)?,
        parameters: row.get(8)?,
        candidates: row.get(9)?,
        score: row.get(10)?,
        ssimulacra2: row.get(11)?,
        ssim: row.get(12)?,
        shapes: row.get(13)?,
        svg: svg.map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(14, Type::Blob, Box::new(FromSqlError::Other(Box::new(error))))
        })?,
    })
}

fn deflate(svg: &str) -> std::io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(svg.as_bytes())?;
    encoder.finish()
}

fn inflate(bytes: &[u8]) -> std::io::Result<String> {
    let mut svg = String::new();
    DeflateDecoder::new(bytes).take(MAX_SVG_BYTES).read_to_string(&mut svg)?;
    Ok(svg)
}

/// Writes traces, without the lock of a [`Writer`], so that a trace need not wait for a run of `add`, which may take
/// hours. Nothing else that is written depends on traces. Each trace is its own transaction.
#[derive(Debug)]
pub struct Recorder {
    store: Store,
}

impl Recorder {
    /// Opens a database for writing traces, which is created if it does not exist.
    ///
    /// # Errors
    /// Those of [`Store::open`] and [`Writer::open`], and when it cannot be written to.
    pub fn open(path: &Path) -> Result<Self> {
        let store = match Store::open(path) {
            Err(Error::NoIndex { .. }) => {
                Writer::open(path)?;
                Store::open(path)?
            }
            opened => opened?,
        };
        Ok(Self { store: open_recorder(&store.path)? })
    }

    /// Stores a trace, unless there is a better one, or one by a newer version of the tracer.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn put_trace(&self, trace: &TraceRow) -> Result<()> {
        let svg = deflate(&trace.svg).map_err(Error::io("compress a drawing for", &self.store.path))?;
        self.store
            .connection
            .prepare_cached(
                "INSERT INTO trace (hash, version, tier, complete, milliseconds, tried, type, facts, parameters, candidates,
                                    score, ssimulacra2, ssim, shapes, bytes, svg, traced_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
                 ON CONFLICT (hash) DO UPDATE SET
                     version = excluded.version, tier = excluded.tier, complete = excluded.complete,
                     milliseconds = excluded.milliseconds, tried = excluded.tried, type = excluded.type,
                     facts = excluded.facts, parameters = excluded.parameters, candidates = excluded.candidates,
                     score = excluded.score, ssimulacra2 = excluded.ssimulacra2, ssim = excluded.ssim,
                     shapes = excluded.shapes, bytes = excluded.bytes, svg = excluded.svg, traced_at = excluded.traced_at
                 WHERE excluded.version > trace.version
                     OR excluded.version = trace.version AND (excluded.score > trace.score
                         OR excluded.score = trace.score AND (excluded.tier, excluded.complete) >= (trace.tier, trace.complete))",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    trace.hash.as_bytes(),
                    trace.version,
                    trace.tier,
                    trace.complete,
                    trace.milliseconds,
                    trace.tried,
                    trace.kind.map(ImageType::as_str),
                    trace.facts,
                    trace.parameters,
                    trace.candidates,
                    trace.score,
                    trace.ssimulacra2,
                    trace.ssim,
                    trace.shapes,
                    trace.svg.len(),
                    svg,
                    now_ms(),
                ])
            })
            .map(|_| ())
            .at(&self.store.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tier: u8, score: f64) -> TraceRow {
        TraceRow {
            hash: ContentHash::of(b"a picture"),
            version: 3,
            tier,
            complete: true,
            milliseconds: 20,
            tried: 6,
            kind: Some(ImageType::Simple),
            facts: "{}".into(),
            parameters: "{}".into(),
            candidates: "[1, null]".into(),
            score,
            ssimulacra2: 70.0,
            ssim: 0.98,
            shapes: 4,
            svg: "<svg/>".repeat(100),
        }
    }

    #[test]
    fn the_best_drawing_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.db");
        let recorder = Recorder::open(&path).expect("it is made");
        let kept = |tier, score| {
            recorder.put_trace(&row(tier, score)).expect("it is written");
            Store::open(&path)
                .expect("it opens")
                .trace(&row(0, 0.0).hash)
                .expect("it can be read")
                .expect("it is there")
        };
        assert_eq!(kept(1, 50.0), row(1, 50.0));
        assert_eq!(kept(0, 50.0), row(1, 50.0));
        assert_eq!(kept(1, 40.0), row(1, 50.0));
        assert_eq!(kept(2, 50.0), row(2, 50.0));
        assert_eq!(kept(1, 55.0), row(1, 55.0));
        assert_eq!(kept(2, 56.0), row(2, 56.0));
        let lesson = TraceLesson { facts: "{}".into(), candidates: "[1, null]".into(), score: 56.0, tier: 2 };
        let store = Store::open(&path).expect("it opens");
        assert_eq!(store.trace_lessons(3, 10).expect("lessons"), [lesson]);
        assert_eq!(store.trace_lessons(2, 10).expect("none"), []);
    }

    #[test]
    fn a_trace_is_written_while_another_process_adds() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.db");
        let _writer = Writer::open(&path).expect("it is made");
        let recorder = Recorder::open(&path).expect("it opens");
        recorder.put_trace(&row(0, 1.0)).expect("it is written");
    }

    #[test]
    fn a_damaged_drawing_is_found_by_check() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.db");
        let recorder = Recorder::open(&path).expect("it is made");
        recorder.put_trace(&row(0, 1.0)).expect("it is written");
        recorder.store.connection.execute("UPDATE trace SET svg = x'ffffff'", []).expect("it is damaged");
        let store = Store::open(&path).expect("it opens");
        assert!(store.trace(&row(0, 0.0).hash).is_err());
        let problems = store.check().expect("it can be checked");
        assert_eq!(problems.iter().map(|problem| problem.place.as_str()).collect::<Vec<_>>(), ["trace 1"]);
        drop(recorder);
        let left = Writer::open(&path).expect("it opens").repair(&problems).expect("it is mended");
        assert_eq!((left, store.trace(&row(0, 0.0).hash).expect("it can be read")), (vec![], None));
    }
}
