//! Translates the system's file events into the few kinds that the watcher needs.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, CreateKind, Flag, ModifyKind, RemoveKind, RenameMode};
use notify::{ErrorKind, Event, EventKind};

use super::dirty::ChangeKind;

/// One event of the file system.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FsEvent {
    /// A file, or a path that may be one, has changed.
    File(PathBuf, ChangeKind),
    /// A folder appeared, or its attributes changed: it must be watched and scanned.
    Folder(PathBuf),
    /// The path no longer exists; it may have been a folder.
    Gone(PathBuf),
    /// A file system was unmounted from this path. This does not mean that anything was deleted.
    Unmounted(PathBuf),
    /// Events were lost.
    Lost,
    /// Some folders cannot be watched, or no further folder can.
    WatchError(WatchError),
}

/// Why changes may go unnoticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WatchError {
    /// The user's limit of watched folders is reached.
    TooManyFolders,
    /// A folder no longer exists, or must not be listed. The scan reports this, and an event of the parent folder
    /// reports when it changes.
    OutOfReach,
    /// Anything else.
    Other(String),
}

/// Translates an event. `is_folder` checks the paths whose type the event does not state.
pub(super) fn read(event: notify::Result<Event>, is_folder: impl Fn(&Path) -> Option<bool>) -> Vec<FsEvent> {
    match event {
        Ok(event) if event.attrs.flag() == Some(Flag::Rescan) => vec![FsEvent::Lost],
        Ok(event) => {
            let kind = event.kind;
            event.paths.into_iter().filter_map(|path| classify(kind, path, &is_folder)).collect()
        }
        Err(error) => vec![FsEvent::WatchError(watch_error(&error))],
    }
}

fn classify(kind: EventKind, path: PathBuf, is_folder: &impl Fn(&Path) -> Option<bool>) -> Option<FsEvent> {
    // The current state of the path counts, because the event describes a past one.
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
        // The system also reports each of the two names by itself.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return None,
        EventKind::Remove(RemoveKind::Other) => FsEvent::Unmounted(path),
        EventKind::Remove(_) => FsEvent::Gone(path),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
            found(path, ChangeKind::Changing)
        }
    })
}

pub(super) fn watch_error(error: &notify::Error) -> WatchError {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match &error.kind {
        ErrorKind::MaxFilesWatch => WatchError::TooManyFolders,
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => WatchError::OutOfReach,
        ErrorKind::Io(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => {
            WatchError::OutOfReach
        }
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
    fn lost_events_and_limits_are_reported() {
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(read(Ok(lost), |_| None), [FsEvent::Lost]);
        let limit = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert_eq!(read(Err(limit), |_| None), [FsEvent::WatchError(WatchError::TooManyFolders)]);
    }
}
