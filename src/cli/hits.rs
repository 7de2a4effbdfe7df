//! What the commands that find pictures, `similar` and `search`, have in common.

use std::path::PathBuf;

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

impl HitArgs {
    /// Prints hits in the form that the options ask for. Each is a score, the file that is shown first, and all files
    /// with this content.
    pub(super) fn print<'a>(
        &self,
        out: &mut Out,
        hits: impl Iterator<Item = (f32, &'a PathBuf, &'a Vec<PathBuf>)>,
    ) -> std::io::Result<()> {
        for (score, path, paths) in hits {
            if self.null {
                out.path("", path, '\0')?;
            } else if self.paths {
                out.path("", path, '\n')?;
            } else {
                out.path(&format!("{score:.4}\t"), path, '\n')?;
                for copy in paths.iter().filter(|copy| *copy != path) {
                    out.path("  copy\t", copy, '\n')?;
                }
            }
        }
        Ok(())
    }
}
