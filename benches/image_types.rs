//! The types that the rules assign to pictures of known type, and the data for calibrating the rules.
//!
//! ```sh
//! cargo bench --bench image_types -- PHOTOS… LOGOS [--text NAMES] [--csv FILE]
//! ```
//!
//! `PHOTOS` are folders of photographs. `LOGOS` is a folder of SVG drawings, which are rendered with anti-aliasing at
//! several sizes. Both are also measured in common variants: photographs in grey and as thumbnails, drawings as JPEG. A
//! drawing counts as having gradients if its source has some. The file `NAMES` lists the drawings that are mostly text.
//! `--csv` writes the features of all samples; `image_types.py` fits the table of rules to them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use imgidx::media::{DecodeLimits, Decoder, Kind, Picture, measure, sniff};
use imgidx::types::{Features, ImageType};
use rayon::prelude::*;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg;

/// The longer sides at which drawings are rendered, in pixels.
const SIDES: [u32; 5] = [64, 96, 128, 256, 512];

/// The longer side of a thumbnail, in pixels.
const THUMBNAIL_SIDE: u32 = 96;
/// The JPEG quality of drawings: a common default of programs.
const JPEG_QUALITY: u8 = 80;
/// The longer side of drawings that are saved as JPEG, in pixels.
const JPEG_SIDE: u32 = 256;

struct Sample {
    name: String,
    /// "plain", "grey", "thumbnail" or "jpeg".
    variant: &'static str,
    /// The longer side at which a drawing was rendered, in pixels; 0 for photographs.
    side: u32,
    truth: ImageType,
    fills: usize,
    features: Features,
}

fn main() {
    let mut folders = Vec::new();
    let (mut text_names, mut csv) = (BTreeSet::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--text" => {
                let names = std::fs::read_to_string(arguments.next().expect("a file")).expect("it can be read");
                text_names = names.lines().map(str::to_owned).collect();
            }
            "--csv" => csv = arguments.next(),
            _ => folders.push(PathBuf::from(argument)),
        }
    }
    let logos = folders.pop().expect("a folder with drawings");
    let photos: Vec<PathBuf> = folders.iter().flat_map(|folder| files(folder)).collect();
    let mut samples: Vec<Sample> = photos.par_iter().flat_map(|path| photo(path)).collect();
    samples.par_extend(files(&logos).par_iter().flat_map(|path| drawings(path, &text_names)));
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
    let sample = |(variant, picture)| {
        let features = measure(&picture, None);
        Sample { name: stem(path), variant, side: 0, truth: ImageType::Photo, fills: 0, features }
    };
    variants.into_iter().map(sample).collect()
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
    let sample = |variant, side, picture: &Picture| {
        let features = measure(picture, None);
        Sample { name: stem(path), variant, side, truth, fills: paints.colors.len(), features }
    };
    let plain = SIDES.iter().map(|side| sample("plain", *side, &Picture::from_rgb(rendered(&tree, *side))));
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
    rendered(&tree, JPEG_SIDE).write_with_encoder(encoder).expect("it can be encoded");
    let jpeg = decoded(&jpeg, Path::new("drawing.jpg")).expect("a JPEG");
    plain.chain([sample("jpeg", JPEG_SIDE, &jpeg)]).collect()
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
        let features = serde_json::to_value(&sample.features).expect("it is plain");
        let columns: Vec<_> =
            features.as_object().expect("fields").iter().filter(|(_, value)| value.is_number()).collect();
        if i == 0 {
            let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
            writeln!(out, "name,variant,side,truth,fills,{}", names.join(","))?;
        }
        let values: Vec<String> = columns.iter().map(|(_, value)| value.to_string()).collect();
        let Sample { name, variant, side, truth, fills, .. } = sample;
        writeln!(out, "{name},{variant},{side},{},{fills},{}", truth.as_str(), values.join(","))?;
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
