//! Every format that is promised, in the kinds that programs write.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use imgidx::media::{DecodeLimits, Decoder, Filter, Fit, Format, Kind, Picture, sniff};

use crate::kit::{Sandbox, corpus, picture, write};

fn encode(format: ImageFormat, image: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap_or_else(|error| panic!("{format:?}: {error}"));
    bytes.into_inner()
}

fn decode(bytes: &[u8], name: &str) -> (Picture, Format) {
    let Kind::Picture(format) = sniff(bytes, std::path::Path::new(name).extension()) else {
        panic!("{name} is not taken for a picture")
    };
    let decoder = Decoder::open(bytes, format, DecodeLimits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    (decoder.decode().unwrap_or_else(|error| panic!("{name}: {error}")), format)
}

/// The mean difference of two pictures' colours, 0 to 255.
fn difference(a: &Picture, b: &Picture) -> f64 {
    let pixels = |picture: &Picture| picture.resized(Fit::Squash, 48, 40, Filter::Bilinear).into_raw();
    let (a, b) = (pixels(a), pixels(b));
    a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

#[test]
fn formats_are_told_from_their_bytes_and_decoded_alike() {
    let original = DynamicImage::ImageRgb8(picture(3));
    let expected = Picture::from_rgb(picture(3));
    for (format, name) in [
        (ImageFormat::Png, "png"),
        (ImageFormat::Bmp, "bmp"),
        (ImageFormat::Tiff, "tiff"),
        (ImageFormat::WebP, "webp"),
        (ImageFormat::Pnm, "pnm"),
        (ImageFormat::Qoi, "qoi"),
        (ImageFormat::Gif, "gif"),
        (ImageFormat::Jpeg, "jpeg"),
    ] {
        // The extension lies, and is not asked.
        let (decoded, found) = decode(&encode(format, &original), "x.txt");
        assert_eq!(found.name(), name);
        let tolerance = if matches!(format, ImageFormat::Jpeg | ImageFormat::Gif) { 12.0 } else { 0.0 };
        let difference = difference(&decoded, &expected);
        assert!(difference <= tolerance, "{name}: {difference}");
    }
    let tga = encode(ImageFormat::Tga, &original);
    assert_eq!(difference(&decode(&tga, "x.tga").0, &expected), 0.0);
    let ico = encode(ImageFormat::Ico, &DynamicImage::ImageRgba8(original.to_rgba8()));
    assert_eq!(difference(&decode(&ico, "x.ico").0, &expected), 0.0);
    let deep = DynamicImage::ImageRgba16(original.to_rgba16());
    assert_eq!(difference(&decode(&encode(ImageFormat::Farbfeld, &deep), "x.ff").0, &expected), 0.0);
    assert_eq!(difference(&decode(&encode(ImageFormat::Png, &deep), "x.png").0, &expected), 0.0);
    for format in [ImageFormat::Hdr, ImageFormat::OpenExr] {
        let (decoded, _) = decode(&encode(format, &DynamicImage::ImageRgb32F(original.to_rgb32f())), "x");
        // Floats hold light, so that mid-tones come out brighter than the bytes they were made of.
        let info = decoded.info(Format::Raster(format));
        assert_eq!((info.width, info.height), (48, 40));
    }
}

#[test]
fn grey_and_palette_become_colour() {
    let original = DynamicImage::ImageRgb8(picture(3));
    let grey = DynamicImage::ImageLuma8(original.to_luma8());
    let expected = Picture::from_rgb(grey.to_rgb8());
    assert_eq!(difference(&decode(&encode(ImageFormat::Png, &grey), "x").0, &expected), 0.0);
    let jpeg = decode(&encode(ImageFormat::Jpeg, &grey), "x").0;
    assert!(difference(&jpeg, &expected) < 8.0);
}

#[test]
fn one_landscape_in_eight_orientations_is_one_picture() {
    let Some(folder) = corpus("orientation") else { return };
    let sandbox = Sandbox::new();
    let mut index = sandbox.open();
    index.add([&folder], &imgidx::AddOptions::default()).expect("it can be indexed");
    let mut seen = Vec::new();
    index
        .for_each_picture(|row| {
            if row.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("Landscape")) {
                let info = row.info.clone().expect("it was decoded");
                let (vector, _) = index.stored_embedding(&row)?.expect("it was embedded");
                seen.push((info, vector));
            }
            Ok(())
        })
        .expect("a list");
    assert!(seen.len() >= 8, "{} pictures", seen.len());
    let mut orientations: Vec<u8> = seen.iter().map(|(info, _)| info.orientation).collect();
    orientations.sort_unstable();
    orientations.dedup();
    assert_eq!(orientations, [1, 2, 3, 4, 5, 6, 7, 8]);
    for (a, first) in &seen {
        for (b, second) in &seen {
            assert_eq!((a.width, a.height), (b.width, b.height), "the upright size");
            let cosine = first.cosine(second);
            assert!(cosine >= 0.98, "orientations {} and {}: {cosine}", a.orientation, b.orientation);
        }
    }
}

#[test]
fn a_truncated_jpeg_is_indexed_and_told() {
    let sandbox = Sandbox::new();
    let whole = encode(ImageFormat::Jpeg, &DynamicImage::ImageRgb8(picture(3)));
    write(&sandbox.photo("cut.jpg"), &whole[..whole.len() * 3 / 4]);
    write(&sandbox.photo("whole.jpg"), &whole);
    assert_eq!(sandbox.add().new, 2);
    let index = sandbox.open();
    let mut truncated = Vec::new();
    index
        .for_each_picture(|row| {
            truncated.push((row.path.file_name().expect("a name").to_owned(), row.info.expect("decoded").truncated));
            Ok(())
        })
        .expect("a list");
    assert_eq!(truncated, [("cut.jpg".into(), true), ("whole.jpg".into(), false)]);
    assert_eq!(index.status().expect("a status").counts.truncated, 1);
}

#[test]
fn logos_in_svg_are_rendered() {
    let Some(folder) = corpus("logos") else { return };
    let mut rendered = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let bytes = std::fs::read(entry.path()).expect("a file");
        let (drawing, format) = decode(&bytes, "x.svg");
        assert_eq!(format, Format::Svg);
        let colors: std::collections::BTreeSet<_> =
            drawing.resized(Fit::Squash, 32, 32, Filter::Nearest).pixels().map(|pixel| pixel.0).collect();
        rendered += u32::from(colors.len() > 1);
    }
    assert!(rendered >= 180, "{rendered} of 185 show something on white paper");
}
