//! What the system's events say, in the words of this module.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, CreateKind, Flag, ModifyKind, RemoveKind, RenameMode};
use notify::{ErrorKind, Event, EventKind};

use super::dirty::ChangeKind;

/// What one event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FsEvent {
    /// Something happened to a file, or to what may be one.
    File(PathBuf, ChangeKind),
    /// A folder appeared, or its attributes changed: it has to be watched and scanned.
    Folder(PathBuf),
    /// A path is gone; it may have been a folder.
    Gone(PathBuf),
    /// A file system is no longer mounted there. That is not to say that anything was deleted.
    Unmounted(PathBuf),
    /// Events were lost.
    Lost,
    /// Some folders cannot be watched, or nothing more can.
    WatchError(WatchError, Vec<PathBuf>),
}

/// Why changes may go unnoticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WatchError {
    /// The system watches no more folders for this user.
    TooManyFolders,
    /// A folder is gone again, or may not be listed, which the scan tells and its folder when that changes.
    OutOfReach,
    /// Anything else.
    Other(String),
}

/// Reads an event; `is_folder` looks at a path of which the event does not tell.
pub(super) fn read(event: notify::Result<Event>, is_folder: impl Fn(&Path) -> Option<bool>) -> Vec<FsEvent> {
    match event {
        Ok(event) if event.attrs.flag() == Some(Flag::Rescan) => vec![FsEvent::Lost],
        Ok(event) => {
            let kind = event.kind;
            event.paths.into_iter().filter_map(|path| told(kind, path, &is_folder)).collect()
        }
        Err(error) => {
            let paths = error.paths.clone();
            vec![FsEvent::WatchError(watch_error(&error), paths)]
        }
    }
}

fn told(kind: EventKind, path: PathBuf, is_folder: &impl Fn(&Path) -> Option<bool>) -> Option<FsEvent> {
    // What is there now says more than the event, which is of a moment that is past.
    let found = |path: PathBuf, kind| match is_folder(&path) {
        Some(true) => FsEvent::Folder(path),
        Some(false) => FsEvent::File(path, kind),
        None => FsEvent::Gone(path),
    };
    Some(match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => FsEvent::File(path, ChangeKind::Settled),
        EventKind::Access(_) => return None,
        EventKind::Create(CreateKind::Folder) => FsEvent::Folder(path),
        EventKind::Modify(ModifyKind::Data(_)) => FsEvent::File(path, ChangeKind::Changing),
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => FsEvent::Gone(path),
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => found(path, ChangeKind::Settled),
        // Each of the two is told by itself too.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
        EventKind::Remove(RemoveKind::Other) => FsEvent::Unmounted(path),
        EventKind::Remove(_) => FsEvent::Gone(path),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
            found(path, ChangeKind::Changing)
        }
    })
}

fn is_out_of_reach(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

pub(super) fn watch_error(error: &notify::Error) -> WatchError {
    match &error.kind {
        ErrorKind::MaxFilesWatch => WatchError::TooManyFolders,
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => WatchError::OutOfReach,
        ErrorKind::Io(error) if is_out_of_reach(error) => WatchError::OutOfReach,
        ErrorKind::Io(error) => WatchError::Other(crate::error::io_reason(error)),
        other => WatchError::Other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_kind(kind: EventKind) -> Vec<FsEvent> {
        let event = Event::new(kind).add_path("/r/a".into());
        read(Ok(event), |_| Some(false))
    }

    #[test]
    fn an_unmounted_drive_is_not_a_deletion() {
        assert_eq!(read_kind(EventKind::Remove(RemoveKind::Other)), [FsEvent::Unmounted("/r/a".into())]);
        assert_eq!(read_kind(EventKind::Remove(RemoveKind::File)), [FsEvent::Gone("/r/a".into())]);
    }

    #[test]
    fn reading_a_file_is_no_sign_of_a_change() {
        assert_eq!(read_kind(EventKind::Access(AccessKind::Open(AccessMode::Any))), []);
        assert_eq!(read_kind(EventKind::Access(AccessKind::Close(AccessMode::Read))), []);
    }

    #[test]
    fn what_is_there_now_counts() {
        let moved = || Event::new(EventKind::Modify(ModifyKind::Name(RenameMode::To))).add_path("/r/a".into());
        assert_eq!(read(Ok(moved()), |_| Some(true)), [FsEvent::Folder("/r/a".into())]);
        assert_eq!(read(Ok(moved()), |_| Some(false)), [FsEvent::File("/r/a".into(), ChangeKind::Settled)]);
        assert_eq!(read(Ok(moved()), |_| None), [FsEvent::Gone("/r/a".into())]);
    }

    #[test]
    fn lost_events_and_limits_are_told() {
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(read(Ok(lost), |_| None), [FsEvent::Lost]);
        let limit = notify::Error::new(ErrorKind::MaxFilesWatch).add_path("/r/b".into());
        assert_eq!(read(Err(limit), |_| None), [FsEvent::WatchError(WatchError::TooManyFolders, vec!["/r/b".into()])]);
    }
}
