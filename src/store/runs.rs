//! Statistics about runs of `add`.

use rusqlite::params;

use super::Store;
use super::batch::Batch;
use crate::error::Result;

/// The maximum number of runs that are kept.
const MAX_RUNS: i64 = 100;

/// A run of `add`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Start time in milliseconds since 1970.
    pub started_at: i64,
    /// Duration in seconds.
    pub seconds: f64,
    /// Number of pictures that were embedded.
    pub embedded: u64,
    /// Pictures embedded per second.
    pub images_per_second: f64,
    /// Peak memory of the process in bytes; `None` where the system does not report it.
    pub peak_memory: Option<u64>,
    /// All counts and settings, as JSON.
    pub report: String,
}

impl Store {
    /// The last `count` runs, the latest first.
    pub fn runs(&self, count: usize) -> Result<Vec<RunRow>> {
        self.rows(
            "SELECT started_at, seconds, embedded, images_per_second, peak_memory, report
             FROM run ORDER BY id DESC LIMIT ?1",
            [count],
            |row| {
                Ok(RunRow {
                    started_at: row.get(0)?,
                    seconds: row.get(1)?,
                    embedded: row.get(2)?,
                    images_per_second: row.get(3)?,
                    peak_memory: row.get(4)?,
                    report: row.get(5)?,
                })
            },
        )
    }
}

impl Batch<'_> {
    /// Stores a run, and deletes all but the last 100.
    pub fn put_run(&self, run: &RunRow) -> Result<()> {
        self.run(
            "INSERT INTO run (started_at, seconds, embedded, images_per_second, peak_memory, report)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![run.started_at, run.seconds, run.embedded, run.images_per_second, run.peak_memory, run.report],
        )?;
        self.run("DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?1", [MAX_RUNS])
    }
}
