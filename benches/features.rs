//! The cost of measuring a picture's features on one core, compared with a naive implementation.
//!
//! ```sh
//! cargo bench --bench features -- FOLDER_OF_PHOTOS…
//! ```
//!
//! - **decode**, **scale**: decoding, and scaling to the 256 pixels on which features are measured, for comparison;
//! - **features**: all features of those pixels;
//! - **naive**: separate passes of `imageproc` (Canny, FAST-9, Sobel, components) and `image_hasher` over those pixels,
//!   and a loop over them for colours and tones. This covers only some of the features.
//!
//! Each figure is the median over all pictures of the shortest of five runs.

#[path = "common/arguments.rs"]
mod arguments;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use image::{DynamicImage, GrayImage, Luma, RgbImage};
use image_hasher::{HashAlg, HasherConfig};
use imageproc::region_labelling::{Connectivity, connected_components};
use imgidx::media::{DecodeLimits, Decoder, Filter, Fit, Kind, measure_pixels, sniff};

const RUNS: usize = 5;

fn main() {
    let folders = arguments::directories();
    let mut times: [Vec<Duration>; 4] = Default::default();
    for path in folders.iter().flat_map(files) {
        let bytes = std::fs::read(&path).expect("it can be read");
        let Kind::Picture(format) = sniff(&bytes, path.file_name()) else { continue };
        let decode = || Decoder::open(&bytes, format, DecodeLimits::default()).and_then(Decoder::decode);
        let Ok(picture) = decode() else { continue };
        let scale = || picture.resized(Fit::Inside, 256, 256, Filter::Bilinear);
        let small = scale();
        let measured = [
            shortest(|| drop(black_box(decode()))),
            shortest(|| drop(black_box(scale()))),
            shortest(|| drop(black_box(measure_pixels(&small, 1.0, None)))),
            shortest(|| naive(&small)),
        ];
        times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
    }
    println!("{} pictures, one core", times[0].len());
    for (name, times) in ["decode", "scale", "features", "naive"].into_iter().zip(&mut times) {
        times.sort();
        if let Some(median) = times.get(times.len() / 2) {
            println!("{name:>10} {:>8.3} ms", median.as_secs_f64() * 1e3);
        }
    }
}

fn files(folder: &PathBuf) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.expect("an entry"));
    walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

fn shortest(mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..RUNS).map(time).min().expect("there are runs")
}

fn naive(small: &RgbImage) {
    let luma: GrayImage = image::imageops::grayscale(small);
    black_box(imageproc::edges::canny(&luma, 25.0, 50.0));
    black_box(imageproc::corners::corners_fast9(&luma, 20));
    black_box(imageproc::gradients::sobel_gradients(&luma));
    black_box(connected_components(&luma, Connectivity::Eight, Luma([255])));
    let config = || HasherConfig::new().hash_size(8, 8);
    let picture = DynamicImage::ImageRgb8(small.clone());
    black_box(config().hash_alg(HashAlg::Gradient).to_hasher().hash_image(&picture));
    black_box(config().hash_alg(HashAlg::Median).preproc_dct().to_hasher().hash_image(&picture));
    let mut colors = std::collections::HashMap::new();
    for (x, y, pixel) in small.enumerate_pixels() {
        *colors.entry(pixel.0.map(|channel| channel >> 4)).or_insert(0_u32) += 1;
        let around = (x.saturating_sub(1)..(x + 2).min(small.width()))
            .flat_map(|x| (y.saturating_sub(1)..(y + 2).min(small.height())).map(move |y| (x, y)));
        let (mut low, mut high) = ([255; 3], [0; 3]);
        for (x, y) in around {
            let pixel = small.get_pixel(x, y).0;
            low.iter_mut().zip(pixel).for_each(|(low, value)| *low = (*low).min(value));
            high.iter_mut().zip(pixel).for_each(|(high, value)| *high = (*high).max(value));
        }
        black_box((low, high));
    }
    black_box(colors.len());
}
