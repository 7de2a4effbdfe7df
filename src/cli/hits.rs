//! What the commands that find pictures, `similar` and `search`, have in common.

use std::path::{Path, PathBuf};

use super::filters::Filters;
use super::output::Out;

#[derive(Debug, clap::Args)]
pub(super) struct HitArgs {
    /// Print paths only
    #[arg(long)]
    paths: bool,
    /// Print paths only, separated by NUL bytes
    #[arg(short = '0', long)]
    null: bool,
    /// Write a contact sheet with thumbnails to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Model to use [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    #[command(flatten)]
    pub filters: Filters,
}

/// A result: one content, which may be in several files.
#[derive(Debug, Clone, Copy)]
pub(super) struct HitRow<'a> {
    pub score: f32,
    /// The file that is shown first.
    pub path: &'a Path,
    /// All files with this content.
    pub paths: &'a [PathBuf],
}

impl HitArgs {
    /// Prints hits in the form that the options ask for.
    pub(super) fn print<'a>(&self, out: &mut Out, hits: impl Iterator<Item = HitRow<'a>>) -> std::io::Result<()> {
        for hit in hits {
            if self.null {
                out.path("", hit.path, '\0')?;
            } else if self.paths {
                out.path("", hit.path, '\n')?;
            } else {
                out.path(&format!("{:.4}\t", hit.score), hit.path, '\n')?;
                for copy in hit.paths.iter().filter(|path| *path != hit.path) {
                    out.path("  copy\t", copy, '\n')?;
                }
            }
        }
        Ok(())
    }
}
