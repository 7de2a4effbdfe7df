//! Decodes small files of each format, and all files of the corpus where there is one.

use std::ffi::OsStr;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::RgbImage;
use imgidx_media::{
    DecodeLimits, DecodeRequest, DecodedFrom, Decoder, Filter, Fit, Format, Frame, ImageInfo, Kind, Packets,
    decode_within, has_several_pictures, sniff,
};

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn format_of(bytes: &[u8], name: &str) -> Format {
    match sniff(bytes, Path::new(name).extension()) {
        Kind::Picture(format) => format,
        other => panic!("{name} is {other:?}"),
    }
}

/// Decodes a picture at full size; the pixels are upright.
fn decode(name: &str) -> (ImageInfo, RgbImage) {
    let bytes = data(name);
    let format = format_of(&bytes, name);
    let picture = Decoder::open(&bytes, format, DecodeLimits::default()).and_then(Decoder::decode);
    let picture = picture.unwrap_or_else(|error| panic!("{name}: {error}"));
    let info = picture.info(format);
    let pixels = picture.resized(Fit::Inside, info.width, info.height, Filter::Bicubic);
    (info, pixels)
}

fn is_near(pixel: [u8; 3], expected: [u8; 3]) -> bool {
    pixel.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 12)
}

const RED: [u8; 3] = [200, 30, 30];
const BLUE: [u8; 3] = [30, 30, 200];
const WHITE: [u8; 3] = [255; 3];

#[test]
fn each_format_has_its_name_its_size_and_its_colours() {
    let files = [
        ("plain.avif", "avif"),
        ("animation.avif", "avif"),
        ("plain.heic", "heic"),
        ("plain.jxl", "jxl"),
        ("plain.jp2", "jp2"),
        ("codestream.j2k", "jp2"),
    ];
    for (name, format) in files {
        let (info, pixels) = decode(name);
        assert_eq!((info.format.as_str(), info.width, info.height), (format, 64, 40), "{name}");
        assert!(!info.has_alpha && !info.truncated, "{name}");
        for ((x, y), color) in [((3, 3), WHITE), ((20, 30), RED), ((50, 10), BLUE)] {
            let pixel = pixels.get_pixel(x, y).0;
            assert!(is_near(pixel, color), "{name}: {pixel:?} at {x}, {y}");
        }
    }
}

#[test]
fn grey_pictures_are_grey() {
    for name in ["gray.jxl", "gray.jp2"] {
        let (_, pixels) = decode(name);
        let [red, green, blue] = pixels.get_pixel(20, 30).0;
        assert!(red == green && green == blue && (70..90).contains(&red), "{name}: {red} {green} {blue}");
    }
}

#[test]
fn transparent_parts_are_white_and_the_opacity_is_kept_on_request() {
    for name in ["alpha.avif", "alpha.jxl", "alpha.jp2"] {
        let (info, pixels) = decode(name);
        assert!(info.has_alpha, "{name}");
        assert!(is_near(pixels.get_pixel(50, 5).0, WHITE), "{name}: {:?}", pixels.get_pixel(50, 5));
        assert!(is_near(pixels.get_pixel(50, 35).0, BLUE), "{name}: {:?}", pixels.get_pixel(50, 35));
    }
}

#[test]
fn a_turn_of_the_container_is_applied_once() {
    for name in ["turned.avif", "turned.heic"] {
        let (info, pixels) = decode(name);
        assert_eq!((info.width, info.height), (40, 64), "{name}");
        // The upper left corner went to the upper right.
        assert!(is_near(pixels.get_pixel(36, 3).0, WHITE), "{name}: {:?}", pixels.get_pixel(36, 3));
        assert!(is_near(pixels.get_pixel(10, 55).0, BLUE), "{name}: {:?}", pixels.get_pixel(10, 55));
    }
}

#[test]
fn the_capture_time_is_read_from_the_container() {
    for name in ["plain.avif", "plain.heic", "plain.jxl"] {
        let bytes = data(name);
        let metadata = Packets::find(&bytes, format_of(&bytes, name)).metadata();
        assert_eq!(metadata.taken.as_deref(), Some("2024-05-12 23:59:01"), "{name}");
    }
}

#[test]
fn only_sequences_hold_several_pictures() {
    let names = ["animation.avif", "plain.avif", "alpha.avif", "plain.heic", "plain.jxl", "alpha.jxl", "plain.jp2"];
    for name in names {
        let several = has_several_pictures(Cursor::new(data(name))).expect("it can be read");
        assert_eq!(several, name == "animation.avif", "{name}");
    }
}

#[test]
fn a_picture_above_the_memory_limit_is_refused_before_it_is_decoded() {
    for name in ["plain.avif", "plain.heic", "plain.jxl", "plain.jp2"] {
        let bytes = data(name);
        let limits = DecodeLimits { memory: 64 * 40 * 3, ..DecodeLimits::default() };
        let error = Decoder::open(&bytes, format_of(&bytes, name), limits).expect_err("it is too large");
        assert!(error.limit().is_some(), "{name}: {error}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_an_error_or_marked_as_truncated() {
    for name in ["plain.avif", "plain.heic", "plain.jxl", "plain.jp2"] {
        let bytes = data(name);
        let format = format_of(&bytes, name);
        for length in (16..bytes.len() - 1).step_by(7) {
            let result = Decoder::open(&bytes[..length], format, DecodeLimits::default()).and_then(Decoder::decode);
            if let Err(error) = result {
                assert!(!error.to_string().contains("panicked"), "{name} up to {length}: {error}");
            }
        }
    }
}

/// Decodes the thumbnail of a picture, if it has one that can stand in for it; the pixels are upright.
fn decode_quickly(bytes: &[u8], side: u32) -> (ImageInfo, RgbImage) {
    let frame = Some(Frame { fit: Fit::Inside, width: side, height: side, filter: Filter::Bicubic });
    let request = DecodeRequest { side: 256, frame, quick: true, ..DecodeRequest::default() };
    let (picture, ()) =
        decode_within(bytes, Format::Heic, DecodeLimits::default(), &request, |_| ()).expect("a picture");
    let info = picture.info(Format::Heic);
    (info, picture.resized(Fit::Inside, 320, 320, Filter::Bicubic))
}

/// The thumbnail of `thumbnail.heic`, turned by the property that the main picture and the thumbnail share, or by that of
/// the main picture only.
fn with_turn(of_both: bool) -> Vec<u8> {
    let mut bytes = data("thumbnail.heic");
    let mut replace = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|part| part == from).expect("it is in the file");
        bytes[at..at + to.len()].copy_from_slice(to);
    };
    // The property with the bit depths, which is the fourth, becomes a turn by 270° to the left.
    replace(b"pixi\0", b"irot\x03");
    // Numbers of the properties of both items: the turn is essential.
    let thumbnail = if of_both { 0x84 } else { 0x02 };
    let from = [4, 0x81, 2, 3, 4, 0, 3, 3, 0x85, 6, 4];
    replace(&from, &[4, 0x81, 2, 3, 0x84, 0, 3, 3, 0x85, 6, thumbnail]);
    bytes
}

#[test]
fn a_thumbnail_stands_in_for_the_whole_picture_on_request() {
    let (whole, _) = decode("thumbnail.heic");
    assert_eq!((whole.width, whole.height, whole.decoded_from), (640, 480, DecodedFrom::Whole));
    let (info, pixels) = decode_quickly(&data("thumbnail.heic"), 224);
    assert_eq!(info, ImageInfo { decoded_from: DecodedFrom::Thumbnail, ..whole.clone() });
    assert_eq!(pixels.dimensions(), (320, 240));
    for ((x, y), color) in [((15, 15), WHITE), ((100, 60), RED), ((250, 40), BLUE), ((80, 140), [240, 220, 40])] {
        let pixel = pixels.get_pixel(x, y).0;
        assert!(is_near(pixel, color), "{pixel:?} at {x}, {y}");
    }
    // It is too small for a model that takes more pixels.
    assert_eq!(decode_quickly(&data("thumbnail.heic"), 241).0, whole);
}

#[test]
fn a_thumbnail_is_turned_with_its_picture_and_not_used_if_it_is_not() {
    for is_turned in [true, false] {
        let (info, pixels) = decode_quickly(&with_turn(is_turned), 160);
        let from = if is_turned { DecodedFrom::Thumbnail } else { DecodedFrom::Whole };
        assert_eq!((info.width, info.height, info.orientation, info.decoded_from), (480, 640, 1, from));
        // The upper left corner went to the upper right.
        assert_eq!(pixels.dimensions(), (240, 320));
        for ((x, y), color) in [((225, 15), WHITE), ((180, 100), RED), ((200, 250), BLUE)] {
            let pixel = pixels.get_pixel(x, y).0;
            assert!(is_near(pixel, color), "{pixel:?} at {x}, {y}");
        }
    }
}

#[test]
fn a_damaged_thumbnail_is_no_reason_to_fail() {
    let mut bytes = data("thumbnail.heic");
    // The data of the thumbnail comes last.
    let length = bytes.len();
    bytes[length - 300..].fill(0);
    let (info, _) = decode_quickly(&bytes, 160);
    assert_eq!(info, decode("thumbnail.heic").0);
}

/// All files under a folder.
fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

#[test]
fn every_file_of_the_corpus_is_a_picture_or_has_a_reason() {
    let Some(corpus) = std::env::var_os("IMGIDX_CORPUS").map(|corpus| Path::new(&corpus).join("formats")) else {
        eprintln!("skipped: IMGIDX_CORPUS names no folder of pictures");
        return;
    };
    let files = files_under(&corpus);
    assert!(files.len() >= 300, "{} has {} files", corpus.display(), files.len());
    let (mut avif, mut failed) = ((0, 0), Vec::new());
    for path in files {
        let bytes = std::fs::read(&path).expect("it can be read");
        let Kind::Picture(format) = sniff(&bytes, path.extension()) else { continue };
        let start = Instant::now();
        let request = DecodeRequest { side: 256, ..DecodeRequest::default() };
        let result = decode_within(&bytes, format, DecodeLimits::default(), &request, |_| ());
        assert!(start.elapsed() < Duration::from_secs(30), "{} took {:?}", path.display(), start.elapsed());
        let _ = has_several_pictures(Cursor::new(bytes));
        avif.0 += u32::from(format == Format::Avif);
        match result {
            Ok((picture, ())) => {
                let info = picture.info(format);
                assert!(info.width > 0 && info.height > 0, "{}", path.display());
                avif.1 += u32::from(format == Format::Avif);
            }
            Err(error) => {
                let reason = error.to_string();
                assert!(!reason.is_empty() && !reason.contains("panicked"), "{}: {reason}", path.display());
                failed.push((path.file_name().unwrap_or(OsStr::new("")).to_owned(), reason));
            }
        }
    }
    eprintln!("{} of {} AVIF files; without a picture: {failed:#?}", avif.1, avif.0);
    assert!(avif.1 * 100 >= avif.0 * 95, "{} of {} AVIF files", avif.1, avif.0);
}
