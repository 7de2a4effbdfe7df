//! Synthetic sets of vectors, derived from real ones.

use std::path::{Path, PathBuf};

use imgidx::store::{FoundFile, ModelRow, Writer};
use imgidx::types::{ContentHash, DecodedFrom, Embedding, FileStat, ImageInfo};
use imgidx::{Filter, Index};

/// Rows that are written in one transaction.
const BATCH: usize = 5000;

/// A pseudo-random number generator (SplitMix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// The synthetic vector with a given number: `w a + (1 - w) b + t (c - d) + noise`, where a to d are real vectors, w is
/// from 0.5 to 1, t is from 0 to 0.5, and the noise is uniform with a length of about 0.3.
pub fn mixture(real: &[Embedding], number: u64) -> Embedding {
    let mut random = Random(number.wrapping_mul(0x1234_5677).wrapping_add(99));
    let [a, b, c, d] = std::array::from_fn(|_| real[random.below(real.len())].as_slice());
    let (w, t) = (0.5 + 0.5 * random.unit(), 0.5 * random.unit());
    let noise = 0.3 * (3.0 / a.len() as f32).sqrt();
    let mix = |i: usize| {
        let uniform = 2.0 * random.unit() - 1.0;
        w * a[i] + (1.0 - w) * b[i] + t * (c[i] - d[i]) + noise * uniform
    };
    Embedding::normalized((0..a.len()).map(mix).collect()).expect("real vectors have directions")
}

/// Vector `number` of a set. Of each 10,000 vectors the first 1,000 are exact copies: alternately one group of 1,000 and
/// ten groups of 100. The others are mixtures.
pub fn member(real: &[Embedding], number: u64) -> Embedding {
    let (block, at) = (number / 10_000, number % 10_000);
    match (at < 1000, block % 2) {
        (true, 0) => mixture(real, block * 10_000),
        (true, _) => mixture(real, block * 10_000 + at % 10),
        (false, _) => mixture(real, number),
    }
}

/// The vectors of all indexed pictures.
pub fn real_vectors(index: &Index) -> Vec<Embedding> {
    let (searcher, mut pictures) = (index.searcher(), Vec::new());
    searcher.for_each_picture(&Filter::default(), |picture| Ok(pictures.push(picture))).expect("the index can be read");
    let vector = |picture| searcher.stored_embedding(picture).expect("the index can be read").map(|(vector, _)| vector);
    pictures.iter().filter_map(vector).collect()
}

/// Adds members `from..to` to an index, each as the content of its own file.
pub fn store(database: &Path, real: &[Embedding], from: usize, to: usize) {
    let (mut writer, row) = writer(database);
    for start in (from..to).step_by(BATCH) {
        store_batch(&mut writer, row, real, start, (start + BATCH).min(to));
    }
    writer.checkpoint().expect("it can be written");
}

/// The writer of an index, and the row of its model.
pub fn writer(database: &Path) -> (Writer, ModelRow) {
    let model = Index::open(database).and_then(|index| index.searcher().active_model()).expect("the index is there").id;
    let writer = Writer::open(database).expect("nobody else writes");
    let row = writer.model(&model).expect("it can be read").expect("pictures were added").row;
    (writer, row)
}

const ROOT: &str = "/made";
/// The number of members in each folder.
pub const MEMBERS_PER_FOLDER: usize = 100;

/// The path of a folder of members.
pub fn folder(number: usize) -> PathBuf {
    Path::new(ROOT).join(folder_name(number))
}

fn folder_name(number: usize) -> String {
    format!("{number:04}")
}

/// Adds members `from..to` in one transaction.
pub fn store_batch(writer: &mut Writer, row: ModelRow, real: &[Embedding], from: usize, to: usize) {
    let info = ImageInfo {
        format: "jpeg".into(),
        width: 640,
        height: 480,
        orientation: 1,
        has_alpha: false,
        truncated: false,
        taken: None,
        decoded_from: DecodedFrom::Whole,
    };
    let batch = writer.batch().expect("a transaction");
    let root = batch.put_root(Path::new(ROOT), true, 0, 0).expect("a root");
    for number in from..to {
        let name = number.to_string();
        let image = batch.put_image(&ContentHash::of(name.as_bytes()), 1, Some(&info)).expect("a row");
        batch.put_embedding(image, row, &member(real, number as u64)).expect("a row");
        let path = format!("{}/{number:06}.jpg", folder_name(number / MEMBERS_PER_FOLDER)).into_bytes();
        let stat = FileStat { size: 1, mtime_ns: 0, ctime_ns: 0, inode: number as u64, device: 0 };
        batch.put_file(&FoundFile { root, path, stat, read_at_ns: 1 }, Some(image), None).expect("a row");
    }
    batch.commit().expect("it is committed");
}

/// Deletes the embedding of every `nth` member of `0..to`, and returns how many were deleted.
pub fn delete_every(database: &Path, nth: usize, to: usize) -> u64 {
    let (mut writer, row) = writer(database);
    let batch = writer.batch().expect("a transaction");
    let mut deleted = 0;
    for number in (0..to).step_by(nth) {
        let hash = ContentHash::of(number.to_string().as_bytes());
        if let Some(known) = batch.content(&hash, row).expect("it can be read") {
            batch.delete_embedding(known.image, row).expect("it can be removed");
            deleted += 1;
        }
    }
    batch.commit().expect("it is committed");
    deleted
}
