//! Resolves paths to the roots of the index.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::scan::{RootIdentity, ScanOptions, Start, root_identity};
use crate::store::{Root, RootState, Store, Writer};
use crate::types::{RootId, is_exhausted, path_to_bytes};

/// A root, or a part of one, that is to be scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub root_path: PathBuf,
    /// The part, relative to the root; empty for the whole root.
    pub scope: PathBuf,
    /// Whether the whole folder is indexed, or only files in it that were added one by one.
    pub recursive: bool,
    /// Why it is scanned.
    pub why: Start,
    /// Roots below it that remain separate roots and are not walked with it.
    pub nested_roots: Vec<PathBuf>,
}

/// A part of a known root that may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// Path of the root.
    pub root: PathBuf,
    /// The file or folder that may have changed, relative to the root; empty for the whole root.
    pub scope: PathBuf,
}

impl Change {
    /// The full path of the part.
    pub fn path(&self) -> PathBuf {
        joined(&self.root, &self.scope)
    }
}

/// Joins a root and a scope. Joining an empty scope would append a separator, with which a path cannot be a file.
fn joined(root: &Path, scope: &Path) -> PathBuf {
    if scope.as_os_str().is_empty() { root.to_owned() } else { root.join(scope) }
}

impl Target {
    /// The path to walk from.
    pub(crate) fn start(&self) -> PathBuf {
        joined(&self.root_path, &self.scope)
    }

    /// Whether it is a whole root.
    pub(crate) fn is_whole(&self) -> bool {
        self.recursive && self.scope.as_os_str().is_empty()
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
        if starts.insert(target.start()) {
            targets.push(target);
        }
    }
    // Only a folder can contain another start, so files need no special case.
    targets.retain(|target| !target.start().ancestors().skip(1).any(|parent| starts.contains(parent)));
    for target in &mut targets {
        target.nested_roots = separate_roots(target, known);
    }
    let nested_roots: Vec<Target> =
        targets.iter().flat_map(|target| &target.nested_roots).map(|root| whole_root(root)).collect();
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
        let path = change.path();
        let enclosing = known.iter().filter(|root| {
            path.starts_with(&root.path) && (root.recursive || path == root.path || path.parent() == Some(&root.path))
        });
        let Some(root) = enclosing.max_by_key(|root| root.path.components().count()) else { continue };
        let scope = path.strip_prefix(&root.path).unwrap_or(&path).to_owned();
        // The files of a root that is not recursive were given by name.
        let why = if root.recursive { Start::Changed } else { Start::Asked };
        let target = |scope| Target {
            root_path: root.path.clone(),
            scope,
            recursive: root.recursive,
            why,
            nested_roots: Vec::new(),
        };
        if root.recursive || !scope.as_os_str().is_empty() {
            targets.push(target(scope));
        } else {
            targets.extend(store.paths_in_root(root.id)?.into_iter().map(target));
        }
    }
    // A part inside another part of the same root is scanned with it.
    let starts: HashSet<(PathBuf, PathBuf)> =
        targets.iter().filter(|it| it.recursive).map(|it| (it.root_path.clone(), it.scope.clone())).collect();
    let is_within = |target: &Target| {
        target.scope.ancestors().skip(1).any(|parent| starts.contains(&(target.root_path.clone(), parent.to_owned())))
    };
    let mut kept = HashSet::new();
    targets.retain(|target| !is_within(target) && kept.insert(target.start()));
    for target in targets.iter_mut().filter(|target| target.recursive) {
        target.nested_roots = separate_roots(target, known);
    }
    Ok(targets)
}

/// The known roots below a target that are on another file system or do not exist. They stay separate, so that each
/// drive is checked for its own identity.
fn separate_roots(target: &Target, known: &[Root]) -> Vec<PathBuf> {
    let start = target.start();
    let Ok(identity) = root_identity(&target.root_path) else { return Vec::new() };
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
                Some(root) => Ok(whole_root(&root.path)),
                None => Err(Error::io("find", path)(error)),
            };
        }
    };
    let is_file = !absolute.is_dir();
    if is_file && !absolute.is_file() {
        return Err(Error::Invalid(format!("`{}` is neither a file nor a folder", path.display())));
    }
    let enclosing = known.iter().filter(|root| root.recursive && absolute.starts_with(&root.path));
    if let Some(root) = enclosing.max_by_key(|root| root.path.components().count()) {
        let scope = absolute.strip_prefix(&root.path).unwrap_or(&absolute).to_owned();
        return Ok(Target {
            root_path: root.path.clone(),
            scope,
            recursive: true,
            why: Start::Asked,
            nested_roots: Vec::new(),
        });
    }
    if !is_file {
        return Ok(whole_root(&absolute));
    }
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(Error::Invalid(format!("`{}` is neither a file nor a folder", path.display())));
    };
    let (root_path, scope, nested_roots) = (folder.to_owned(), name.into(), Vec::new());
    Ok(Target { root_path, scope, recursive: false, why: Start::Asked, nested_roots })
}

fn whole_root(path: &Path) -> Target {
    let (root_path, scope) = (path.to_owned(), PathBuf::new());
    Target { root_path, scope, recursive: true, why: Start::Asked, nested_roots: Vec::new() }
}

/// Makes sure that a target's root has a row and is online, and absorbs the roots below it.
///
/// Returns `None` if the root is offline; its rows are kept unchanged.
pub(crate) fn prepare(writer: &mut Writer, target: &Target, options: &ScanOptions) -> Result<Option<RootId>> {
    let roots = writer.roots()?;
    let known = roots.iter().find(|root| root.path == target.root_path);
    let identity = match known {
        Some(root) => health(writer, root)?,
        None => {
            let found = root_identity(&target.root_path);
            Some(found.map_err(Error::io("read the folder", &target.root_path))?)
        }
    };
    // An offline root below this one keeps its own rows until it is online. Only a scan of the whole root knows
    // which of the roots below it are nested roots that stay separate.
    let mut inner = Vec::new();
    for root in roots.iter().filter(|root| target.is_whole() && root.path != target.root_path) {
        if let Ok(prefix) = root.path.strip_prefix(&target.root_path)
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
    let id = batch.put_root(&target.root_path, target.recursive, identity.device, identity.file_system)?;
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

/// Number of the first and of the last known files that are checked if a directory is on another file system than
/// before.
const SAMPLE_FILES: usize = 16;

/// Checks whether the directory at a root's path is still the indexed one. Returns `None` if it does not exist, is an
/// empty mount point, or belongs to another drive.
pub(crate) fn health(store: &Store, root: &Root) -> Result<Option<RootIdentity>> {
    let identity = match root_identity(&root.path) {
        Ok(identity) => identity,
        Err(error) if is_exhausted(&error) => return Err(Error::io("list", &root.path)(error)),
        Err(_) => return Ok(None),
    };
    if !identity.empty && identity.is_same_place(root.device, root.file_system) {
        return Ok(Some(identity));
    }
    let known_files = store.sample_paths(root.id, SAMPLE_FILES)?;
    let is_there = |path: &PathBuf| root.path.join(path).symlink_metadata().is_ok();
    let is_same = known_files.is_empty() || (!identity.empty && known_files.iter().any(is_there));
    Ok(is_same.then_some(identity))
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

    #[test]
    fn a_path_belongs_to_the_enclosing_root() {
        let dir = tempfile::tempdir().expect("a folder");
        let base = dir.path().canonicalize().expect("it is there");
        std::fs::create_dir(base.join("sub")).expect("a folder");
        std::fs::write(base.join("sub/a.jpg"), "").expect("a file");
        let known = [root(&base, true)];
        let target = resolve(&[base.join("sub/a.jpg")], &known).expect("it is there").remove(0);
        assert_eq!((target.root_path.as_path(), target.scope.as_path()), (base.as_path(), Path::new("sub/a.jpg")));
        let target = resolve(&[base.join("sub/a.jpg")], &[]).expect("it is there").remove(0);
        assert_eq!(
            (target.root_path, target.scope.as_path(), target.recursive),
            (base.join("sub"), Path::new("a.jpg"), false)
        );
    }

    #[test]
    fn a_path_inside_another_one_is_scanned_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let base = dir.path().canonicalize().expect("it is there");
        std::fs::create_dir(base.join("sub")).expect("a folder");
        for paths in [[base.clone(), base.join("sub")], [base.join("sub"), base.clone()], [base.clone(), base.clone()]]
        {
            assert_eq!(resolve(&paths, &[]).expect("they are there"), [whole_root(&base)]);
        }
    }

    #[test]
    fn a_missing_path_is_an_error_unless_it_is_a_root() {
        let gone = Path::new("/no/such/drive");
        assert!(resolve(&[gone.into()], &[]).is_err());
        assert_eq!(resolve(&[gone.into()], &[root(gone, true)]).expect("it is known"), [whole_root(gone)]);
    }
}
