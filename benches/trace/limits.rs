//! How long traces take with a time limit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use imgidx::Index;
use imgidx::trace::{Tier, TraceOptions};

/// Time limits, in seconds.
const LIMITS: [f64; 4] = [0.0, 1.0, 3.0, 10.0];

/// Prints the seconds by which traces of pictures exceed their time limits: of pictures made here, and of others.
pub(crate) fn print(others: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pictures: Vec<PathBuf> = others.iter().map(PathBuf::from).collect();
    for (name, picture) in made() {
        let path = folder.path().join(format!("{name}.png"));
        picture.save(&path).expect("a picture");
        pictures.push(path);
    }
    println!("| picture | tier | {} |", LIMITS.map(|limit| format!("limit {limit} s")).join(" | "));
    println!("|---|---|{}", "---|".repeat(LIMITS.len()));
    for picture in &pictures {
        for tier in Tier::ALL {
            let cells = LIMITS.map(|limit| traced(picture, tier, limit));
            let name = picture.file_name().expect("a file").to_string_lossy();
            println!("| {name} | {} | {} |", tier.as_str(), cells.join(" | "));
        }
    }
}

/// The seconds that a trace takes, and what comes of it.
fn traced(picture: &Path, tier: Tier, limit: f64) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::open(folder.path().join("empty.db")).expect("an index");
    let options = TraceOptions { time: Duration::from_secs_f64(limit), photos: true, ..TraceOptions::of(tier) };
    let mut outcome = String::new();
    let start = Instant::now();
    let report = index.trace([picture], &options, |step| {
        outcome = match step.result {
            Some(Ok(traced)) if traced.coarse => "coarse".to_owned(),
            Some(Ok(traced)) => format!("score {:.0}", traced.score),
            Some(Err(_)) | None => "none".to_owned(),
        };
        Ok(())
    });
    report.expect("the run succeeds");
    format!("{:.2} s, {outcome}", start.elapsed().as_secs_f64())
}

/// Pictures of up to four megapixels that are hard to trace.
fn made() -> Vec<(&'static str, RgbImage)> {
    let noise = |x: u32, y: u32| {
        let value = (x.wrapping_mul(2_654_435_761).rotate_left(13) ^ y.wrapping_mul(2_246_822_519))
            .wrapping_mul(3_266_489_917)
            .rotate_left(15)
            .wrapping_mul(668_265_263);
        Rgb([(value >> 8) as u8, (value >> 16) as u8, (value >> 24) as u8])
    };
    let gradient = |x: u32, y: u32| Rgb([(x * 255 / 2000) as u8, (y * 255 / 2000) as u8, 90]);
    // 4,900 discs of different colours.
    let discs = |x: u32, y: u32| {
        let Rgb([red, green, blue]) = noise(x / 28, y / 28);
        let (dx, dy) = (f64::from(x % 28) - 14.0, f64::from(y % 28) - 14.0);
        let is_inside = f64::hypot(dx, dy) < 5.0 + f64::from(red % 8);
        Rgb(if is_inside { [red & 0xE0, green & 0xE0, blue & 0xE0] } else { [255; 3] })
    };
    vec![
        ("noise, 1,536 a side", RgbImage::from_fn(1536, 1536, noise)),
        ("noise, 2,000 a side", RgbImage::from_fn(2000, 2000, noise)),
        ("two gradients, 2,000 a side", RgbImage::from_fn(2000, 2000, gradient)),
        ("4,900 discs, 2,000 a side", RgbImage::from_fn(2000, 2000, discs)),
    ]
}
