//! Resolves paths to the roots of the index.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::scan::{RootIdentity, SAMPLE_FILES, ScanOptions, Start, find_root, root_identity};
use crate::store::{Root, RootState, Store, Writer};
use crate::types::{RootId, path_to_bytes};

/// A root, or a part of one, that is to be scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub part: Change,
    /// Whether the whole folder is indexed, or only files in it that were added one by one.
    pub recursive: bool,
    /// Why it is scanned.
    pub why: Start,
    /// Roots below it that remain separate roots and are not walked with it.
    pub nested_roots: Vec<PathBuf>,
}

/// A root, or a part of one, such as a part that may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// Path of the root.
    pub root: PathBuf,
    /// The file or folder, relative to the root; empty for the whole root.
    pub scope: PathBuf,
}

impl Change {
    /// The full path of the part.
    pub fn path(&self) -> PathBuf {
        // Joining an empty scope would append a separator, with which a path cannot be a file.
        if self.is_root() { self.root.clone() } else { self.root.join(&self.scope) }
    }

    /// Whether it is the root itself.
    pub(crate) fn is_root(&self) -> bool {
        self.scope.as_os_str().is_empty()
    }
}

impl Target {
    /// A target that the user named.
    fn named(root: &Path, scope: impl Into<PathBuf>, recursive: bool) -> Self {
        let part = Change { root: root.to_owned(), scope: scope.into() };
        Self { part, recursive, why: Start::Asked, nested_roots: Vec::new() }
    }

    fn whole_root(path: &Path) -> Self {
        Self::named(path, "", true)
    }

    /// Whether it is a whole root.
    pub(crate) fn is_whole(&self) -> bool {
        self.recursive && self.part.is_root()
    }
}

/// Finds the root that each path belongs to, or makes the path a new root. Paths inside other given paths are dropped.
///
/// # Errors
/// If a path does not exist and is not a known root, which may be offline.
pub(crate) fn resolve(paths: &[PathBuf], known: &[Root]) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    let mut starts = HashSet::new();
    for path in paths {
        let target = resolve_one(path, known)?;
        if starts.insert(target.part.path()) {
            targets.push(target);
        }
    }
    // Only a folder can contain another start, so files need no special case.
    targets.retain(|target| !target.part.path().ancestors().skip(1).any(|parent| starts.contains(parent)));
    for target in &mut targets {
        target.nested_roots = separate_roots(target, known);
    }
    let nested_roots: Vec<Target> =
        targets.iter().flat_map(|target| &target.nested_roots).map(|root| Target::whole_root(root)).collect();
    targets.extend(nested_roots);
    Ok(targets)
}

/// The targets for parts of known roots that may have changed or been deleted. Parts inside other parts, and parts of
/// unknown roots, are dropped.
///
/// A root of files that were added one by one is never scanned as a whole; its known files are the targets instead.
pub(crate) fn of_changes(store: &Store, changes: &[Change], known: &[Root]) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    for change in changes {
        // The root may have been absorbed by another root since, or another drive may be mounted inside it.
        let Some((root, part)) = enclosing_root(&change.path(), known) else { continue };
        // The files of a root that is not recursive were given by name.
        let why = if root.recursive { Start::Changed } else { Start::Asked };
        let target = |scope| Target { why, ..Target::named(&root.path, scope, root.recursive) };
        if root.recursive || !part.is_root() {
            targets.push(target(part.scope));
        } else {
            targets.extend(store.paths_in_root(root.id)?.into_iter().map(target));
        }
    }
    // A part inside another part of the same root is scanned with it.
    let starts: HashSet<Change> = targets.iter().filter(|it| it.recursive).map(|it| it.part.clone()).collect();
    let is_within = |Change { root, scope }: &Change| {
        let mut parents = scope.ancestors().skip(1);
        parents.any(|parent| starts.contains(&Change { root: root.clone(), scope: parent.to_owned() }))
    };
    let mut kept = HashSet::new();
    targets.retain(|target| !is_within(&target.part) && kept.insert(target.part.path()));
    for target in targets.iter_mut().filter(|target| target.recursive) {
        target.nested_roots = separate_roots(target, known);
    }
    Ok(targets)
}

/// The innermost root that holds a path, and the path as a part of it. A root of files that were added one by one holds
/// only what is directly in it.
pub(crate) fn enclosing_root<'a>(path: &Path, known: &'a [Root]) -> Option<(&'a Root, Change)> {
    let enclosing = known.iter().filter(|root| {
        path.starts_with(&root.path) && (root.recursive || path == root.path || path.parent() == Some(&root.path))
    });
    let root = enclosing.max_by_key(|root| root.path.components().count())?;
    let scope = path.strip_prefix(&root.path).unwrap_or(path).to_owned();
    Some((root, Change { root: root.path.clone(), scope }))
}

/// The known roots below a target that are on another file system or do not exist. They stay separate, so that each
/// drive is checked for its own identity.
fn separate_roots(target: &Target, known: &[Root]) -> Vec<PathBuf> {
    let start = target.part.path();
    let Ok(identity) = root_identity(&target.part.root) else { return Vec::new() };
    let below = known.iter().filter(|root| root.recursive && root.path != start && root.path.starts_with(&start));
    let is_separate = |root: &&Root| (identity.device, identity.file_system) != (root.device, root.file_system);
    below.filter(is_separate).map(|root| root.path.clone()).collect()
}

fn resolve_one(path: &Path, known: &[Root]) -> Result<Target> {
    let absolute = match std::fs::canonicalize(path) {
        Ok(absolute) => absolute,
        Err(error) => {
            // The path of a missing drive cannot be resolved, but it may be a known root.
            let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
            let normal: PathBuf = absolute.components().filter(|part| *part != Component::CurDir).collect();
            return match known.iter().find(|root| root.path == normal) {
                Some(root) => Ok(Target::whole_root(&root.path)),
                None if path.is_symlink() => {
                    Err(Error::Invalid(format!("`{}` is a link to a file that does not exist", path.display())))
                }
                None => Err(Error::io("find", path)(error)),
            };
        }
    };
    let is_file = !absolute.is_dir();
    if is_file && !absolute.is_file() {
        return Err(Error::Invalid(format!("`{}` is neither a file nor a directory", path.display())));
    }
    let enclosing = known.iter().filter(|root| root.recursive && absolute.starts_with(&root.path));
    if let Some(root) = enclosing.max_by_key(|root| root.path.components().count()) {
        return Ok(Target::named(&root.path, absolute.strip_prefix(&root.path).unwrap_or(&absolute), true));
    }
    if !is_file {
        return Ok(Target::whole_root(&absolute));
    }
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(Error::Invalid(format!("`{}` is neither a file nor a directory", path.display())));
    };
    Ok(Target::named(folder, name, false))
}

/// Makes sure that a target's root has a row and is online, and absorbs the roots below it.
///
/// Returns `None` if the root is offline; its rows are kept unchanged.
pub(crate) fn prepare(writer: &mut Writer, target: &Target, options: &ScanOptions) -> Result<Option<RootId>> {
    let (roots, root_path) = (writer.roots()?, &target.part.root);
    let known = roots.iter().find(|root| root.path == *root_path);
    let identity = match known {
        Some(root) => health(writer, root)?,
        None => Some(root_identity(root_path).map_err(Error::io("read the directory", root_path))?),
    };
    // An offline root below this one keeps its own rows until it is online. Only a scan of the whole root knows
    // which of the roots below it are nested roots that stay separate.
    let mut inner = Vec::new();
    for root in roots.iter().filter(|root| target.is_whole() && root.path != *root_path) {
        if let Ok(prefix) = root.path.strip_prefix(root_path)
            && !target.nested_roots.contains(&root.path)
            && health(writer, root)?.is_some()
        {
            inner.push((root.id, prefix.to_owned()));
        }
    }
    let batch = writer.batch()?;
    let Some(identity) = identity else {
        if let Some(root) = known {
            batch.set_root_state(root.id, RootState::Offline)?;
        }
        batch.commit()?;
        return Ok(None);
    };
    let id = batch.put_root(root_path, target.recursive, identity.device, identity.file_system)?;
    batch.set_root_identity(id, identity.device, identity.file_system)?;
    batch.set_root_state(id, RootState::Online)?;
    if target.is_whole() {
        batch.set_root_scan(id, &options.to_json())?;
    }
    for (root, prefix) in inner {
        batch.absorb_root(root, id, &prefix)?;
    }
    batch.commit()?;
    Ok(Some(id))
}

/// Checks whether the directory at a root's path is still the indexed one. Returns `None` if it does not exist, is an
/// empty mount point, or belongs to another drive.
pub(crate) fn health(store: &Store, root: &Root) -> Result<Option<RootIdentity>> {
    let place = (root.device, root.file_system);
    find_root(&root.path, place, || store.sample_paths(root.id, SAMPLE_FILES))
}

/// The byte range of the paths below a scope: after the first value and before the second. The row of the scope itself,
/// if it is a file, is not included.
pub(super) fn scope_range(scope: &Path) -> (Vec<u8>, Option<Vec<u8>>) {
    if scope.as_os_str().is_empty() {
        return (Vec::new(), None);
    }
    let mut first = path_to_bytes(scope).into_owned();
    let mut end = first.clone();
    first.push(b'/');
    end.push(b'/' + 1);
    (first, Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(path: &Path, recursive: bool) -> Root {
        let path = path.to_owned();
        let (state, scan) = (RootState::Online, "{}".into());
        Root { id: RootId(1), path, recursive, device: 1, file_system: 1, state, scan, vanished: 0 }
    }

    fn folder_with_a_file_in_sub() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let base = dir.path().canonicalize().expect("it is there");
        std::fs::create_dir(base.join("sub")).expect("a folder");
        std::fs::write(base.join("sub/a.jpg"), "").expect("a file");
        (dir, base)
    }

    #[test]
    fn a_path_belongs_to_the_enclosing_root() {
        let (_dir, base) = folder_with_a_file_in_sub();
        let file = [base.join("sub/a.jpg")];
        let in_root = resolve(&file, &[root(&base, true)]).expect("it is there");
        assert_eq!(in_root, [Target::named(&base, "sub/a.jpg", true)]);
        assert_eq!(resolve(&file, &[]).expect("it is there"), [Target::named(&base.join("sub"), "a.jpg", false)]);
    }

    #[test]
    fn a_path_inside_another_one_is_scanned_once() {
        let (_dir, base) = folder_with_a_file_in_sub();
        for paths in [[base.clone(), base.join("sub")], [base.join("sub"), base.clone()], [base.clone(), base.clone()]]
        {
            assert_eq!(resolve(&paths, &[]).expect("they are there"), [Target::whole_root(&base)]);
        }
    }

    #[test]
    fn a_missing_path_is_an_error_unless_it_is_a_root() {
        let gone = Path::new("/no/such/drive");
        assert!(resolve(&[gone.into()], &[]).is_err());
        assert_eq!(resolve(&[gone.into()], &[root(gone, true)]).expect("it is known"), [Target::whole_root(gone)]);
    }
}
