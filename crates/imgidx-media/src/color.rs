//! Converts any pixel layout to 8-bit RGB on white, and ICC profiles to sRGB.

use image::{DynamicImage, GrayImage, RgbImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::code_points::CodePoints;

/// The colour space of a picture, where it is not sRGB.
#[derive(Debug, Clone)]
pub(super) enum Profile {
    /// An ICC profile.
    Icc(Vec<u8>),
    /// Code points of ITU-T H.273.
    CodePoints(CodePoints),
}

impl Profile {
    /// Converts pixels to sRGB, in place.
    pub(super) fn apply(&self, pixels: &mut RgbImage) {
        match self {
            Self::Icc(profile) => apply_icc(pixels, profile),
            Self::CodePoints(points) => points.to_srgb(pixels),
        }
    }
}

/// Converts decoded pixels to 8-bit RGB. Transparent pixels are composited on white.
pub(super) fn to_rgb(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageRgb8(rgb) => rgb,
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => linear_to_rgb(&image),
        other if other.color().has_alpha() => {
            let rgba = other.into_rgba8();
            flattened(rgba.as_raw(), rgba.width(), rgba.height(), on_white)
        }
        other => other.into_rgb8(),
    }
}

/// Opacity of each pixel, 0 to 255; `None` if all pixels are opaque.
pub(super) fn alpha_of(image: &DynamicImage) -> Option<GrayImage> {
    if !image.color().has_alpha() {
        return None;
    }
    let opacity: Vec<u8> = match image {
        DynamicImage::ImageRgba8(rgba) => rgba.pixels().map(|pixel| pixel[3]).collect(),
        DynamicImage::ImageLumaA8(gray) => gray.pixels().map(|pixel| pixel[1]).collect(),
        other => image::GenericImageView::pixels(other).map(|(_, _, pixel)| pixel[3]).collect(),
    };
    let is_opaque = opacity.iter().all(|alpha| *alpha == 255);
    let alpha = GrayImage::from_raw(image.width(), image.height(), opacity).expect("a byte was made for each pixel");
    (!is_opaque).then_some(alpha)
}

/// Composites one channel of a transparent colour on white.
pub(super) fn on_white(color: u8, alpha: u8) -> u8 {
    let (color, alpha) = (u16::from(color), u16::from(alpha));
    ((color * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Converts floating-point pixels (OpenEXR, Radiance). They hold linear light, so they are clamped and then encoded
/// with the sRGB transfer function.
fn linear_to_rgb(image: &DynamicImage) -> RgbImage {
    let rgba = image.to_rgba32f();
    flattened(rgba.as_raw(), rgba.width(), rgba.height(), |light, alpha| {
        let alpha = alpha.clamp(0.0, 1.0);
        srgb_from_linear(light * alpha + (1.0 - alpha))
    })
}

/// Converts RGBA pixels to RGB; `on_white` composites one channel.
pub(super) fn flattened<T: Copy>(rgba: &[T], width: u32, height: u32, on_white: impl Fn(T, T) -> u8) -> RgbImage {
    let pixels = rgba.as_chunks::<4>().0.iter().flat_map(|[r, g, b, alpha]| [r, g, b].map(|x| on_white(*x, *alpha)));
    RgbImage::from_raw(width, height, pixels.collect()).expect("three bytes were made for each pixel")
}

/// The sRGB transfer function for encoding (IEC 61966-2-1). NaN becomes black.
pub(super) fn srgb_from_linear(light: f32) -> u8 {
    let light = if light.is_nan() { 0.0 } else { light.clamp(0.0, 1.0) };
    let encoded = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0).round() as u8
}

/// Converts pixels from the colour space of an ICC profile to sRGB, in place.
///
/// Damaged profiles, profiles for other colour models than RGB, and sRGB itself leave the pixels unchanged. A profile
/// is a refinement, never a reason to reject a picture.
fn apply_icc(pixels: &mut RgbImage, profile: &[u8]) {
    if is_srgb(profile) {
        return;
    }
    let Ok(source) = ColorProfile::new_from_slice(profile) else { return };
    if source.color_space != DataColorSpace::Rgb {
        return;
    }
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let Ok(transform) = source.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options) else { return };
    let original = pixels.clone();
    if transform.transform(&original, pixels).is_err() {
        *pixels = original;
    }
}

/// Whether the profile names itself sRGB, as nearly all do, in ASCII or UTF-16.
fn is_srgb(profile: &[u8]) -> bool {
    let names: [&[u8]; 2] = [b"sRGB", b"s\0R\0G\0B"];
    names.iter().any(|name| profile.windows(name.len()).any(|window| window == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_light_is_encoded_as_srgb() {
        assert_eq!(srgb_from_linear(0.0), 0);
        assert_eq!(srgb_from_linear(0.215_861), 128);
        assert_eq!(srgb_from_linear(7.0), 255);
        assert_eq!(srgb_from_linear(f32::NAN), 0);
    }

    #[test]
    fn a_wide_gamut_green_is_converted_to_srgb() {
        let profile = ColorProfile::new_display_p3().encode().expect("a profile");
        let mut pixels = RgbImage::from_pixel(2, 2, image::Rgb([50, 200, 50]));
        apply_icc(&mut pixels, &profile);
        let [red, green, _] = pixels.get_pixel(0, 0).0;
        assert!(red < 50 && green >= 200, "{:?}", pixels.get_pixel(0, 0));
    }

    #[test]
    fn a_damaged_profile_leaves_the_pixels_unchanged() {
        let mut pixels = RgbImage::from_pixel(2, 2, image::Rgb([1, 2, 3]));
        apply_icc(&mut pixels, &[7; 200]);
        assert_eq!(pixels.get_pixel(1, 1).0, [1, 2, 3]);
    }
}
