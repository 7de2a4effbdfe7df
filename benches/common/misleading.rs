//! A set of pictures that look alike and are not the same: drawings in three colours, slides of one layout, pages of
//! text, flat pictures and discs. Each also has a version of half the size and one in grey.

use std::fs;
use std::path::Path;

use image::imageops::{FilterType, resize};
use image::{DynamicImage, Rgb, RgbImage};
use imgidx::search::{DupeQuery, DupeTier};
use imgidx::{AddOptions, Index};

/// A small random number generator, so that the set is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as u32 % limit.max(1)
    }
}

fn fill(image: &mut RgbImage, (left, top, width, height): (u32, u32, u32, u32), color: [u8; 3]) {
    for y in top..(top + height).min(image.height()) {
        for x in left..(left + width).min(image.width()) {
            image.put_pixel(x, y, Rgb(color));
        }
    }
}

/// A line of made-up words: boxes with gaps, of the height of small letters.
fn line(image: &mut RgbImage, random: &mut Random, (left, top): (u32, u32), width: u32, height: u32) {
    let mut x = left;
    while x < left + width {
        let letters = 2 + random.below(9);
        for letter in 0..letters {
            let tall = random.below(3) == 0;
            let rise = if tall { height } else { height * 2 / 3 };
            fill(image, (x + letter * height * 2 / 3, top + height - rise, height / 2, rise), [25; 3]);
        }
        x += letters * height * 2 / 3 + height / 2;
    }
}

fn slide(random: &mut Random) -> RgbImage {
    let mut slide = RgbImage::from_pixel(960, 540, Rgb([255; 3]));
    fill(&mut slide, (0, 0, 960, 80), [30, 60, 120]);
    fill(&mut slide, (0, 515, 960, 25), [220, 220, 230]);
    let title = 200 + random.below(400);
    line(&mut slide, random, (40, 24), title, 34);
    for bullet in 0..3 + random.below(4) {
        let top = 120 + 60 * bullet;
        fill(&mut slide, (45, top + 6, 10, 10), [30, 60, 120]);
        let width = 250 + random.below(500);
        line(&mut slide, random, (72, top), width, 22);
    }
    slide
}

fn page(random: &mut Random) -> RgbImage {
    let mut page = RgbImage::from_pixel(620, 877, Rgb([255; 3]));
    let mut top = 70;
    while top < 800 {
        for _ in 0..4 + random.below(5) {
            line(&mut page, random, (70, top), 470, 11);
            top += 18;
        }
        top += 12;
    }
    page
}

/// A drawing of a few shapes in one of three colours.
fn drawing(number: u64, variant: usize) -> RgbImage {
    let mut random = Random(number);
    let mut drawing = RgbImage::from_pixel(360, 300, Rgb([255; 3]));
    for _ in 0..3 + random.below(4) {
        let strong = 120 + random.below(120) as u8;
        let color = std::array::from_fn(|i| if i == variant { strong } else { strong / 4 });
        let part = (random.below(260), random.below(220), 40 + random.below(120), 30 + random.below(90));
        fill(&mut drawing, part, color);
    }
    drawing
}

fn disc(color: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(300, 300, |x, y| {
        let (dx, dy) = (x as f32 - 150.0, y as f32 - 150.0);
        Rgb(if dx.hypot(dy) < 100.0 { color } else { [255; 3] })
    })
}

/// All pictures of the set, by name. The part of a name before `-` says which picture it is a version of.
fn pictures() -> Vec<(String, RgbImage)> {
    let mut random = Random(1);
    let mut all = Vec::new();
    for number in 0..25 {
        all.extend((0..3).map(|variant| (format!("drawing{number}.{variant}-"), drawing(number + 7, variant))));
    }
    all.extend((0..20).map(|number| (format!("slide{number}-"), slide(&mut random))));
    all.extend((0..20).map(|number| (format!("page{number}-"), page(&mut random))));
    let colors = [[255; 3], [0; 3], [200, 30, 30], [30, 160, 60], [128; 3]];
    all.extend(
        colors.iter().enumerate().map(|(i, color)| (format!("flat{i}-"), RgbImage::from_pixel(400, 300, Rgb(*color)))),
    );
    let colors = [[220, 30, 30], [30, 180, 60], [30, 60, 220]];
    all.extend(colors.iter().enumerate().map(|(i, color)| (format!("disc{i}-"), disc(*color))));
    all
}

/// Prints how many pairs in one group are versions of one picture, and how many are not.
pub(crate) fn run(scratch: &Path) {
    let folder = scratch.join("misleading");
    fs::create_dir(&folder).expect("a folder");
    let mut versions = 0;
    for (name, image) in pictures() {
        image.save(folder.join(format!("{name}original.png"))).expect("it is written");
        // A grey version of a drawing is a version of all its colour variants, and flat ones have no other versions.
        if name.starts_with("slide") || name.starts_with("page") || name.starts_with("drawing") {
            let half = resize(&image, image.width() / 2, image.height() / 2, FilterType::Lanczos3);
            half.save(folder.join(format!("{name}half.jpg"))).expect("it is written");
            versions += 1;
        }
        if name.starts_with("slide") || name.starts_with("page") {
            let grey = DynamicImage::ImageRgb8(image).grayscale().into_rgb8();
            grey.save(folder.join(format!("{name}grey.jpg"))).expect("it is written");
            versions += 1;
        }
    }
    let mut index = Index::open(scratch.join("misleading.db")).expect("it opens");
    index.add([&folder], &AddOptions::default()).expect("it can be indexed");
    for tier in [DupeTier::Near, DupeTier::Similar] {
        let answer = index.searcher().dupes(&DupeQuery { tier, ..DupeQuery::default() }).expect("an answer");
        let (mut right, mut wrong, mut found) = (0, 0, 0);
        for group in &answer.groups {
            let sources: Vec<String> = group
                .pictures
                .iter()
                .flat_map(|picture| &picture.paths)
                .map(|path| {
                    path.file_name().expect("a name").to_string_lossy().split('-').next().expect("a part").to_owned()
                })
                .collect();
            for (i, a) in sources.iter().enumerate() {
                found += usize::from(sources[..i].contains(a));
                for b in &sources[i + 1..] {
                    if a == b { right += 1 } else { wrong += 1 }
                }
            }
        }
        println!(
            "made to mislead, up to {}: {found} of {versions} versions found, {wrong} of {} pairs wrong",
            tier.as_str(),
            right + wrong
        );
    }
}
