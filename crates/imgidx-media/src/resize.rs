//! Scales pictures to the size of a model's input or a thumbnail, converts them to sRGB and turns them upright.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use super::color;
use super::decode::{Picture, swaps_sides};

/// How a picture with any aspect ratio is fitted to a target width and height.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Fit {
    /// Scales the shorter side to the target divided by `crop` and cuts out the centre. `crop` is the share of the
    /// shorter side that is kept, 0.875 for most classifiers.
    ShortestEdge {
        /// Between 0 (exclusive) and 1.
        crop: f64,
    },
    /// Scales both sides to the target; the aspect ratio is lost.
    Squash,
    /// Scales the longer side to the target and fills the rest with a colour.
    Letterbox {
        /// Red, green and blue of the bars.
        fill: [u8; 3],
    },
    /// Scales the picture down to fit the target, without bars. The aspect ratio is kept, and nothing is enlarged.
    Inside,
}

/// The interpolation filter. When shrinking, all but `Nearest` average over the source pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Nearest neighbour.
    Nearest,
    /// Triangle filter.
    Bilinear,
    /// Catmull–Rom, a = -0.5.
    #[default]
    Bicubic,
    /// Lanczos with three lobes (Lanczos3).
    Lanczos,
}

impl Filter {
    fn algorithm(self) -> ResizeAlg {
        match self {
            Self::Nearest => ResizeAlg::Nearest,
            Self::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Self::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Self::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        }
    }
}

/// A rectangle of the source: left, top, width, height, in pixels.
type Crop = (f64, f64, f64, f64);

impl Picture {
    /// Upright sRGB pixels of exactly `width` × `height`, or at most that for [`Fit::Inside`].
    ///
    /// # Panics
    /// If the width or the height is 0.
    pub fn resized(&self, fit: Fit, width: u32, height: u32, filter: Filter) -> RgbImage {
        assert!(width > 0 && height > 0, "the target has pixels");
        let turned = swaps_sides(self.orientation());
        let (width, height) = if turned { (height, width) } else { (width, height) };
        let (source_width, source_height) = self.pixels.dimensions();
        let (w, h) = self.filled.unwrap_or((source_width.into(), source_height.into()));
        let whole = (0.0, 0.0, w, h);
        let mut result = match fit {
            Fit::Squash => self.scaled(whole, width, height, filter),
            Fit::ShortestEdge { crop } => self.scaled(centre(w, h, width, height, crop), width, height, filter),
            Fit::Letterbox { fill } => {
                let (inner_width, inner_height) = inside(w, h, width, height, f64::INFINITY);
                let inner = self.scaled(whole, inner_width, inner_height, filter);
                let mut framed = RgbImage::from_pixel(width, height, image::Rgb(fill));
                let (left, top) = ((width - inner_width) / 2, (height - inner_height) / 2);
                image::imageops::replace(&mut framed, &inner, left.into(), top.into());
                framed
            }
            Fit::Inside => {
                let (width, height) = inside(w, h, width, height, 1.0);
                self.scaled(whole, width, height, filter)
            }
        };
        if let Some(profile) = &self.profile {
            color::apply_profile(&mut result, profile);
        }
        let mut upright = DynamicImage::ImageRgb8(result);
        upright.apply_orientation(self.orientation());
        upright.into_rgb8()
    }

    /// Opacity of the pixels that [`Picture::resized`] returns for [`Fit::Inside`]; `None` if all are opaque.
    pub(super) fn resized_alpha(&self, width: u32, height: u32, filter: Filter) -> Option<GrayImage> {
        let alpha = self.alpha.as_ref()?;
        let (width, height) = if swaps_sides(self.orientation()) { (height, width) } else { (width, height) };
        let (w, h) = (f64::from(alpha.width()), f64::from(alpha.height()));
        let (width, height) = inside(w, h, width, height, 1.0);
        let bytes =
            scaled(alpha.as_raw(), alpha.dimensions(), PixelType::U8, (0.0, 0.0, w, h), (width, height), filter);
        let scaled = GrayImage::from_raw(width, height, bytes).expect("the target has a byte for each pixel");
        let mut upright = DynamicImage::ImageLuma8(scaled);
        upright.apply_orientation(self.orientation());
        Some(upright.into_luma8())
    }

    fn scaled(&self, crop: Crop, width: u32, height: u32, filter: Filter) -> RgbImage {
        let (bytes, size) = (self.pixels.as_raw(), self.pixels.dimensions());
        let bytes = scaled(bytes, size, PixelType::U8x3, crop, (width, height), filter);
        RgbImage::from_raw(width, height, bytes).expect("the target has three bytes for each pixel")
    }
}

/// Scales pixels to any size, smaller or larger.
pub fn scale_rgb(pixels: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (w, h) = pixels.dimensions();
    let crop = (0.0, 0.0, f64::from(w), f64::from(h));
    let bytes = scaled(pixels.as_raw(), (w, h), PixelType::U8x3, crop, (width, height), filter);
    RgbImage::from_raw(width, height, bytes).expect("the target has three bytes for each pixel")
}

fn scaled(
    bytes: &[u8],
    size: (u32, u32),
    pixel_type: PixelType,
    crop: Crop,
    (width, height): (u32, u32),
    filter: Filter,
) -> Vec<u8> {
    let source = ImageRef::new(size.0, size.1, bytes, pixel_type).expect("the buffer is as long as its pixels");
    let mut target = Image::new(width, height, pixel_type);
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).crop(crop.0, crop.1, crop.2, crop.3);
    Resizer::new()
        .resize(&source, &mut target, &options)
        .expect("the crop lies inside the source and the pixel types are equal");
    target.into_vec()
}

/// The part of the source that the centre crop shows. Scaling only that is the same as scaling everything and cropping.
fn centre(w: f64, h: f64, width: u32, height: u32, crop: f64) -> Crop {
    let scale = (f64::from(width) / w).max(f64::from(height) / h) / crop;
    let (crop_width, crop_height) = ((f64::from(width) / scale).min(w), (f64::from(height) / scale).min(h));
    ((w - crop_width) / 2.0, (h - crop_height) / 2.0, crop_width, crop_height)
}

/// The largest size within the target that keeps the source's aspect ratio, enlarged by at most `max_scale`.
fn inside(w: f64, h: f64, width: u32, height: u32, max_scale: f64) -> (u32, u32) {
    let scale = (f64::from(width) / w).min(f64::from(height) / h).min(max_scale);
    let side = |length: f64, limit: u32| ((length * scale).round() as u32).clamp(1, limit);
    (side(w, width), side(h, height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use image::metadata::Orientation;

    /// Red left, blue right.
    fn two_halves(width: u32, height: u32) -> Picture {
        Picture::from_rgb(RgbImage::from_fn(width, height, |x, _| {
            Rgb(if x < width / 2 { [255, 0, 0] } else { [0, 0, 255] })
        }))
    }

    #[test]
    fn the_centre_crop_cuts_the_longer_side() {
        let (left, top, width, height) = centre(400.0, 200.0, 100, 100, 1.0);
        assert_eq!((left, top, width, height), (100.0, 0.0, 200.0, 200.0));
        let (left, top, width, height) = centre(400.0, 200.0, 100, 100, 0.5);
        assert_eq!((left, top, width, height), (150.0, 50.0, 100.0, 100.0));
    }

    #[test]
    fn letterbox_keeps_the_shape_between_bars() {
        let result = two_halves(40, 20).resized(Fit::Letterbox { fill: [9, 9, 9] }, 20, 20, Filter::Nearest);
        assert_eq!(result.get_pixel(0, 0), &Rgb([9, 9, 9]));
        assert_eq!(result.get_pixel(0, 10), &Rgb([255, 0, 0]));
        assert_eq!(result.get_pixel(19, 10), &Rgb([0, 0, 255]));
        assert_eq!(result.get_pixel(19, 19), &Rgb([9, 9, 9]));
    }

    #[test]
    fn inside_never_enlarges_and_keeps_a_line_visible() {
        assert_eq!(two_halves(40, 20).resized(Fit::Inside, 200, 200, Filter::Bicubic).dimensions(), (40, 20));
        assert_eq!(two_halves(4000, 1).resized(Fit::Inside, 200, 200, Filter::Bicubic).dimensions(), (200, 1));
    }

    #[test]
    fn every_orientation_turns_the_same_picture_upright() {
        let upright = two_halves(24, 12);
        let expected = upright.resized(Fit::Squash, 12, 6, Filter::Nearest);
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).expect("1 to 8");
            // The inverse of a quarter turn is the other quarter turn; all other orientations are their own inverse.
            let inverse = match orientation {
                Orientation::Rotate90 => Orientation::Rotate270,
                Orientation::Rotate270 => Orientation::Rotate90,
                other => other,
            };
            let mut stored = DynamicImage::ImageRgb8(upright.pixels.clone());
            stored.apply_orientation(inverse);
            let mut picture = Picture::from_rgb(stored.into_rgb8());
            picture.orientation = Some(orientation);
            assert_eq!(picture.resized(Fit::Squash, 12, 6, Filter::Nearest), expected, "orientation {exif}");
            let info = picture.info(crate::Format::Raster(image::ImageFormat::Jpeg));
            assert_eq!((info.width, info.height, info.orientation), (24, 12, exif));
        }
    }

    #[test]
    fn a_picture_one_pixel_wide_can_be_cropped() {
        let result = two_halves(1, 3000).resized(Fit::ShortestEdge { crop: 0.875 }, 224, 224, Filter::Bicubic);
        assert_eq!(result.dimensions(), (224, 224));
    }
}
