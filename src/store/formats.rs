//! Has files read again that an earlier version of the program could not read.

use super::{Batch, Writer};
use crate::error::Result;
use crate::media::FORMATS_VERSION;
use crate::types::Metadata;

/// The setting that holds the [`FORMATS_VERSION`] with which files were skipped, and the [`Metadata::VERSION`] with which
/// XMP files were read. Both kinds of files have rows that hold no image.
const SETTING: &str = "formats";

impl Writer {
    /// If files were skipped or XMP files read by a version that reads others or reads them otherwise, forgets them, so that the next scan reads them like
    /// new ones. Files that hold pictures are not read again.
    ///
    /// # Errors
    /// If the database fails.
    pub fn notice_new_formats(&mut self) -> Result<()> {
        let current = format!("{FORMATS_VERSION}.{}", Metadata::VERSION);
        if self.setting(SETTING)?.as_ref() == Some(&current) {
            return Ok(());
        }
        let batch = self.batch()?;
        batch.forget_skipped()?;
        batch.set_setting(SETTING, &current)?;
        batch.commit()
    }
}

impl Batch<'_> {
    fn forget_skipped(&self) -> Result<()> {
        self.run("DELETE FROM file WHERE skipped IS NOT NULL", [])
    }
}
