//! Every supported format, in the variants that programs write.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use imgidx::media::{DecodeLimits, Decoder, Filter, Fit, Format, Kind, Picture, sniff};

use crate::common::{Sandbox, corpus, picture, write};

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
    ] {
        // The extension is wrong, and must not matter.
        let (decoded, found) = decode(&encode(format, &original), "x.txt");
        assert_eq!(found.name(), name);
        assert_eq!(difference(&decoded, &expected), 0.0, "{name}");
    }
    // JPEG loses least where colours change slowly, and GIF loses nothing if there are few colours.
    let smooth = image::RgbImage::from_fn(48, 40, |x, y| image::Rgb([(x * 5) as u8, (y * 6) as u8, 90]));
    let flat = image::RgbImage::from_fn(48, 40, |x, y| image::Rgb([(x / 16 * 90) as u8, (y / 20 * 200) as u8, 90]));
    for (format, name, image, max) in [(ImageFormat::Jpeg, "jpeg", smooth, 4.0), (ImageFormat::Gif, "gif", flat, 0.0)] {
        let (decoded, found) = decode(&encode(format, &image.clone().into()), "x.txt");
        let difference = difference(&decoded, &Picture::from_rgb(image));
        assert!(found.name() == name && difference <= max, "{name}: {difference}");
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
        // Floats are linear light, so that mid-tones are brighter than the bytes they were made of. Only the size is
        // equal.
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
    let black = DynamicImage::ImageLuma8(image::GrayImage::new(48, 40));
    let (jpeg, _) = decode(&encode(ImageFormat::Jpeg, &black), "x");
    assert_eq!(difference(&jpeg, &Picture::from_rgb(black.to_rgb8())), 0.0);
}

/// A JPEG file with an EXIF orientation (JEITA CP-3451: application segment 1, one entry of tag 0x0112).
fn jpeg_with_orientation(image: &DynamicImage, orientation: u8) -> Vec<u8> {
    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95);
    image.write_with_encoder(encoder).expect("it encodes");
    let header = [b'M', b'M', 0, 42, 0, 0, 0, 8, 0, 1];
    let entry = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    let segment = [b"Exif\0\0", header.as_slice(), &entry, &[0; 4]].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &segment, &jpeg[2..]].concat()
}

#[test]
fn one_picture_stored_in_eight_orientations_is_embedded_alike() {
    use image::metadata::Orientation;
    let sandbox = Sandbox::new();
    let scene = match corpus("photos") {
        Some(photos) => image::open(photos.join("n02094433_Yorkshire_terrier.JPEG")).expect("a photo"),
        None => DynamicImage::ImageRgb8(picture(3)).resize(500, 400, image::imageops::FilterType::CatmullRom),
    };
    for exif in 1..=8 {
        // The inverse of a quarter turn is the opposite quarter turn; every other orientation is its own inverse.
        let inverse = match Orientation::from_exif(exif).expect("1 to 8") {
            Orientation::Rotate90 => Orientation::Rotate270,
            Orientation::Rotate270 => Orientation::Rotate90,
            other => other,
        };
        let mut stored = scene.clone();
        stored.apply_orientation(inverse);
        write(&sandbox.photo(format!("{exif}.jpg")), &jpeg_with_orientation(&stored, exif));
    }
    assert_eq!(sandbox.add().new, 8);
    let index = sandbox.open();
    let mut seen = Vec::new();
    index
        .searcher()
        .for_each_picture(&imgidx::Filter::default(), |row| {
            let (vector, _) = index.searcher().stored_embedding(&row)?.expect("it was embedded");
            seen.push((row.info.expect("it was decoded"), vector));
            Ok(())
        })
        .expect("a list");
    for (i, (info, vector)) in seen.iter().enumerate() {
        assert_eq!(usize::from(info.orientation), i + 1);
        assert_eq!((info.width, info.height), (scene.width(), scene.height()), "the upright size");
        for (other, second) in &seen {
            let cosine = vector.cosine(second);
            assert!(cosine >= 0.98, "orientations {} and {}: {cosine}", info.orientation, other.orientation);
        }
    }
}

#[test]
fn a_landscape_in_eight_orientations_comes_out_upright() {
    let Some(folder) = corpus("orientation") else { return };
    let upright: Vec<Picture> = (1..=8)
        .map(|exif| {
            let bytes = std::fs::read(folder.join(format!("Landscape_{exif}.jpg"))).expect("the set is complete");
            let (picture, format) = decode(&bytes, "x.jpg");
            let info = picture.info(format);
            assert_eq!((info.orientation, info.width, info.height), (exif, 1800, 1200));
            picture
        })
        .collect();
    for picture in &upright {
        // Each picture shows its own number, so they differ slightly; a wrong orientation would differ by 40 or more.
        let difference = difference(picture, &upright[0]);
        assert!(difference < 3.0, "{difference}");
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
        .searcher()
        .for_each_picture(&imgidx::Filter::default(), |row| {
            truncated.push((row.path.file_name().expect("a name").to_owned(), row.info.expect("decoded").truncated));
            Ok(())
        })
        .expect("a list");
    assert_eq!(truncated, [("cut.jpg".into(), true), ("whole.jpg".into(), false)]);
    assert_eq!(index.searcher().status().expect("a status").counts.truncated, 1);
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
