//! Traces: SVG drawings of images, one per content.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::Store;
use super::batch::Writer;
use super::features::image_type;
use super::open::open_writer;
use crate::error::{Error, Result};
use crate::types::{ContentHash, ImageType, now_ns};

/// The maximum length of a stored SVG document in bytes. The tracer makes no larger ones.
const MAX_SVG_BYTES: u64 = 256 << 20;

/// Selects what [`read`] reads.
const SELECT: &str = "SELECT hash, version, tier, complete, milliseconds, tried, type, facts, parameters, candidates,
    score, ssimulacra2, ssim, shapes, svg FROM trace";

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
    /// Properties of the picture, as JSON.
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

impl Store {
    /// The trace of a content.
    pub fn trace(&self, hash: &ContentHash) -> Result<Option<TraceRow>> {
        self.find(&format!("{SELECT} WHERE hash = ?1"), [hash.as_bytes()], read)
    }

    pub(super) fn trace_at(&self, row: i64) -> Result<Option<TraceRow>> {
        self.find(&format!("{SELECT} WHERE id = ?1"), [row], read)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<TraceRow> {
    let mut svg = String::new();
    DeflateDecoder::new(row.get_ref(14)?.as_blob()?)
        .take(MAX_SVG_BYTES)
        .read_to_string(&mut svg)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(14, Type::Blob, Box::new(error)))?;
    Ok(TraceRow {
        hash: row.get::<_, [u8; 32]>(0)?.into(),
        version: row.get(1)?,
        tier: row.get(2)?,
        complete: row.get(3)?,
        milliseconds: row.get(4)?,
        tried: row.get(5)?,
        kind: image_type(row, 6)?,
        facts: row.get(7)?,
        parameters: row.get(8)?,
        candidates: row.get(9)?,
        score: row.get(10)?,
        ssimulacra2: row.get(11)?,
        ssim: row.get(12)?,
        shapes: row.get(13)?,
        svg,
    })
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
        Ok(Self { store: Store::of(open_writer(&store.path)?, &store.path) })
    }

    /// Stores a trace, unless there is a better one, or one by a newer version of the tracer.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn put_trace(&self, trace: &TraceRow) -> Result<()> {
        let mut svg = DeflateEncoder::new(Vec::new(), Compression::best());
        let svg = svg.write_all(trace.svg.as_bytes()).and_then(|()| svg.finish());
        let svg = svg.map_err(Error::io("compress a drawing for", &self.store.path))?;
        self.store.run(
            "INSERT INTO trace (hash, version, tier, complete, milliseconds, tried, type, facts, parameters, candidates,
                                score, ssimulacra2, ssim, shapes, bytes, svg, traced_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
             ON CONFLICT (hash) DO UPDATE SET
                 version = excluded.version, tier = excluded.tier, complete = excluded.complete,
                 milliseconds = excluded.milliseconds, tried = excluded.tried, type = excluded.type,
                 facts = excluded.facts, parameters = excluded.parameters, candidates = excluded.candidates,
                 score = excluded.score, ssimulacra2 = excluded.ssimulacra2, ssim = excluded.ssim,
                 shapes = excluded.shapes, bytes = excluded.bytes, svg = excluded.svg, traced_at = excluded.traced_at
             WHERE (excluded.version, excluded.score, excluded.tier, excluded.complete)
                 >= (trace.version, trace.score, trace.tier, trace.complete)",
            params![
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
                now_ns() / 1_000_000,
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch;

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
        let (_dir, path) = scratch();
        let recorder = Recorder::open(&path).expect("it is made");
        let kept = |tier, score| {
            recorder.put_trace(&row(tier, score)).expect("it is written");
            let store = Store::open(&path).expect("it opens");
            store.trace(&row(0, 0.0).hash).expect("it can be read").expect("it is there")
        };
        assert_eq!(kept(1, 50.0), row(1, 50.0));
        assert_eq!(kept(0, 50.0), row(1, 50.0));
        assert_eq!(kept(1, 40.0), row(1, 50.0));
        assert_eq!(kept(2, 50.0), row(2, 50.0));
        assert_eq!(kept(1, 55.0), row(1, 55.0));
        assert_eq!(kept(2, 56.0), row(2, 56.0));
    }

    #[test]
    fn a_damaged_drawing_is_found_by_check() {
        let (_dir, path) = scratch();
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
