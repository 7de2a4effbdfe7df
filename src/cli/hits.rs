//! What the commands that find pictures, `similar` and `search`, have in common.

use std::path::PathBuf;

use imgidx::Hit;

use super::filters::Filters;
use super::output::Out;
use super::sheet_file;

#[derive(Debug, clap::Args)]
pub(super) struct HitArgs {
    /// Print paths only
    #[arg(long)]
    paths: bool,
    /// Print paths only, separated by NUL bytes
    #[arg(short = '0', long)]
    null: bool,
    /// Write a contact sheet with thumbnails to this file
    #[arg(long, value_name = "FILE", value_parser = sheet_file())]
    pub html: Option<PathBuf>,
    /// Let --html replace a file that imgidx did not make; pictures are never replaced
    #[arg(long, requires = "html")]
    pub overwrite: bool,
    /// Model to use [default: the active model of the index]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    #[command(flatten)]
    pub filters: Filters,
}

/// A picture that was found, as a line shows it.
pub(super) struct HitLine<'a> {
    /// `None` if nothing was measured.
    pub score: Option<f32>,
    /// The file that is shown first.
    pub path: &'a PathBuf,
    /// All files with this content.
    pub paths: &'a Vec<PathBuf>,
    /// Other files of the same shot.
    pub companions: &'a Vec<PathBuf>,
    /// A third column.
    pub note: Option<String>,
}

impl<'a> From<&'a Hit> for HitLine<'a> {
    fn from(hit: &'a Hit) -> Self {
        Self { score: Some(hit.score), path: &hit.path, paths: &hit.paths, companions: &hit.companions, note: None }
    }
}

impl HitArgs {
    /// Prints hits in the form that the options ask for.
    pub(super) fn print<'a>(&self, out: &mut Out, hits: impl Iterator<Item = HitLine<'a>>) -> std::io::Result<()> {
        for HitLine { score, path, paths, companions, note } in hits {
            if self.null {
                out.path("", path, '\0')?;
            } else if self.paths {
                out.path("", path, '\n')?;
            } else {
                let score = score.map_or_else(|| "-".to_owned(), |score| format!("{score:.4}"));
                out.path(&format!("{score}\t"), path, if note.is_some() { '\t' } else { '\n' })?;
                if let Some(note) = note {
                    out.line(note)?;
                }
                for copy in paths.iter().filter(|copy| *copy != path) {
                    out.path("  copy\t", copy, '\n')?;
                }
                for companion in companions {
                    out.path("  with\t", companion, '\n')?;
                }
            }
        }
        Ok(())
    }
}
