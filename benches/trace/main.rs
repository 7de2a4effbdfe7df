//! `cargo bench --bench trace -- grid FOLDER FILE`: every candidate on every logo of a folder, as JSON: for each
//! the logo's features, and of each candidate SSIMULACRA2, bytes, score and seconds.

use std::path::{Path, PathBuf};
use std::time::Instant;

use image::RgbImage;
use imgidx::media::{Picture, measure};
use imgidx::vector::{Compositing, Parameters, Reference, Source, score};
use rayon::prelude::*;
use serde_json::{Value, json};

/// The longer side of a logo, in pixels.
const SIDE: f32 = 256.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["grid", folder, file] => grid(Path::new(folder), Path::new(file), &candidates()),
        ["grid", folder, file, candidates] => {
            let candidates = std::fs::read_to_string(candidates).expect("a file");
            grid(
                Path::new(folder),
                Path::new(file),
                &serde_json::from_str::<Vec<Parameters>>(&candidates).expect("parameters"),
            );
        }
        _ => println!("usage: cargo bench --bench trace -- grid FOLDER FILE [CANDIDATES]"),
    }
}

struct Logo {
    name: String,
    small: RgbImage,
}

fn logos(folder: &Path) -> Vec<Logo> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "svg"));
    files.sort();
    files.par_iter().filter_map(|file| logo(file)).collect()
}

fn logo(file: &Path) -> Option<Logo> {
    let svg = std::fs::read_to_string(file).ok()?;
    let tree = resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).ok()?;
    let (w, h) = (tree.size().width(), tree.size().height());
    let scale = SIDE / w.max(h);
    let side = |length: f32| ((length * scale).round() as u32).max(1);
    let small = imgidx::vector::render(&svg, side(w), side(h), [255; 3])?;
    Some(Logo { name: file.file_stem()?.to_string_lossy().into_owned(), small })
}

fn grid(folder: &Path, file: &Path, candidates: &[Parameters]) {
    let rows: Vec<Value> = logos(folder).par_iter().filter_map(|logo| row(logo, candidates)).collect();
    let document = json!({ "candidates": candidates, "logos": rows });
    std::fs::write(file, document.to_string()).expect("a file");
}

fn candidates() -> Vec<Parameters> {
    let mut all = Vec::new();
    let d = Parameters::DEFAULT;
    for scale in [3.0, 4.0, 5.0, 6.0] {
        for compositing in [Compositing::Stacked, Compositing::Cutout] {
            for simplify in [0.5, 1.0, 1.5] {
                for (radius, colors, layers) in [(12.0, 64, 16), (6.0, 256, 8), (24.0, 32, 16), (4.0, 256, 4)] {
                    all.push(Parameters { scale, compositing, simplify, radius, colors, layers, ..d });
                }
            }
        }
    }
    all.push(Parameters { speckle: 8, ..d });
    all.push(Parameters { speckle: 2, ..d });
    all.push(Parameters { corner: 45, scale: 5.0, ..d });
    all.push(Parameters { corner: 80, scale: 5.0, ..d });
    all.push(Parameters { scale: 2.0, precision: 1, simplify: 0.5, ..d });
    all
}

fn row(logo: &Logo, candidates: &[Parameters]) -> Option<Value> {
    let features = measure(&Picture::from_rgb(logo.small.clone()), None);
    let kind = features.kind.map(|kind| kind.label.as_str());
    let source = Source::new(logo.small.clone(), None, logo.small.dimensions());
    let reference = Reference::new(&source).ok()?;
    let results: Vec<Value> = candidates
        .iter()
        .map(|parameters| {
            let start = Instant::now();
            let drawn = source.trace(parameters, &|| false).expect("a drawing");
            let seconds = start.elapsed().as_secs_f64();
            let alike = reference.ssimulacra2(&drawn.svg).expect("a comparison");
            json!([alike, drawn.svg.len(), score(alike, drawn.svg.len()), seconds])
        })
        .collect();
    Some(json!({ "name": logo.name, "type": kind, "features": features, "facts": source.facts(), "results": results }))
}
