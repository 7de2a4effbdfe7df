//! Which duplicates may be removed: only those whose kept file was just verified on disk. A file that is not provably
//! safe to remove is withheld with a reason.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::companions::Shot;
use super::verify::{FileKey, OnlineRoots, Verified, is_same_file, verify};
use super::{DupeGroup, DupePicture, DupeTier, KeepRules, Withheld};
use crate::error::Result;
use crate::media::Format;
use crate::store::{Provenance, Selection, Store, StoredCopy};
use crate::types::{ContentHash, FileStat};

/// A file that may be removed, because another file holds its content or a better version of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedundantFile {
    /// Its path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// The file that is kept instead. It existed and was unchanged at the time of the check.
    pub kept: PathBuf,
    /// Exact if both hold the same content; otherwise the tier of the group that contains both.
    pub tier: DupeTier,
    /// Its row, and the hash of its content.
    pub(crate) row: (StoredCopy, ContentHash),
    /// The same of the kept file.
    pub(crate) kept_row: (StoredCopy, ContentHash),
}

/// A file of a group that must not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithheldFile {
    /// Its path.
    pub path: PathBuf,
    /// The reason.
    pub reason: Withheld,
}

/// The files that may be removed, and the files that must stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redundant {
    /// Files that may be removed, by group.
    pub files: Vec<RedundantFile>,
    /// Files that are not offered, without the kept ones and those that the user wants.
    pub withheld: Vec<WithheldFile>,
    /// Bytes that removing all of these files frees. A file frees nothing as long as it has another hard link.
    pub freed_bytes: u64,
}

/// Checks the files of all groups on disk, and separates those that may be removed from those that must stay. In each
/// group, the first verified file is kept.
///
/// # Errors
/// If the database fails.
pub(crate) fn find_redundant(store: &Store, groups: &[DupeGroup], keep: &KeepRules) -> Result<Redundant> {
    let keep = &keep.resolved();
    let wanted: HashSet<ContentHash> =
        store.dismissals()?.into_iter().filter_map(|(a, b)| (a == b).then_some(a)).collect();
    let mut check = Check {
        store,
        keep,
        wanted,
        roots: OnlineRoots::default(),
        names: HashMap::new(),
        kept: HashSet::new(),
        shots: Vec::new(),
    };
    let mut redundant = Redundant::default();
    for group in groups {
        check.group(group, &mut redundant)?;
    }
    let is_freed = |names: &&Names| names.offered >= names.links;
    redundant.freed_bytes = check.names.values().filter(is_freed).map(|names| names.bytes).sum();
    Ok(redundant)
}

/// The names of an offered file.
struct Names {
    /// Number of names that are offered.
    offered: u64,
    /// Number of its hard links.
    links: u64,
    bytes: u64,
}

/// A verified file that is kept.
struct Kept {
    row: (StoredCopy, ContentHash),
    verified: Verified,
}

struct Check<'a> {
    store: &'a Store,
    keep: &'a KeepRules,
    /// Contents of which all copies are wanted.
    wanted: HashSet<ContentHash>,
    roots: OnlineRoots,
    /// The offered files.
    names: HashMap<FileKey, Names>,
    /// The kept files.
    kept: HashSet<FileKey>,
    /// The contents of the group, each with the shots of its files.
    shots: Vec<(ContentHash, Vec<Shot>)>,
}

impl Check<'_> {
    fn group(&mut self, group: &DupeGroup, redundant: &mut Redundant) -> Result<()> {
        let (offered, withheld) = (redundant.files.len(), redundant.withheld.len());
        let mut best: Option<Kept> = None;
        self.shots = if self.keep.companions { Vec::new() } else { self.shots_of(group)? };
        for picture in &group.pictures {
            self.picture(picture, group, &mut best, redundant)?;
        }
        // Where all other names are hard links, there was no copy to begin with.
        let has_lost_copies = redundant.withheld[withheld..].iter().any(|file| file.reason != Withheld::SameFile);
        if let (Some(best), true) = (best, redundant.files.len() == offered && has_lost_copies) {
            redundant.withheld.push(WithheldFile { path: best.row.0.path, reason: Withheld::OnlyCopy });
        }
        Ok(())
    }

    /// Checks the files of one content. `best` is the kept file of the group, once there is one.
    fn picture(
        &mut self,
        picture: &DupePicture,
        group: &DupeGroup,
        best: &mut Option<Kept>,
        redundant: &mut Redundant,
    ) -> Result<()> {
        let Some(image) = self.store.image(&picture.image)? else { return Ok(()) };
        let Provenance { format, is_provisional, .. } = self.store.provenance(image)?;
        // A thumbnail is no evidence that two pictures are copies; equal content is.
        let is_apart = is_provisional && group.pictures.len() > 1;
        let mut best_apart = None;
        let best = if is_apart { &mut best_apart } else { best };
        // A raw file and a document with layers hold what no copy of their preview has.
        let is_source = [Format::Raw, Format::Psd].map(Format::name).contains(&format.as_str());
        let rows = self.store.copies_of(image, &Selection::default())?;
        let linked: HashSet<FileKey> = rows.iter().filter_map(FileKey::behind_link).collect();
        let mut rows: HashMap<PathBuf, StoredCopy> = rows.into_iter().map(|row| (row.path.clone(), row)).collect();
        let mut files: Vec<(StoredCopy, Option<Pinned>)> = Vec::new();
        for row in picture.paths.iter().filter_map(|path| rows.remove(path)) {
            let pinned = self.pinned(&row, &picture.image, &linked);
            files.push((row, pinned));
        }
        // Files that stay in any case are kept before others with the same content.
        files.sort_by_key(|(_, pinned)| pinned.is_none());
        // A file with this content that stays.
        let mut own: Option<Kept> = None;
        for (row, pinned) in files {
            let mut withhold = |path: PathBuf, reason| redundant.withheld.push(WithheldFile { path, reason });
            let verified = match self.roots.has(self.store, &row)? {
                true => verify(&row, &picture.image),
                false => Err(Withheld::Offline),
            };
            let verified = match verified {
                Ok(verified) => verified,
                Err(reason) => {
                    withhold(row.path, reason);
                    continue;
                }
            };
            let key = FileKey::new(&row.path, &verified.stat);
            let mut kept = own.iter().chain(best.iter());
            if self.kept.contains(&key) || kept.any(|kept| is_same_file(&verified, &kept.verified)) {
                withhold(row.path, Withheld::SameFile);
                continue;
            }
            let is_kept = best.is_none();
            match (pinned, own.as_ref().or(best.as_ref())) {
                (Some(Pinned::LinkTarget), Some(_)) => withhold(row.path.clone(), Withheld::LinkTarget),
                (None, Some(kept)) => {
                    if kept.row.1 != picture.image && (is_source || verified.may_hold_several_pictures()) {
                        withhold(row.path, Withheld::HoldsMore);
                        continue;
                    }
                    if kept.row.1 != picture.image && self.has_companion(&row.path, &picture.image) {
                        withhold(row.path, Withheld::Companion);
                        continue;
                    }
                    self.offer((row, key), picture, group.tier, &verified, kept, redundant);
                    continue;
                }
                _ => {}
            }
            self.kept.insert(key);
            let row = (row, picture.image);
            match is_kept {
                true => *best = Some(Kept { row, verified }),
                false => own = Some(Kept { row, verified }),
            }
        }
        if let Some(Kept { row: (row, hash), .. }) = best_apart
            && self.pinned(&row, &hash, &linked).is_none()
        {
            redundant.withheld.push(WithheldFile { path: row.path, reason: Withheld::Provisional });
        }
        Ok(())
    }

    /// The contents of a group of several, each with the shots of its files.
    fn shots_of(&self, group: &DupeGroup) -> Result<Vec<(ContentHash, Vec<Shot>)>> {
        let mut shots = Vec::new();
        for picture in group.pictures.iter().filter(|_| group.pictures.len() > 1) {
            let Some(image) = self.store.image(&picture.image)? else { continue };
            let Provenance { format, taken, .. } = self.store.provenance(image)?;
            let of_picture = picture.paths.iter().filter_map(|path| Shot::new(path, Some(&format), taken.clone()));
            shots.push((picture.image, of_picture.collect()));
        }
        Ok(shots)
    }

    /// Whether another content of the group is of the same shot.
    fn has_companion(&self, path: &Path, image: &ContentHash) -> bool {
        let own = self.shots.iter().filter(|(of, _)| of == image).flat_map(|(_, shots)| shots);
        let mut own = own.filter(|shot| shot.is_of(path));
        let others = || self.shots.iter().filter(|(of, _)| of != image).flat_map(|(_, shots)| shots);
        own.any(|own| others().any(|other| other.is_companion_of(own)))
    }

    /// Why a file is never offered, if there is a reason.
    fn pinned(&self, row: &StoredCopy, hash: &ContentHash, linked: &HashSet<FileKey>) -> Option<Pinned> {
        let is_reference = || {
            let real = || row.path.canonicalize().is_ok_and(|path| self.keep.is_reference(&path));
            !self.keep.reference.is_empty() && (self.keep.is_reference(&row.path) || real())
        };
        let is_linked = || {
            let metadata = row.path.symlink_metadata();
            metadata.is_ok_and(|metadata| linked.contains(&FileKey::new(&row.path, &FileStat::new(&metadata))))
        };
        if self.wanted.contains(hash) || is_reference() {
            Some(Pinned::Wanted)
        } else {
            (!linked.is_empty() && is_linked()).then_some(Pinned::LinkTarget)
        }
    }

    fn offer(
        &mut self,
        (row, key): (StoredCopy, FileKey),
        picture: &DupePicture,
        tier: DupeTier,
        verified: &Verified,
        kept: &Kept,
        redundant: &mut Redundant,
    ) {
        let bytes = verified.stat.size;
        let names = self.names.entry(key).or_insert(Names { offered: 0, links: verified.links, bytes });
        // A file with one name that was offered before has a second path, through a second mount or in other letters.
        if names.offered >= names.links {
            redundant.withheld.push(WithheldFile { path: row.path, reason: Withheld::SameFile });
            return;
        }
        names.offered += 1;
        let tier = if kept.row.1 == picture.image { DupeTier::Exact } else { tier };
        let (path, kept_path) = (row.path.clone(), kept.row.0.path.clone());
        let (row, kept_row) = ((row, picture.image), kept.row.clone());
        redundant.files.push(RedundantFile { path, bytes, kept: kept_path, tier, row, kept_row });
    }
}

/// Why a file is never offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pinned {
    /// It is in a reference directory, or all copies of its content are wanted.
    Wanted,
    /// A link of the index leads to it.
    LinkTarget,
}
