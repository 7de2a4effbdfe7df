//! Fills in a group of duplicates: its pictures and files, the best ones first.

use std::collections::HashSet;

use super::groups::Member;
use super::keep::{Candidate, KeepRules};
use super::{DupeGroup, DupePicture, DupeTier};
use crate::error::Result;
use crate::store::{Fingerprint, Selection, Store, StoredCopy};

/// The group of these members. Only selected files are listed.
pub(super) fn arrange(
    store: &Store,
    prints: &[Fingerprint],
    members: &[Member],
    files: &Selection,
    keep: &KeepRules,
) -> Result<DupeGroup> {
    let candidate = |member: &Member| {
        let Fingerprint { image, width, height, bytes, .. } = prints[member.item];
        let (provenance, mut files) = (store.provenance(image)?, store.copies_of(image, files)?);
        keep.sort_files(&mut files);
        Ok(Candidate { pixels: u64::from(width) * u64::from(height), bytes, provenance, files })
    };
    let candidates = members.iter().map(candidate).collect::<Result<Vec<_>>>()?;
    let order = keep.order(&candidates);
    let (other_files, other_bytes) = count_others(order.iter().flat_map(|&at| &candidates[at].files));
    let pictures = order.into_iter().map(|at| {
        let Fingerprint { hash, width, height, bytes, .. } = prints[members[at].item];
        let paths = candidates[at].files.iter().map(|file| file.path.clone()).collect();
        DupePicture { image: hash, width, height, bytes, score: members[at].score, paths }
    });
    Ok(DupeGroup {
        tier: members.iter().map(|member| member.tier).max().unwrap_or(DupeTier::Exact),
        score: members.iter().map(|member| member.score).fold(1.0, f32::min),
        pictures: pictures.collect(),
        other_files,
        other_bytes,
    })
}

/// The number of files and of bytes that removing all but the first file would free, as far as the index knows: hard
/// links share their bytes, and those of the first file free nothing.
fn count_others<'a>(files: impl Iterator<Item = &'a StoredCopy>) -> (u64, u64) {
    let mut inodes = HashSet::new();
    // Systems without inodes store 0.
    let is_new = |file: &&StoredCopy| file.stat.inode == 0 || inodes.insert((file.place, file.stat.inode));
    let others = files.filter(is_new).skip(1);
    others.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.stat.size))
}
