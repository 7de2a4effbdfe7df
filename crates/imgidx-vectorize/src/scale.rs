//! Scales pictures.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// Scales a picture to any size, smaller or larger, with the bicubic Catmull-Rom filter.
pub(crate) fn scale_to(pixels: &RgbImage, width: u32, height: u32) -> RgbImage {
    let source = ImageRef::new(pixels.width(), pixels.height(), pixels.as_raw(), PixelType::U8x3)
        .expect("the buffer has three bytes per pixel");
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize(&source, &mut target, &options).expect("the pixel types are equal");
    RgbImage::from_raw(width, height, target.into_vec()).expect("the target has three bytes per pixel")
}
