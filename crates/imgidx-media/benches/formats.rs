//! Decodes files of any format on one thread, as `add` does: the pixels of the whole file, and those for the model.
//!
//! ```sh
//! cargo bench -p imgidx-media --bench formats -- [--rounds=10] [--pixels=FOLDER] FILES…
//! ```
//!
//! Prints a line for each file, with tabs between its name, the format, the size, the median milliseconds of processor
//! time for decoding at full size and for the built-in model and the features, or the reason why it is not decoded.
//! `--pixels` writes the upright sRGB pixels to FOLDER as a PPM that is named by the number of the file.
//! `benches/formats.py` compares times and pixels with those of other libraries.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use imgidx_media::{
    Content, DecodeLimits, DecodeRequest, FEATURE_SIDE, Filter, Fit, Picture, decode_within, read_named_picture,
};

fn main() {
    let (mut rounds, mut folder, mut files) = (10, None, Vec::new());
    for argument in std::env::args().skip(1).filter(|it| it != "--bench") {
        match argument.split_once('=') {
            Some(("--rounds", number)) => rounds = number.parse().expect("a number of rounds"),
            Some(("--pixels", path)) => folder = Some(PathBuf::from(path)),
            _ => files.push(argument),
        }
    }
    for (number, file) in files.iter().enumerate() {
        let result = read_named_picture(Path::new(file)).and_then(|content| {
            let (picture, full) = timed(&content, u32::MAX, rounds)?;
            // The built-in model needs as many pixels as the features.
            let (_, reduced) = timed(&content, FEATURE_SIDE, rounds)?;
            let info = picture.info(content.format);
            if let Some(folder) = &folder {
                let pixels = picture.resized(Fit::Inside, info.width, info.height, Filter::Nearest);
                let header = format!("P6 {} {} 255\n", info.width, info.height);
                let file = [header.as_bytes(), pixels.as_raw()].concat();
                std::fs::write(folder.join(format!("{number}.ppm")), file).expect("the pixels can be written");
            }
            Ok(format!("{}\t{}x{}\t{full:.2}\t{reduced:.2}", info.format, info.width, info.height))
        });
        println!("{file}\t{}", result.unwrap_or_else(|reason| format!("-\t{reason}")));
    }
}

/// Decodes a file several times. Returns the picture and the median of the milliseconds.
fn timed(content: &Content, side: u32, rounds: usize) -> Result<(Picture, f64), String> {
    let request = DecodeRequest { side, ..DecodeRequest::default() };
    let decode = || {
        let start = processor_time();
        let decoded = decode_within(&content.bytes, content.format, DecodeLimits::default(), &request, |_| ());
        let (picture, ()) = decoded.map_err(|error| error.to_string())?;
        Ok::<_, String>((black_box(picture), (processor_time() - start).as_secs_f64() * 1e3))
    };
    let mut times = Vec::with_capacity(rounds);
    for _ in 1..rounds {
        times.push(decode()?.1);
    }
    let (picture, time) = decode()?;
    times.push(time);
    times.sort_by(f64::total_cmp);
    Ok((picture, times[times.len() / 2]))
}

/// Time that this process has run. Unlike the time that passes, it says little about what else the machine does.
#[cfg(unix)]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("a time since the start")
}

/// Time that has passed, where there is no such clock.
#[cfg(not(unix))]
fn processor_time() -> Duration {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
