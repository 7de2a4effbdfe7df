//! Pixels in another size.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// Scales pixels to any size, also to a larger one, by the bicubic filter of Catmull and Rom.
pub(crate) fn scale_to(pixels: &RgbImage, width: u32, height: u32) -> RgbImage {
    let source = ImageRef::new(pixels.width(), pixels.height(), pixels.as_raw(), PixelType::U8x3)
        .expect("the buffer is as long as its pixels");
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize(&source, &mut target, &options).expect("the pixel types are equal");
    RgbImage::from_raw(width, height, target.into_vec()).expect("the target has three bytes for each pixel")
}
