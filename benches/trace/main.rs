//! The steps that `evaluate.py` and `fit.py`, beside this file, run:
//!
//! ```text
//! cargo bench --bench trace -- render SVGS SIDE PICTURES          renders the SVGs of a folder on white, as PNGs
//! cargo bench --bench trace -- defaults PICTURES TRACES           traces pictures with the defaults of vtracer
//! cargo bench --bench trace -- compare SVGS PICTURES TRACES       prints the quality of the traces of a folder as JSON
//! cargo bench --bench trace -- grid PICTURES FILE [PARAMETERS]    traces each picture with each set of parameters: a
//!                                                                 grid, or those of a JSON file
//! cargo bench --bench trace -- limits [PICTURE…]               prints how long traces take with different time limits,
//!                                                                 of made pictures that are hard to trace, and others
//! cargo bench --bench trace -- one PICTURE PARAMETERS SVG         traces a picture with parameters in JSON
//! ```

mod limits;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use imgidx::media::{Picture, measure};
use imgidx::trace::{CANDIDATES, TraceFacts};
use imgidx::vector::{Compositing, Deadline, Parameters, Reference, Source, render, score, structural_similarity};
use rayon::prelude::*;
use resvg::usvg::{Options, Tree};
use serde_json::{Value, json};

/// The longer side at which traces are compared with the original SVGs, in pixels.
const LARGE_SIDE: u32 = 1024;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["render", svgs, side, pictures] => draw(svgs.as_ref(), side.parse().expect("a number"), pictures.as_ref()),
        ["defaults", pictures, traces] => trace_by_default(pictures.as_ref(), traces.as_ref()),
        ["compare", svgs, pictures, traces] => compare(svgs.as_ref(), pictures.as_ref(), traces.as_ref()),
        ["grid", pictures, file] => grid(pictures.as_ref(), file.as_ref(), &parameter_grid()),
        ["grid", pictures, file, parameters] => {
            let text = fs::read_to_string(parameters).expect("a file");
            grid(
                pictures.as_ref(),
                file.as_ref(),
                &serde_json::from_str::<Vec<Parameters>>(&text).expect("parameters"),
            );
        }
        ["one", picture, parameters, file] => {
            let pixels = read(picture.as_ref());
            let size = pixels.dimensions();
            let parameters: Parameters = serde_json::from_str(parameters).expect("parameters");
            fs::write(
                file,
                Source::new(pixels, None, size).trace(&parameters, &Deadline::never()).expect("a trace").svg,
            )
            .expect("a file");
        }
        ["limits", pictures @ ..] => limits::print(pictures),
        _ => println!("benches/trace/evaluate.py and fit.py run this"),
    }
}

/// The files of a folder with an extension, with their names without it, sorted.
fn files(folder: &Path, extension: &str) -> Vec<(String, PathBuf)> {
    let all = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
    let mut all: Vec<(String, PathBuf)> = all
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.file_stem().expect("it has a name").to_string_lossy().into_owned(), path))
        .collect();
    all.sort();
    all
}

/// Renders an SVG on white, with a longer side of `side` pixels.
fn drawn(svg: &Path, side: u32) -> Option<RgbImage> {
    let svg = fs::read_to_string(svg).ok()?;
    let size = Tree::from_str(&svg, &Options::default()).ok()?.size();
    let scale = side as f32 / size.width().max(size.height());
    let side = |length: f32| ((length * scale).round() as u32).max(1);
    render(&svg, side(size.width()), side(size.height()), [255; 3])
}

fn draw(svgs: &Path, side: u32, pictures: &Path) {
    fs::create_dir_all(pictures).expect("a folder");
    files(svgs, "svg").par_iter().for_each(|(name, path)| match drawn(path, side) {
        Some(pixels) => pixels.save(pictures.join(format!("{name}.png"))).expect("a picture"),
        None => eprintln!("`{}` cannot be drawn", path.display()),
    });
}

fn read(picture: &Path) -> RgbImage {
    image::open(picture).expect("a picture").into_rgb8()
}

fn trace_by_default(pictures: &Path, traces: &Path) {
    fs::create_dir_all(traces).expect("a folder");
    files(pictures, "png").par_iter().for_each(|(name, path)| {
        let pixels = image::open(path).expect("a picture").into_rgba8();
        let (width, height) = (pixels.width() as usize, pixels.height() as usize);
        let image = vtracer::ColorImage { pixels: pixels.into_raw(), width, height };
        let svg = vtracer::Config::default().build().expect("defaults").to_svg(&image).expect("a trace");
        fs::write(traces.join(format!("{name}.svg")), svg).expect("a file");
    });
}

fn compare(svgs: &Path, pictures: &Path, traces: &Path) {
    let row = |(name, path): &(String, PathBuf)| -> Option<Value> {
        let svg = fs::read_to_string(traces.join(format!("{name}.svg"))).ok()?;
        let pixels = read(path);
        let size = pixels.dimensions();
        let reference = Reference::new(&Source::new(pixels, None, size)).expect("it can be compared");
        let original = drawn(&svgs.join(format!("{name}.svg")), LARGE_SIDE).expect("it was drawn before");
        let large = render(&svg, original.width(), original.height(), [255; 3]).expect("it parses");
        let (ssimulacra2, ssim) = similarity(&reference, &svg);
        Some(json!({
            "name": name,
            "ssimulacra2": ssimulacra2,
            "ssim": ssim,
            "original_ssim": structural_similarity(&original, &large),
            "bytes": svg.len(),
        }))
    };
    let rows: Vec<Value> = files(pictures, "png").par_iter().filter_map(row).collect();
    println!("{}", Value::from(rows));
}

/// SSIMULACRA2 and SSIM of a drawing.
fn similarity(reference: &Reference, svg: &str) -> (f64, f64) {
    let rendered = reference.render(svg, &Deadline::never()).expect("it can be rendered");
    (reference.ssimulacra2(&rendered).expect("it can be compared"), reference.ssim(&rendered))
}

fn grid(pictures: &Path, file: &Path, parameters: &[Parameters]) {
    let row = |(name, path): &(String, PathBuf)| {
        let pixels = read(path);
        let size = pixels.dimensions();
        let features = measure(&Picture::from_rgb(pixels.clone()), None);
        let source = Source::new(pixels, None, size);
        let never = Deadline::never();
        let facts = TraceFacts::of(&source, &features, &never).expect("there is time");
        let reference = Reference::new(&source).expect("it can be compared");
        let results: Vec<Value> = parameters
            .iter()
            .map(|parameters| {
                let start = Instant::now();
                let drawn = source.trace(parameters, &never).expect("a drawing");
                let seconds = start.elapsed().as_secs_f64();
                let similarity = similarity(&reference, &drawn.svg).0;
                json!([similarity, drawn.svg.len(), score(similarity, drawn.svg.len()), seconds])
            })
            .collect();
        json!({ "name": name, "facts": facts, "numbers": facts.numbers(), "results": results })
    };
    let rows: Vec<Value> = files(pictures, "png").par_iter().map(row).collect();
    let document = json!({ "parameters": parameters, "candidates": CANDIDATES, "pictures": rows });
    fs::write(file, document.to_string()).expect("a file");
}

/// A grid over the parameters that matter most.
fn parameter_grid() -> Vec<Parameters> {
    let mut all = Vec::new();
    let d = Parameters::DEFAULT;
    for scale in [4.0, 5.0] {
        for compositing in [Compositing::Stacked, Compositing::Cutout] {
            for simplify in [0.5, 0.75, 1.0, 1.5] {
                for radius in [3.0, 4.0, 6.0, 12.0, 24.0] {
                    for layers in [0, 8, 16] {
                        all.push(Parameters { scale, compositing, simplify, radius, colors: 256, layers, ..d });
                    }
                }
            }
        }
    }
    all.extend(CANDIDATES.into_iter().filter(|candidate| !all.contains(candidate)).collect::<Vec<_>>());
    all
}
