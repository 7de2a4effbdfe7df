//! Has files read again that an earlier version of the program could not read.

use super::{Batch, Writer};
use crate::error::Result;
use crate::media::FORMATS_VERSION;

/// The setting that holds the [`FORMATS_VERSION`] with which files were skipped.
const SETTING: &str = "formats";

impl Writer {
    /// If files were skipped by a version that reads other formats, forgets them, so that the next scan reads them like
    /// new ones. Files that hold pictures are not read again.
    ///
    /// # Errors
    /// If the database fails.
    pub fn notice_new_formats(&mut self) -> Result<()> {
        let current = FORMATS_VERSION.to_string();
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
