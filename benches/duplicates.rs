//! Duplicates: recall for changed versions of pictures, precision, and the time of the search.
//!
//! ```sh
//! cargo bench --bench duplicates -- PHOTOS OTHERS
//! ```
//!
//! The benchmark makes changed versions of each of the first 150 pictures of `PHOTOS` and puts them among 650 other
//! pictures: the rest of `PHOTOS`, and `OTHERS`. A version is found if it is in the same group as its original. The
//! precision is that of all pairs of pictures in one group.
//!
//! A second set is made to mislead: colour variants of drawings, slides of one layout, pages of text, flat pictures and
//! discs. No two of them are copies, so every pair in one group is wrong; changed versions of some of them are there
//! too, and are right.
//!
//! It then times the search among 2,500 and 10,000 made pictures. Each shows random parts of two real pictures side by
//! side, and every tenth is a brighter version of the one before it, so that four times as many pictures have four times
//! as many duplicates.

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/misleading.rs"]
mod misleading;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::imageops::{FilterType, crop_imm, flip_horizontal, overlay, resize, rotate90, rotate180, rotate270};
use image::{DynamicImage, ImageReader, Rgb, RgbImage};
use imageproc::geometric_transformations::{Border, Interpolation, rotate_about_center};
use imgidx::search::{DupeAnswer, DupeQuery, DupeTier};
use imgidx::{AddOptions, Index};

const ORIGINALS: usize = 150;
const OTHERS: usize = 650;
const SIZES: [usize; 2] = [2_500, 10_000];

/// A changed version of the picture with this number.
type Change = fn(&RgbImage, usize) -> RgbImage;

/// The changes; versions by the first seven should be found.
const CHANGES: [(&str, Change); 12] = [
    ("resized", |image, _| {
        resize(image, (image.width() / 2).max(1), (image.height() / 2).max(1), FilterType::Lanczos3)
    }),
    // Only the JPEG quality differs, when the picture is saved.
    ("quality 40", |image, _| image.clone()),
    ("cropped", |image, _| {
        let (dx, dy) = (image.width() / 20, image.height() / 20);
        crop_imm(image, dx, dy, image.width() - 2 * dx, image.height() - 2 * dy).to_image()
    }),
    ("framed", |image, number| {
        let border = image.width().max(image.height()) / 20;
        let paper = Rgb([if number.is_multiple_of(2) { 255 } else { 0 }; 3]);
        let mut framed = RgbImage::from_pixel(image.width() + 2 * border, image.height() + 2 * border, paper);
        overlay(&mut framed, image, border.into(), border.into());
        framed
    }),
    ("grey", |image, _| DynamicImage::ImageRgb8(image.clone()).grayscale().into_rgb8()),
    ("written on", |image, _| written_on(image)),
    ("brightness", |image, number| scaled(image, if number.is_multiple_of(2) { 1.2 } else { 0.8 })),
    ("turned 3°", |image, _| {
        rotate_about_center(image, 3.0_f32.to_radians(), Interpolation::Bicubic, Border::Constant(Rgb([0; 3])))
    }),
    ("mirrored", |image, _| flip_horizontal(image)),
    ("turned 90°", |image, _| rotate90(image)),
    ("turned 180°", |image, _| rotate180(image)),
    ("turned 270°", |image, _| rotate270(image)),
];
const TO_BE_FOUND: usize = 7;

fn main() {
    let folders = arguments::directories();
    let pictures: Vec<PathBuf> = folders.iter().flat_map(|folder| files(folder)).collect();
    assert!(pictures.len() >= ORIGINALS + OTHERS, "{} pictures are too few", pictures.len());
    let scratch = tempfile::tempdir().expect("a folder");
    quality(scratch.path(), &pictures);
    misleading::run(scratch.path());
    speed(scratch.path(), &pictures);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.expect("an entry"));
    walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn open(path: &Path) -> RgbImage {
    let reader = ImageReader::open(path).expect("a file").with_guessed_format().expect("a format");
    reader.decode().expect("a picture").into_rgb8()
}

fn save(image: &RgbImage, path: &Path, quality: u8) {
    let file = fs::File::create(path).expect("a file");
    image::codecs::jpeg::JpegEncoder::new_with_quality(file, quality).encode_image(image).expect("it is written");
}

fn quality(scratch: &Path, pictures: &[PathBuf]) {
    let folder = scratch.join("changed");
    fs::create_dir(&folder).expect("a folder");
    for (number, path) in pictures[..ORIGINALS].iter().enumerate() {
        fs::copy(path, folder.join(format!("{number:03}-original.jpg"))).expect("a copy");
        let image = open(path);
        for (name, change) in CHANGES {
            let quality = if name == "quality 40" { 40 } else { 92 };
            save(&change(&image, number), &folder.join(format!("{number:03}-{name}.jpg")), quality);
        }
    }
    for (number, path) in pictures[ORIGINALS..ORIGINALS + OTHERS].iter().enumerate() {
        fs::copy(path, folder.join(format!("other{number}-.jpg"))).expect("a copy");
    }
    let mut index = Index::open(scratch.join("changed.db")).expect("it opens");
    index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    for tier in [DupeTier::Near, DupeTier::Similar] {
        let answer = index.searcher().dupes(&DupeQuery { tier, ..DupeQuery::default() }).expect("an answer");
        println!("\nup to {}: {} groups", tier.as_str(), answer.groups.len());
        print_quality(&answer);
    }
}

/// The number of the original of a file, and the name of the change.
fn version(path: &Path) -> (String, String) {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let (source, change) = name.split_once('-').expect("a version");
    (source.to_owned(), change.to_owned())
}

fn print_quality(answer: &DupeAnswer) {
    let mut found: HashMap<String, usize> = HashMap::new();
    let (mut right, mut wrong) = (0, 0);
    for group in &answer.groups {
        let versions: Vec<_> =
            group.pictures.iter().flat_map(|picture| &picture.paths).map(|path| version(path)).collect();
        for (i, (source, change)) in versions.iter().enumerate() {
            if versions.iter().any(|other| other.0 == *source && other.1 == "original") {
                *found.entry(change.clone()).or_default() += 1;
            }
            for (other, _) in &versions[i + 1..] {
                if other == source { right += 1 } else { wrong += 1 }
            }
        }
    }
    let mut all = 0;
    for (i, (name, _)) in CHANGES.iter().enumerate() {
        let found = found.get(*name).copied().unwrap_or(0);
        all += if i < TO_BE_FOUND { found } else { 0 };
        println!("{name:>12}: {found} of {ORIGINALS} found");
    }
    let recall = all as f64 / (TO_BE_FOUND * ORIGINALS) as f64;
    let precision = f64::from(right) / f64::from(right + wrong);
    println!("recall of the first {TO_BE_FOUND}: {recall:.4}; precision: {precision:.4} of {} pairs", right + wrong);
}

fn speed(scratch: &Path, pictures: &[PathBuf]) {
    let folder = scratch.join("parts");
    fs::create_dir(&folder).expect("a folder");
    let mut index = Index::open(scratch.join("parts.db")).expect("it opens");
    let mut made = 0;
    let mut times: Vec<Duration> = Vec::new();
    println!();
    for size in SIZES {
        (made..size).for_each(|number| make(&folder, pictures, number));
        made = size;
        index.add([&folder], &AddOptions::default()).expect("it can be indexed");
        let run = |_| {
            let start = Instant::now();
            let answer = index.searcher().dupes(&DupeQuery::default()).expect("an answer");
            (start.elapsed(), answer.groups.len())
        };
        let mut runs: Vec<_> = (0..3).map(run).collect();
        runs.sort();
        println!("{size} pictures: {} groups in {:.2?}", runs[1].1, runs[1].0);
        times.push(runs[1].0);
    }
    let exponent = |few: usize, many: usize| {
        (times[many].as_secs_f64() / times[few].as_secs_f64()).ln() / (SIZES[many] as f64 / SIZES[few] as f64).ln()
    };
    println!("the time grows with the number of pictures to the power of {:.2}", exponent(0, 1));
}

fn make(folder: &Path, pictures: &[PathBuf], number: usize) {
    /// The height of made pictures and the width of each half, in pixels.
    const SIDE: u32 = 120;
    const COPY_EVERY: usize = 10;
    let is_copy = number % COPY_EVERY == COPY_EVERY - 1;
    let mut state = (number - usize::from(is_copy)) as u64;
    let mut random = |limit: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32 % limit.max(1)
    };
    let mut made = RgbImage::new(2 * SIDE, SIDE);
    for half in 0..2 {
        let image = open(&pictures[random(pictures.len() as u32) as usize]);
        let mut part = |length: u32| (length / 2 + random(length / 2)).max(1);
        let (width, height) = (part(image.width()), part(image.height()));
        let (x, y) = (random(image.width() - width), random(image.height() - height));
        let part = crop_imm(&image, x, y, width, height).to_image();
        overlay(&mut made, &resize(&part, SIDE, SIDE, FilterType::Triangle), i64::from(half * SIDE), 0);
    }
    let made = if is_copy { scaled(&made, 1.15) } else { made };
    save(&made, &folder.join(format!("{number:05}.jpg")), 85);
}

fn scaled(image: &RgbImage, factor: f32) -> RgbImage {
    let mut image = image.clone();
    image.iter_mut().for_each(|x| *x = (f32::from(*x) * factor).round().min(255.0) as u8);
    image
}

/// The letters of "SAMPLE" as 5 × 7 pixels; each byte is a row.
const LETTERS: [[u8; 7]; 6] = [
    [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110], // S
    [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001], // A
    [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001], // M
    [0b11110, 0b10001, 0b10001, 0b11110, 0b10000, 0b10000, 0b10000], // P
    [0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b10000, 0b11111], // L
    [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111], // E
];

/// The picture with a translucent white "SAMPLE" across the middle.
fn written_on(image: &RgbImage) -> RgbImage {
    let mut image = image.clone();
    let dot = (image.width() / (6 * LETTERS.len() as u32 + 6)).max(1);
    let (left, top) = (3 * dot, (image.height() / 2).saturating_sub(3 * dot));
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (Some(column), Some(row)) = (x.checked_sub(left), y.checked_sub(top)) else { continue };
        let (column, row) = (column / dot, row / dot);
        let letter = LETTERS.get((column / 6) as usize).filter(|_| row < 7 && column % 6 < 5);
        if letter.is_some_and(|letter| letter[row as usize] >> (4 - column % 6) & 1 == 1) {
            pixel.0.iter_mut().for_each(|x| *x = ((u32::from(*x) * 2 + 255 * 3) / 5) as u8);
        }
    }
    image
}
