//! From the paths that a user gives to the roots of the index.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::scan::{RootIdentity, ScanOptions, Start, root_identity};
use crate::store::{Root, RootState, Store, Writer};
use crate::types::{RootId, is_exhausted, path_to_bytes};

/// What is to be scanned: a root, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub root_path: PathBuf,
    /// Relative to the root; empty for all of it.
    pub scope: PathBuf,
    /// Whether the root is (to be) indexed as a whole, or only files of it that were given one by one.
    pub recursive: bool,
    /// Why it is looked at.
    pub why: Start,
    /// Roots below this one that stay roots of their own, and are not walked here.
    pub nested_roots: Vec<PathBuf>,
}

/// A part of a known root that may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// Path of the root.
    pub root: PathBuf,
    /// A file or folder below it, relative to it; empty for all of it.
    pub scope: PathBuf,
}

impl Change {
    /// The path of the part.
    pub fn path(&self) -> PathBuf {
        joined(&self.root, &self.scope)
    }
}

/// Joining an empty path would add a separator, and then a file is no file any more.
fn joined(root: &Path, scope: &Path) -> PathBuf {
    if scope.as_os_str().is_empty() { root.to_owned() } else { root.join(scope) }
}

impl Target {
    /// The path to walk from.
    pub(crate) fn start(&self) -> PathBuf {
        joined(&self.root_path, &self.scope)
    }

    /// Whether it is all of a root.
    pub(crate) fn is_whole(&self) -> bool {
        self.recursive && self.scope.as_os_str().is_empty()
    }
}

/// Finds for each path the root that it is in, or makes it one. Paths inside of others are left out.
///
/// # Errors
/// When a path is not there, and is no root that could be offline.
pub(crate) fn resolve(paths: &[PathBuf], known: &[Root]) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    let mut starts = HashSet::new();
    for path in paths {
        let target = resolve_one(path, known)?;
        if starts.insert(target.start()) {
            targets.push(target);
        }
    }
    // A file among the starts has nothing below it, so that only folders can take others in.
    targets.retain(|target| !target.start().ancestors().skip(1).any(|around| starts.contains(around)));
    for target in &mut targets {
        target.nested_roots = roots_apart(target, known);
    }
    let nested_roots: Vec<Target> =
        targets.iter().flat_map(|target| &target.nested_roots).map(|root| whole(root)).collect();
    targets.extend(nested_roots);
    Ok(targets)
}

/// The targets for parts of known roots that may have changed, and may be gone. Parts of others are left out.
///
/// A root of files that were given one by one is never scanned as a whole: instead of it, its known files are targets.
pub(crate) fn of_changes(store: &Store, changes: &[Change], known: &[Root]) -> Result<Vec<Target>> {
    let mut targets: Vec<Target> = Vec::new();
    for change in changes {
        // The root may have been taken in by another since, or hold another drive at that place.
        let path = change.path();
        let around = known.iter().filter(|root| {
            path.starts_with(&root.path) && (root.recursive || path == root.path || path.parent() == Some(&root.path))
        });
        let Some(root) = around.max_by_key(|root| root.path.components().count()) else { continue };
        let scope = path.strip_prefix(&root.path).unwrap_or(&path).to_owned();
        // The files of other roots were asked for by name.
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
    // Of one root, a part within another one is looked at with that.
    let starts: HashSet<(PathBuf, PathBuf)> =
        targets.iter().filter(|it| it.recursive).map(|it| (it.root_path.clone(), it.scope.clone())).collect();
    let is_within = |target: &Target| {
        target.scope.ancestors().skip(1).any(|around| starts.contains(&(target.root_path.clone(), around.to_owned())))
    };
    let mut observed = HashSet::new();
    targets.retain(|target| !is_within(target) && observed.insert(target.start()));
    for target in targets.iter_mut().filter(|target| target.recursive) {
        target.nested_roots = roots_apart(target, known);
    }
    Ok(targets)
}

/// The known roots below a target that are on another file system, or not there: a drive keeps its own guard.
fn roots_apart(target: &Target, known: &[Root]) -> Vec<PathBuf> {
    let start = target.start();
    let Ok(around) = root_identity(&target.root_path) else { return Vec::new() };
    let below = known.iter().filter(|root| root.recursive && root.path != start && root.path.starts_with(&start));
    let is_apart = |root: &&Root| (around.device, around.file_system) != (root.device, root.file_system);
    below.filter(is_apart).map(|root| root.path.clone()).collect()
}

fn resolve_one(path: &Path, known: &[Root]) -> Result<Target> {
    let absolute = match std::fs::canonicalize(path) {
        Ok(absolute) => absolute,
        Err(error) => {
            // A drive that is not there leaves no path to resolve, but it may be a root that is known.
            let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
            let normal: PathBuf = absolute.components().filter(|part| *part != Component::CurDir).collect();
            return match known.iter().find(|root| root.path == normal) {
                Some(root) => Ok(whole(&root.path)),
                None => Err(Error::io("find", path)(error)),
            };
        }
    };
    let is_file = !absolute.is_dir();
    if is_file && !absolute.is_file() {
        return Err(Error::Invalid(format!("`{}` is neither a file nor a folder", path.display())));
    }
    let around = known.iter().filter(|root| root.recursive && absolute.starts_with(&root.path));
    if let Some(root) = around.max_by_key(|root| root.path.components().count()) {
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
        return Ok(whole(&absolute));
    }
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(Error::Invalid(format!("`{}` is neither a file nor a folder", path.display())));
    };
    let (root_path, scope, nested_roots) = (folder.to_owned(), name.into(), Vec::new());
    Ok(Target { root_path, scope, recursive: false, why: Start::Asked, nested_roots })
}

fn whole(path: &Path) -> Target {
    let (root_path, scope) = (path.to_owned(), PathBuf::new());
    Target { root_path, scope, recursive: true, why: Start::Asked, nested_roots: Vec::new() }
}

/// Makes sure that a target's root has a row and is itself, and takes in the roots below it.
///
/// Returns `None` if the root is offline; its rows are left as they are.
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
    // A root below that is not itself keeps its rows under its own name, until it is. Which ones are nested_roots is known only where
    // all of the root is looked at.
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

/// How many of the first and of the last known files are looked for in a directory that is not where it was.
const SAMPLE: usize = 16;

/// Looks whether the directory at a root's path is the one that is known: not gone, not an empty mount point, not
/// another drive. Returns `None` if it is not.
pub(crate) fn health(store: &Store, root: &Root) -> Result<Option<RootIdentity>> {
    let identity = match root_identity(&root.path) {
        Ok(identity) => identity,
        Err(error) if is_exhausted(&error) => return Err(Error::io("list", &root.path)(error)),
        Err(_) => return Ok(None),
    };
    if !identity.empty && identity.is_same_place(root.device, root.file_system) {
        return Ok(Some(identity));
    }
    let known_files = store.sample_paths(root.id, SAMPLE)?;
    let is_there = |path: &PathBuf| root.path.join(path).symlink_metadata().is_ok();
    let itself = known_files.is_empty() || (!identity.empty && known_files.iter().any(is_there));
    Ok(itself.then_some(identity))
}

/// The byte range of the rows in a scope: after the first, before the second. If the scope is a file, its own row is
/// none of them.
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
    fn a_path_belongs_to_the_root_around_it() {
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
    fn a_path_inside_of_another_one_is_scanned_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let base = dir.path().canonicalize().expect("it is there");
        std::fs::create_dir(base.join("sub")).expect("a folder");
        for paths in [[base.clone(), base.join("sub")], [base.join("sub"), base.clone()], [base.clone(), base.clone()]]
        {
            assert_eq!(resolve(&paths, &[]).expect("they are there"), [whole(&base)]);
        }
    }

    #[test]
    fn a_missing_path_is_an_error_unless_it_is_a_root() {
        let gone = Path::new("/no/such/drive");
        assert!(resolve(&[gone.into()], &[]).is_err());
        assert_eq!(resolve(&[gone.into()], &[root(gone, true)]).expect("it is known"), [whole(gone)]);
    }
}
