//! Which of several duplicates is the best one: the order of the pictures in a group, and of the files of a picture.
//!
//! The order must not depend on chance, because what comes first is kept. All comparisons end with the path.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::plain_name::copy_marks;
use crate::media::jpeg_quality;
use crate::store::{Provenance, StoredCopy};
use crate::types::{DominantColor, Lab, open_regular, path_to_bytes, resolved};

/// A rule that decides before all others which file of a group is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepRule {
    /// The file with the earliest modification time.
    Oldest,
    /// The file with the latest modification time.
    Newest,
    /// The file with the most bytes.
    Largest,
    /// The file with the fewest bytes.
    Smallest,
    /// The file with the shortest path.
    ShortestPath,
}

impl KeepRule {
    /// All rules.
    pub const ALL: [Self; 5] = [Self::Oldest, Self::Newest, Self::Largest, Self::Smallest, Self::ShortestPath];

    /// The name: `oldest`, `newest`, `largest`, `smallest` or `shortest-path`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oldest => "oldest",
            Self::Newest => "newest",
            Self::Largest => "largest",
            Self::Smallest => "smallest",
            Self::ShortestPath => "shortest-path",
        }
    }

    fn key(self, file: &StoredCopy) -> i64 {
        match self {
            Self::Oldest => file.stat.mtime_ns,
            Self::Newest => -file.stat.mtime_ns,
            Self::Largest => -(file.stat.size as i64),
            Self::Smallest => file.stat.size as i64,
            Self::ShortestPath => path_to_bytes(&file.path).len() as i64,
        }
    }
}

/// Which file of a group is kept.
///
/// Without rules, the best picture is kept: an SVG before its renderings; the picture with the most pixels; a picture in
/// colour before one in grey; one with a capture date before one without; the earlier capture date, then the earlier
/// file date, in steps of two seconds; a format that loses nothing before a lossy one; the exact file date; the higher
/// JPEG quality; more bytes. Of files with the same content, the oldest is kept, then the one with the plainer name, then
/// the one with the shorter path. With any rules, a picture that is known by a thumbnail only comes last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// Decides before everything but `under`.
    pub rule: Option<KeepRule>,
    /// Files in these directories are kept before others.
    pub under: Vec<PathBuf>,
    /// Files in these directories are never offered for removal. Of files with the same content, they are kept before
    /// others.
    pub reference: Vec<PathBuf>,
    /// Whether files of one shot may be offered for removal because of each other: a photograph and its edited version,
    /// or the same photograph as HEIC and as JPEG.
    pub companions: bool,
}

impl KeepRules {
    /// The same rules with the directories as the index names them.
    pub(super) fn resolved(&self) -> Self {
        let resolve = |folders: &[PathBuf]| folders.iter().map(|folder| resolved(folder)).collect();
        let (under, reference) = (resolve(&self.under), resolve(&self.reference));
        Self { rule: self.rule, under, reference, companions: self.companions }
    }

    /// Whether a file is in one of the directories whose files are never offered.
    pub(super) fn is_reference(&self, path: &Path) -> bool {
        self.reference.iter().any(|folder| path.starts_with(folder))
    }

    /// What decides before everything else.
    fn preference(&self, file: &StoredCopy) -> (bool, i64) {
        let is_preferred = self.under.iter().any(|folder| file.path.starts_with(folder));
        (!is_preferred, self.rule.map_or(0, |rule| rule.key(file)))
    }

    /// Sorts files with the same content, the one to keep first.
    pub(super) fn sort_files(&self, files: &mut [StoredCopy]) {
        files.sort_by_cached_key(|file| {
            let path = path_to_bytes(&file.path).into_owned();
            let default = (file.stat.mtime_ns, copy_marks(&file.path), path.len(), path);
            (!self.is_reference(&file.path), self.preference(file), default)
        });
    }

    /// The order of the pictures of a group, the one to keep first, as positions in `pictures`.
    pub(super) fn order(&self, pictures: &[Candidate]) -> Vec<usize> {
        let keys: Vec<_> = pictures.iter().map(|picture| self.key(picture)).collect();
        let mut ties: HashMap<_, usize> = HashMap::new();
        for (key, _) in keys.iter().zip(pictures).filter(|(_, picture)| picture.is_jpeg()) {
            *ties.entry(key).or_default() += 1;
        }
        // A file is read only if its quality decides.
        let quality = |item: usize| match pictures[item].is_jpeg() && ties[&keys[item]] > 1 {
            true => pictures[item].files.first().and_then(|file| quality_of(&file.path)),
            false => None,
        };
        let mut order: Vec<usize> = (0..pictures.len()).collect();
        order.sort_by_cached_key(|&item| {
            let picture = &pictures[item];
            let path = picture.files.first().map(|file| path_to_bytes(&file.path).into_owned());
            (&keys[item], Reverse(quality(item)), Reverse(picture.bytes), path)
        });
        order
    }

    /// What decides before the quality of JPEG files.
    fn key<'a>(&self, picture: &'a Candidate) -> impl Ord + std::hash::Hash + use<'a> {
        let preference = picture.files.iter().map(|file| self.preference(file)).min();
        let Provenance { format, taken, colors, is_provisional } = &picture.provenance;
        let taken = (taken.is_none(), taken.as_deref());
        let is_vector = format == "svg";
        // Some file systems store dates in steps of two seconds.
        let date = picture.oldest().map(|ns| ns.div_euclid(2_000_000_000));
        let origin = (taken, date, loss(format), picture.oldest());
        (is_provisional, preference, !is_vector, Reverse(picture.pixels), is_grey(colors), origin)
    }
}

/// A picture of a group.
#[derive(Debug)]
pub(super) struct Candidate {
    pub pixels: u64,
    pub bytes: u64,
    pub provenance: Provenance,
    /// Its files, the one to keep first.
    pub files: Vec<StoredCopy>,
}

impl Candidate {
    fn is_jpeg(&self) -> bool {
        self.provenance.format == "jpeg"
    }

    /// The earliest modification time of its files, in nanoseconds since 1970.
    fn oldest(&self) -> Option<i64> {
        self.files.iter().map(|file| file.stat.mtime_ns).min()
    }
}

/// Chroma (CIE LCh) below which a colour looks grey.
const MAX_GREY_CHROMA: f32 = 1.0;

/// Whether all dominant colours are grey. Unknown colours are not.
fn is_grey(colors: &[DominantColor]) -> bool {
    !colors.is_empty() && colors.iter().all(|DominantColor { lab: Lab([_, a, b]), .. }| a.hypot(*b) < MAX_GREY_CHROMA)
}

/// How much a format loses: 0 for nothing; 1 for compression that is meant not to be seen; 2 for few colours or small
/// pictures. WebP may be either, and is mostly made from another file.
fn loss(format: &str) -> u8 {
    match format {
        "jpeg" | "webp" | "dds" => 1,
        "gif" | "ico" => 2,
        _ => 0,
    }
}

/// The quality of a JPEG file, if it can be read.
fn quality_of(path: &Path) -> Option<u8> {
    jpeg_quality(&mut BufReader::new(open_regular(path).ok()?)).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FileStat, RootId};

    const SECOND: i64 = 1_000_000_000;

    fn file(path: &str, seconds: i64, size: u64) -> StoredCopy {
        let time = seconds * SECOND;
        let stat = FileStat { size, mtime_ns: time, ctime_ns: time, inode: 1, device: 0 };
        let (path, root_path) = (path.into(), "/".into());
        StoredCopy { path, root: RootId(1), root_path, place: (1, 1), stat, read_at_ns: time }
    }

    fn candidate(path: &str) -> Candidate {
        let provenance =
            Provenance { format: "jpeg".into(), taken: None, is_provisional: false, colors: vec![color(40.0)] };
        Candidate { pixels: 100, bytes: 1000, provenance, files: vec![file(path, 1000, 1000)] }
    }

    fn color(chroma: f32) -> DominantColor {
        DominantColor { lab: Lab([50.0, chroma, 0.0]), share: 1.0 }
    }

    /// Asserts that the better picture comes first, in whatever order they are given.
    fn assert_better(better: impl Fn(&mut Candidate), worse: impl Fn(&mut Candidate)) {
        let mut pictures = [candidate("/z"), candidate("/a")];
        better(&mut pictures[0]);
        worse(&mut pictures[1]);
        assert_eq!(KeepRules::default().order(&pictures), [0, 1]);
        pictures.reverse();
        assert_eq!(KeepRules::default().order(&pictures), [1, 0]);
    }

    #[test]
    fn each_quality_decides_before_the_next_one() {
        let format = |name: &'static str| move |picture: &mut Candidate| picture.provenance.format = name.into();
        let taken = |date: &'static str| move |picture: &mut Candidate| picture.provenance.taken = Some(date.into());
        let colors = |chroma: f32| move |picture: &mut Candidate| picture.provenance.colors = vec![color(chroma)];
        let pixels = |number: u64| move |picture: &mut Candidate| picture.pixels = number;
        let dated = |seconds: i64| move |picture: &mut Candidate| picture.files[0] = file("/m", seconds, 1000);
        let bytes = |number: u64| move |picture: &mut Candidate| picture.bytes = number;
        assert_better(format("svg"), pixels(200));
        assert_better(pixels(101), colors(80.0));
        // A grey copy is often the larger file.
        assert_better(colors(40.0), |grey| (grey.provenance.colors, grey.bytes) = (vec![color(0.3)], 9000));
        assert_better(colors(40.0), |grey| {
            colors(0.0)(grey);
            taken("2001-01-01 00:00:00")(grey);
        });
        assert_better(taken("2020-01-01 00:00:00"), dated(1));
        assert_better(taken("2019-01-01 00:00:00"), taken("2020-01-01 00:00:00"));
        assert_better(dated(10), format("png"));
        assert_better(format("png"), bytes(9000));
        assert_better(format("jpeg"), format("gif"));
        assert_better(bytes(1001), |_| {});
    }

    #[test]
    fn of_equal_files_the_oldest_and_plainest_is_kept() {
        let sorted = |rules: &KeepRules, files: &[StoredCopy]| {
            let mut files = files.to_vec();
            rules.sort_files(&mut files);
            files.into_iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>()
        };
        let files =
            [file("/b (1).jpg", 5, 1), file("/long/b.jpg", 5, 1), file("/b.jpg", 5, 1), file("/c (copy).jpg", 4, 1)];
        let default = ["/c (copy).jpg", "/b.jpg", "/long/b.jpg", "/b (1).jpg"];
        assert_eq!(sorted(&KeepRules::default(), &files), default);
        let under = KeepRules { under: vec!["/long".into()], ..KeepRules::default() };
        assert_eq!(sorted(&under, &files)[0], "/long/b.jpg");
        let newest =
            KeepRules { rule: Some(KeepRule::Newest), reference: vec!["/c (copy).jpg".into()], ..KeepRules::default() };
        assert_eq!(sorted(&newest, &files)[..2], ["/c (copy).jpg", "/b.jpg"]);
    }

    #[test]
    fn a_rule_decides_before_the_quality_of_the_picture() {
        let (mut large, mut small) = (candidate("/large"), candidate("/small"));
        large.pixels = 1_000_000;
        large.files = vec![file("/archive/large", 9, 9000)];
        small.files = vec![file("/new/small", 5, 10)];
        let pictures = [large, small];
        let first = |rules: KeepRules| rules.order(&pictures)[0];
        let with = |rule| first(KeepRules { rule: Some(rule), ..KeepRules::default() });
        assert_eq!(first(KeepRules::default()), 0);
        assert_eq!(KeepRule::ALL.map(with), [1, 0, 0, 1, 1]);
        assert_eq!(first(KeepRules { under: vec!["/new".into()], ..KeepRules::default() }), 1);
        // A reference directory protects its files, but does not make a worse picture the better one.
        assert_eq!(first(KeepRules { reference: vec!["/new".into()], ..KeepRules::default() }), 0);
        // No rule makes up for what is not known yet.
        let mut provisional = pictures;
        provisional[0].provenance.is_provisional = true;
        let largest = KeepRules { rule: Some(KeepRule::Largest), ..KeepRules::default() };
        assert_eq!(largest.order(&provisional)[0], 1);
    }
}
