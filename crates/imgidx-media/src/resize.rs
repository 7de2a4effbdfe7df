//! Scales pictures to the size of a model's input or a thumbnail, converts them to sRGB and turns them upright.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, GrayImage, ImageBuffer, Pixel, RgbImage};
use serde::{Deserialize, Serialize};

use super::decode::Picture;
use super::decode_and_measure::Frame;

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
        let (width, height) = self.turned(width, height);
        let whole @ (_, _, w, h) = self.filled.map_or_else(|| whole(&self.pixels), |(w, h)| (0.0, 0.0, w, h));
        let scaled = |crop, width, height| scaled(&self.pixels, crop, width, height, filter);
        let mut result = match fit {
            Fit::Squash => scaled(whole, width, height),
            Fit::ShortestEdge { crop } => scaled(centre(w, h, width, height, crop), width, height),
            Fit::Letterbox { fill } => {
                let (inner_width, inner_height) = inside(w, h, width, height, f64::INFINITY);
                let inner = scaled(whole, inner_width, inner_height);
                let mut framed = RgbImage::from_pixel(width, height, image::Rgb(fill));
                let (left, top) = ((width - inner_width) / 2, (height - inner_height) / 2);
                image::imageops::replace(&mut framed, &inner, left.into(), top.into());
                framed
            }
            Fit::Inside => {
                let (width, height) = inside(w, h, width, height, 1.0);
                scaled(whole, width, height)
            }
        };
        if let Some(profile) = &self.profile {
            profile.apply(&mut result);
        }
        let mut upright = DynamicImage::ImageRgb8(result);
        upright.apply_orientation(self.orientation());
        upright.into_rgb8()
    }

    /// Opacity of the pixels that [`Picture::resized`] returns for [`Fit::Inside`]; `None` if all are opaque.
    pub(super) fn resized_alpha(&self, frame: Frame) -> Option<GrayImage> {
        let alpha = self.alpha.as_ref()?;
        let (width, height) = self.turned(frame.width, frame.height);
        let whole @ (_, _, w, h) = whole(alpha);
        let (width, height) = inside(w, h, width, height, 1.0);
        let mut upright = DynamicImage::ImageLuma8(scaled(alpha, whole, width, height, frame.filter));
        upright.apply_orientation(self.orientation());
        Some(upright.into_luma8())
    }
}

/// Scales pixels to any size, smaller or larger.
pub fn scale_rgb(pixels: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    scaled(pixels, whole(pixels), width, height, filter)
}

/// A buffer of grey or RGB pixels.
type Buffer<P> = ImageBuffer<P, Vec<u8>>;

fn whole<P: Pixel<Subpixel = u8>>(source: &Buffer<P>) -> Crop {
    (0.0, 0.0, source.width().into(), source.height().into())
}

fn scaled<P: Pixel<Subpixel = u8>>(
    source: &Buffer<P>,
    crop: Crop,
    width: u32,
    height: u32,
    filter: Filter,
) -> Buffer<P> {
    let pixel_type = if P::CHANNEL_COUNT == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let source = ImageRef::new(source.width(), source.height(), source.as_raw(), pixel_type)
        .expect("the buffer is as long as its pixels");
    let mut target = Image::new(width, height, pixel_type);
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).crop(crop.0, crop.1, crop.2, crop.3);
    Resizer::new()
        .resize(&source, &mut target, &options)
        .expect("the crop lies inside the source and the pixel types are equal");
    ImageBuffer::from_raw(width, height, target.into_vec()).expect("the target is as long as its pixels")
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
        assert_eq!(centre(400.0, 200.0, 100, 100, 1.0), (100.0, 0.0, 200.0, 200.0));
        assert_eq!(centre(400.0, 200.0, 100, 100, 0.5), (150.0, 50.0, 100.0, 100.0));
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
