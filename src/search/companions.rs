//! Files of one shot: a raw file and its JPEG, a photograph and its video, a picture and its edited version.
//!
//! Files are companions if they are in one folder, have one name apart from extensions and the marks of edited versions,
//! and do not differ in their capture time. Where a capture time is not known, a picture is a companion only of a raw
//! file, a video, or an edited version by its name.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::media::Format;
use crate::store::{Neighbor, Store};
use crate::types::{ImageId, path_from_bytes};

/// What programs append to the name of an edited version: Google Photos, Lightroom, Windows and macOS.
const EDITED: [&str; 7] = ["-edited", "_edited", " edited", " (edited)", "-edit", " (edit)", "~edited"];

/// What may follow the name of a shot: an extension, or a mark.
const AFTER_NAME: [char; 5] = ['.', '-', '_', ' ', '~'];

/// Maximum number of copies of a picture whose companions are looked for.
const MAX_COPIES: usize = 16;

/// Extensions of the videos that cameras record with a picture.
const VIDEOS: [&str; 3] = ["mov", "mp4", "m4v"];

/// A file, as far as its companions depend on it.
#[derive(Debug, Clone)]
pub(super) struct Shot {
    path: PathBuf,
    /// The name without extensions and marks, in small letters.
    name: String,
    is_edited: bool,
    /// Whether it is a raw file or a video, which is never the same as a picture with its name.
    is_other_kind: bool,
    taken: Option<String>,
}

impl Shot {
    pub(super) fn new(path: &Path, format: Option<&str>, taken: Option<String>) -> Option<Self> {
        let stem = path.file_stem()?.to_string_lossy().to_lowercase();
        let (name, is_edited) = shot_name(&stem);
        let is_raw = format == Some(Format::Raw.name());
        let is_other_kind = is_raw || is_video(path);
        Some(Self { path: path.to_owned(), name: name.into_owned(), is_edited, is_other_kind, taken })
    }

    pub(super) fn is_companion_of(&self, other: &Self) -> bool {
        let is_one_shot = match (&self.taken, &other.taken) {
            (Some(one), Some(other)) => one == other,
            _ => self.is_other_kind || other.is_other_kind || self.is_edited != other.is_edited,
        };
        is_one_shot && self.name == other.name && self.path.parent() == other.path.parent()
    }

    /// Whether this is the file at a path.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        self.path == path
    }
}

fn is_video(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    VIDEOS.iter().any(|video| extension.eq_ignore_ascii_case(video))
}

/// The name of a shot, from the name of a file in small letters without its extension, and whether the file is an edited
/// version of it.
fn shot_name(stem: &str) -> (std::borrow::Cow<'_, str>, bool) {
    // Pixel phones: `PXL_1.RAW-01.COVER.jpg` and `PXL_1.RAW-02.ORIGINAL.dng`.
    let stem = stem.split_once(".raw-0").map_or(stem, |(name, _)| name);
    if let Some(name) = EDITED.iter().find_map(|mark| stem.strip_suffix(mark)) {
        return (name.into(), true);
    }
    // iPhones: `IMG_E1234` is the edited version of `IMG_1234`.
    match stem.strip_prefix("img_e").filter(|number| number.len() >= 4 && number.bytes().all(|it| it.is_ascii_digit()))
    {
        Some(number) => (format!("img_{number}").into(), true),
        None => (stem.into(), false),
    }
}

/// The companions of a file that holds an image: their paths, and the images of those that are pictures.
#[derive(Debug, Clone, Default)]
pub(super) struct Companions {
    pub paths: Vec<PathBuf>,
    pub images: Vec<ImageId>,
}

/// Finds the companions of the file at a path, which holds an image.
///
/// # Errors
/// If the database fails.
pub(super) fn companions_of(store: &Store, image: ImageId, path: &Path) -> Result<Companions> {
    let mut found = Companions::default();
    let provenance = store.provenance(image)?;
    let Some(this) = Shot::new(path, Some(&provenance.format), provenance.taken) else { return Ok(found) };
    for beginning in beginnings(path) {
        for Neighbor { root, path: name, image: other, format, taken } in store.files_beginning_with(&beginning)? {
            let there = root.join(path_from_bytes(&name));
            let is_relevant = other.is_some() || is_video(&there);
            let shot = Shot::new(&there, format.as_deref(), taken).filter(|_| is_relevant && other != Some(image));
            if shot.is_some_and(|shot| shot.is_companion_of(&this)) && !found.paths.contains(&there) {
                found.paths.push(there);
                found.images.extend(other);
            }
        }
    }
    Ok(found)
}

/// The shots of which a picture was found.
#[derive(Debug, Default)]
pub(super) struct Shots {
    /// Pictures that are companions of one that was found.
    images: HashSet<ImageId>,
}

impl Shots {
    /// Whether a picture is a companion of one that was found.
    pub(super) fn has(&self, image: ImageId) -> bool {
        self.images.contains(&image)
    }

    /// Adds a picture that was found, and returns the companions of all files that hold it.
    pub(super) fn add(&mut self, store: &Store, image: ImageId, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut all = Vec::new();
        for path in paths.iter().take(MAX_COPIES) {
            let Companions { paths, images } = companions_of(store, image, path)?;
            all.extend(paths);
            self.images.extend(images);
        }
        Ok(all)
    }
}

/// The beginnings of the paths of all possible companions.
fn beginnings(path: &Path) -> Vec<PathBuf> {
    let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { return Vec::new() };
    let (name, _) = shot_name_in_any_letters(stem);
    let mut names = vec![name.clone()];
    if let Some(number) = name.strip_prefix("IMG_") {
        names.push(format!("IMG_E{number}"));
    }
    let ends = |name: String| AFTER_NAME.map(|end| path.with_file_name(format!("{name}{end}")));
    names.into_iter().flat_map(ends).collect()
}

/// Like [`shot_name`], in the letters of the file.
fn shot_name_in_any_letters(stem: &str) -> (String, bool) {
    let small = stem.to_lowercase();
    let (name, is_edited) = shot_name(&small);
    // Marks and extensions are at the end; only iPhones put a letter in between.
    let name = match (stem.strip_prefix("IMG_E"), is_edited) {
        (Some(number), true) if name.strip_prefix("img_") == Some(number) => format!("IMG_{number}"),
        _ => stem.get(..name.len()).unwrap_or(stem).to_owned(),
    };
    (name, is_edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(path: &str, taken: Option<&str>) -> Shot {
        let format = if path.ends_with("dng") { "raw" } else { "jpeg" };
        Shot::new(Path::new(path), Some(format), taken.map(str::to_owned)).expect("a file")
    }

    #[test]
    fn files_of_one_shot_are_companions() {
        let noon = Some("2024-05-12 12:00:00");
        for (one, other) in [
            ("a/IMG_1234.HEIC", "a/IMG_1234.jpg"),
            ("a/IMG_1234.HEIC", "a/IMG_E1234.HEIC"),
            ("a/x.dng", "a/X.JPG"),
            ("a/x.jpg", "a/x (edited).jpg"),
            ("a/x.jpg", "a/x-edited.png"),
            ("a/PXL_1.RAW-01.COVER.jpg", "a/PXL_1.RAW-02.ORIGINAL.dng"),
        ] {
            assert!(shot(one, noon).is_companion_of(&shot(other, noon)), "{one} {other}");
            let later = Some("2024-05-12 12:00:01");
            assert!(!shot(one, noon).is_companion_of(&shot(other, later)), "{one} {other}: another time");
        }
        for (one, other) in [("a/x.jpg", "b/x.dng"), ("a/x.jpg", "a/xy.dng"), ("a/x-1.jpg", "a/x.jpg")] {
            assert!(!shot(one, noon).is_companion_of(&shot(other, noon)), "{one} {other}");
        }
    }

    #[test]
    fn without_a_capture_time_only_other_kinds_and_edited_versions_are_companions() {
        assert!(shot("a/x.jpg", None).is_companion_of(&shot("a/x.dng", None)));
        assert!(shot("a/x.jpg", None).is_companion_of(&shot("a/x.mov", None)));
        assert!(shot("a/x.jpg", None).is_companion_of(&shot("a/x-edited.jpg", Some("2024-05-12 12:00:00"))));
        assert!(!shot("a/x.jpg", None).is_companion_of(&shot("a/x.png", None)));
    }

    #[test]
    fn paths_of_companions_begin_as_the_shot_is_called() {
        let names = |path: &str| {
            let names = beginnings(Path::new(path)).into_iter().map(|path| path.to_string_lossy().into_owned());
            names.filter_map(|path| path.strip_suffix('.').map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(names("a/IMG_E1234.HEIC"), ["a/IMG_1234", "a/IMG_E1234"]);
        assert_eq!(names("a/Strand (Edited).jpg"), ["a/Strand"]);
        assert_eq!(names("a/PXL_1.RAW-01.COVER.jpg"), ["a/PXL_1"]);
    }
}
