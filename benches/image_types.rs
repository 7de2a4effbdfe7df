//! The types that the rules assign to pictures of known type, and the data for calibrating the rules.
//!
//! ```sh
//! python benches/text_pages.py PAGES
//! cargo bench --bench image_types -- PHOTOS… LOGOS --text NAMES [--pages PAGES] [--csv FILE]
//! ```
//!
//! `PHOTOS` are folders of photographs. `LOGOS` is a folder of SVG drawings, which are rendered with anti-aliasing at
//! several sizes. Both are also measured in common variants: photographs in grey and as thumbnails, drawings as JPEG of
//! several qualities. A drawing counts as having gradients if its source has some. The file `NAMES` lists the drawings
//! that are mostly text. `PAGES` has pages of text, slides and screenshots; the part of a name before `-` is the template
//! that they were made from. Gradients without a drawing are made here. `--csv` writes the terms of the rules for all
//! samples; `image_types.py` fits the rules to them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use imgidx::media::{DecodeLimits, Decoder, Kind, Picture, measure, sniff, type_terms};
use imgidx::types::{Features, ImageType};
use rayon::prelude::*;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg;

/// The longer sides at which drawings are rendered, in pixels.
const SIDES: [u32; 5] = [64, 96, 128, 256, 512];

/// The longer side of a thumbnail, in pixels.
const THUMBNAIL_SIDE: u32 = 96;
/// The JPEG qualities of drawings, each with the longer side of the drawing in pixels.
const JPEGS: [(u8, u32); 4] = [(60, 256), (75, 512), (85, 128), (95, 256)];
/// The JPEG quality of pages.
const PAGE_QUALITY: u8 = 80;
/// Number of gradients without a drawing.
const GRADIENTS: u32 = 80;

struct Sample {
    name: String,
    /// "plain", "grey", "thumbnail", "jpeg", "page" or "bare".
    variant: &'static str,
    /// The longer side at which a drawing was rendered, in pixels; 0 for photographs.
    side: u32,
    truth: ImageType,
    fills: usize,
    features: Features,
    terms: Vec<(&'static str, f32)>,
}

fn main() {
    let mut folders = Vec::new();
    let (mut text_names, mut pages, mut csv) = (BTreeSet::new(), None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--text" => {
                let names = std::fs::read_to_string(arguments.next().expect("a file")).expect("it can be read");
                text_names = names.lines().map(str::to_owned).collect();
            }
            "--pages" => pages = arguments.next().map(PathBuf::from),
            "--csv" => csv = arguments.next(),
            _ => folders.push(PathBuf::from(argument)),
        }
    }
    let logos = folders.pop().expect("a folder with drawings");
    let photos: Vec<PathBuf> = folders.iter().flat_map(|folder| files(folder)).collect();
    let mut samples: Vec<Sample> = photos.par_iter().flat_map(|path| photo(path)).collect();
    samples.par_extend(files(&logos).par_iter().flat_map(|path| drawings(path, &text_names)));
    let pages = pages.map(|folder| files(&folder)).unwrap_or_default();
    samples.par_extend(pages.par_iter().flat_map(|path| page(path)));
    samples.par_extend((0..GRADIENTS).into_par_iter().flat_map(bare_gradient));
    if let Some(file) = csv {
        write_csv(Path::new(&file), &samples).expect("it can be written");
    }
    matrix(&samples);
    palettes(&samples);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry"));
    let mut files: Vec<PathBuf> =
        walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect();
    files.sort();
    files
}

fn decoded(bytes: &[u8], name: &Path) -> Option<Picture> {
    let Kind::Picture(format) = sniff(bytes, name.file_name()) else { return None };
    Decoder::open(bytes, format, DecodeLimits::default()).and_then(Decoder::decode).ok()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn photo(path: &Path) -> Vec<Sample> {
    let bytes = std::fs::read(path).expect("it can be read");
    let Some(picture) = decoded(&bytes, path) else { return Vec::new() };
    let image = image::load_from_memory(&bytes).expect("it was decoded once");
    let grey = image.grayscale().into_rgb8();
    let thumbnail = image.thumbnail(THUMBNAIL_SIDE, THUMBNAIL_SIDE).into_rgb8();
    let variants = [("plain", picture), ("grey", Picture::from_rgb(grey)), ("thumbnail", Picture::from_rgb(thumbnail))];
    let sample = |(variant, picture)| Sample::of(stem(path), variant, ImageType::Photo, &picture);
    variants.into_iter().map(sample).collect()
}

/// A page as it is, and as JPEG. Its name is that of its template.
fn page(path: &Path) -> Vec<Sample> {
    let image = image::open(path).expect("a picture").into_rgb8();
    let template = stem(path).split('-').next().unwrap_or_default().to_owned();
    let pictures = [compressed(&image, PAGE_QUALITY), Picture::from_rgb(image)];
    pictures.iter().map(|picture| Sample::of(template.clone(), "page", ImageType::Text, picture)).collect()
}

/// A straight or round gradient between two colours, as it is and as JPEG.
fn bare_gradient(seed: u32) -> Vec<Sample> {
    let byte = |at: u32| ((seed + 1).wrapping_mul(2_654_435_761).rotate_left(5 * at) >> 24) as f32;
    let (width, height) = [(256, 256), (640, 360), (200, 400), (900, 700)][(seed % 4) as usize];
    // The channels of a grey are equal. The two ends differ by at least a quarter of the range.
    let from = |channel: u32| byte(if seed.is_multiple_of(3) { 1 } else { 1 + channel });
    let to = |channel: u32| (from(channel) + 64.0 + byte(5) / 2.0) % 256.0;
    let image = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
        let t = match seed % 5 {
            0 => x,
            1 => y,
            2 => (x + y) / 2.0,
            _ => ((x - 0.5).hypot(y - 0.5) / 0.71).min(1.0),
        };
        image::Rgb([0, 1, 2].map(|channel| (from(channel) + t * (to(channel) - from(channel)) + 0.5) as u8))
    });
    let pictures = [compressed(&image, 60 + (seed % 36) as u8), Picture::from_rgb(image)];
    pictures
        .iter()
        .map(|picture| Sample::of(format!("gradient {seed}"), "bare", ImageType::Gradient, picture))
        .collect()
}

fn compressed(image: &RgbImage, quality: u8) -> Picture {
    let mut jpeg = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, quality)).expect("it can be encoded");
    decoded(&jpeg, Path::new("drawing.jpg")).expect("a JPEG")
}

impl Sample {
    fn of(name: String, variant: &'static str, truth: ImageType, picture: &Picture) -> Self {
        let (features, terms) = (measure(picture, None), type_terms(picture));
        Self { name, variant, side: 0, truth, fills: 0, features, terms }
    }
}

fn drawings(path: &Path, text_names: &BTreeSet<String>) -> Vec<Sample> {
    let source = std::fs::read_to_string(path).expect("it is text");
    let tree = usvg::Tree::from_str(&source, &usvg::Options::default()).expect("it is a drawing");
    let mut paints = Paints::default();
    paints.collect(tree.root());
    let truth = match () {
        () if paints.has_gradient => ImageType::Gradient,
        () if text_names.contains(&stem(path)) => ImageType::Text,
        () => ImageType::Simple,
    };
    let sample = |variant, side, picture: &Picture| Sample {
        side,
        fills: paints.colors.len(),
        ..Sample::of(stem(path), variant, truth, picture)
    };
    let plain = SIDES.iter().map(|side| sample("plain", *side, &Picture::from_rgb(rendered(&tree, *side))));
    let jpeg =
        JPEGS.iter().map(|(quality, side)| sample("jpeg", *side, &compressed(&rendered(&tree, *side), *quality)));
    plain.chain(jpeg).collect()
}

/// The paints of a drawing's fills and strokes.
#[derive(Default)]
struct Paints {
    has_gradient: bool,
    colors: BTreeSet<(u8, u8, u8, u8)>,
}

impl Paints {
    fn collect(&mut self, group: &usvg::Group) {
        for node in group.children() {
            match node {
                usvg::Node::Group(group) => self.collect(group),
                usvg::Node::Path(path) => {
                    let fill = path.fill().map(|fill| (fill.paint(), fill.opacity().to_u8()));
                    let stroke = path.stroke().map(|stroke| (stroke.paint(), stroke.opacity().to_u8()));
                    for (paint, opacity) in fill.into_iter().chain(stroke) {
                        match paint {
                            usvg::Paint::Color(color) => {
                                self.colors.insert((color.red, color.green, color.blue, opacity));
                            }
                            _ => self.has_gradient = true,
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn rendered(tree: &usvg::Tree, side: u32) -> RgbImage {
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = side as f32 / width.max(height);
    let pixels = |length: f32| ((length * scale).round() as u32).max(1);
    let mut canvas = Pixmap::new(pixels(width), pixels(height)).expect("it has a size");
    canvas.fill(resvg::tiny_skia::Color::WHITE);
    resvg::render(tree, Transform::from_scale(scale, scale), &mut canvas.as_mut());
    let (width, height) = (canvas.width(), canvas.height());
    let flat = canvas.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    RgbImage::from_raw(width, height, flat).expect("it fits")
}

fn write_csv(file: &Path, samples: &[Sample]) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for (i, sample) in samples.iter().enumerate() {
        if i == 0 {
            let names: Vec<&str> = sample.terms.iter().map(|(name, _)| *name).collect();
            writeln!(out, "name,variant,side,truth,{}", names.join(","))?;
        }
        let values: Vec<String> = sample.terms.iter().map(|(_, value)| value.to_string()).collect();
        let Sample { name, variant, side, truth, .. } = sample;
        writeln!(out, "{name},{variant},{side},{},{}", truth.as_str(), values.join(","))?;
    }
    out.flush()
}

fn matrix(samples: &[Sample]) {
    let mut counts: BTreeMap<(ImageType, &str), BTreeMap<ImageType, usize>> = BTreeMap::new();
    for sample in samples {
        let guess = sample.features.kind.expect("there was no deadline").label;
        *counts.entry((sample.truth, sample.variant)).or_default().entry(guess).or_default() += 1;
    }
    println!("{:>20} {}", "type ↓ found →", ImageType::ALL.map(|kind| format!("{:>10}", kind.as_str())).concat());
    for ((truth, variant), guesses) in counts {
        let row = ImageType::ALL.map(|guess| format!("{:>10}", guesses.get(&guess).copied().unwrap_or(0)));
        println!("{:>9} {variant:>10} {}", truth.as_str(), row.concat());
    }
}

/// Prints how often the size of the palette is within one of the number of colours of a flat drawing and its paper.
fn palettes(samples: &[Sample]) {
    for side in SIDES {
        let flat = samples
            .iter()
            .filter(|sample| sample.side == side && sample.variant == "plain" && sample.truth != ImageType::Gradient);
        let (mut near, mut all) = (0, 0);
        for sample in flat {
            all += 1;
            near += usize::from((sample.features.quick.palette_size as usize).abs_diff(sample.fills + 1) <= 1);
        }
        println!("palettes at {side} pixels: {near} of {all} within one of the number of colours, with the paper");
    }
}
