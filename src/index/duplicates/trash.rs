//! Moving a file to the system's trash.

use trash::{Error, TrashContext};

use super::{DupeActionError, is_at};
use crate::error::io_reason;
use crate::search::{RedundantFile, VerifiedPair};

/// Moves a verified file to the trash under its own name, so that it can be restored to its place.
///
/// On Linux it goes to the trash in the home directory, or to the one of the drive that it is on; if there can be none,
/// the file stays where it is.
pub(super) fn move_to_trash(file: &RedundantFile, pair: &VerifiedPair) -> Result<(), DupeActionError> {
    context().delete(&file.path).map_err(|error| DupeActionError::NoTrash(reason(&error)))?;
    // The user must learn that the file is in the trash although the kept file has changed.
    match is_at(&file.kept, &pair.kept.handle) {
        true => Ok(()),
        false => Err(DupeActionError::KeptChangedLate(file.kept.clone())),
    }
}

#[cfg(target_os = "macos")]
fn context() -> TrashContext {
    use trash::macos::{DeleteMethod, TrashContextExtMacos};
    let mut context = TrashContext::new();
    // The other method asks the Finder, which needs a permission and a desktop.
    context.set_delete_method(DeleteMethod::NsFileManager);
    context
}

#[cfg(not(target_os = "macos"))]
fn context() -> TrashContext {
    TrashContext::new()
}

/// The reason in plain words, because the messages of the crate are meant for programmers.
fn reason(error: &Error) -> String {
    match error {
        #[cfg(all(unix, not(target_os = "macos")))]
        Error::FileSystem { path, source } => format!("`{}`: {}", path.display(), io_reason(source)),
        Error::Unknown { description } | Error::Os { description, .. } => description.clone(),
        Error::CouldNotAccess { .. } | Error::CanonicalizePath { .. } => "it cannot be accessed".into(),
        error => error.to_string(),
    }
}
