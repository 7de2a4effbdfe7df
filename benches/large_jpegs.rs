//! Large JPEG files as cameras make them, decoded at full size and at reduced size.
//!
//! ```sh
//! cargo bench --bench large_jpegs -- DIRECTORY…
//! ```
//!
//! The benchmark enlarges the first photographs of the directories to 12 and 24 megapixels and adds the noise of a
//! sensor. It decodes, measures, scales and embeds each both ways, on one core. It prints the medians, their ratio, and
//! how well the results agree: the lowest cosine similarity of the vectors, and the largest number of differing bits of
//! the perceptual hashes.

#[path = "common/arguments.rs"]
mod arguments;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use imgidx::OpenOptions;
use imgidx::media::{DecodeLimits, Decoder, Format, measure};
use imgidx::model::{Device, Embedded, Embedder, Model, Runtime};
use imgidx::types::Features;

const PICTURES: usize = 12;

fn main() {
    let directories = arguments::directories();
    let mut paths: Vec<PathBuf> = directories
        .iter()
        .flat_map(|it| std::fs::read_dir(it).expect("a folder").flatten())
        .map(|it| it.path())
        .collect();
    paths.sort();
    let photographs: Vec<RgbImage> =
        paths.iter().filter_map(|path| Some(image::open(path).ok()?.into_rgb8())).take(PICTURES).collect();
    if photographs.is_empty() {
        println!("skipped: give directories with photographs");
        return;
    }
    let runtime = Runtime::load(&OpenOptions::default().runtime_options().expect("a home")).expect("ONNX Runtime");
    let model = Model::builtin();
    let mut embedder = Embedder::new(&model, &runtime, Device::Cpu, 1).expect("the built-in model");
    for (name, width, height) in [("12 MP", 4000, 3000), ("24 MP", 6000, 4000)] {
        let files: Vec<Vec<u8>> = photographs.iter().map(|it| enlarged(it, width, height)).collect();
        let bytes = files.iter().map(Vec::len).sum::<usize>() / files.len();
        let side = model.spec().shorter_side();
        let (mut full, mut reduced) = (Vec::new(), Vec::new());
        let (mut cosine, mut bits) = (1.0_f32, 0);
        for file in &files {
            let (a, time) = processed(file, u32::MAX, &mut embedder);
            full.push(time);
            let (b, time) = processed(file, side, &mut embedder);
            reduced.push(time);
            cosine = cosine.min(a.0.embedding.cosine(&b.0.embedding));
            bits = bits.max((a.1.quick.phash ^ b.1.quick.phash).count_ones());
        }
        let (full, reduced) = (median(&mut full), median(&mut reduced));
        println!(
            "{name} of {:.1} MB: full size {:.0} ms, reduced {:.0} ms: {:.2} times as fast; cosine ≥ {cosine:.4}, pHash within {bits} bits",
            bytes as f64 / 1e6,
            full.as_secs_f64() * 1e3,
            reduced.as_secs_f64() * 1e3,
            full.as_secs_f64() / reduced.as_secs_f64()
        );
    }
}

/// All steps of `add` for a picture between reading and storing it.
fn processed(file: &[u8], side: u32, embedder: &mut Embedder) -> ((Embedded, Features), Duration) {
    let start = Instant::now();
    let format = Format::Raster(image::ImageFormat::Jpeg);
    let decoder = Decoder::open_for(file, format, DecodeLimits::default(), side).expect("a header");
    let picture = decoder.decode().expect("a picture");
    let features = measure(&picture, None);
    let pixels = Embedder::prepare(embedder.model().spec(), &picture);
    let embedded = embedder.embed(&[pixels]).expect("it runs").remove(0).expect("a vector");
    ((embedded, features), start.elapsed())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// An enlarged photograph with noise in each pixel, as a JPEG.
fn enlarged(photograph: &RgbImage, width: u32, height: u32) -> Vec<u8> {
    let mut large = image::imageops::resize(photograph, width, height, image::imageops::FilterType::CatmullRom);
    let mut state = 1_u64;
    for value in large.iter_mut() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *value = value.saturating_add_signed(((state >> 40) % 17) as i8 - 8);
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 92).encode_image(&large).expect("it encodes");
    bytes
}
