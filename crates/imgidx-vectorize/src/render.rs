//! Renders a traced SVG.

use image::RgbImage;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// Renders an SVG over a solid colour, stretched to a size in pixels. Returns `None` if the SVG is invalid or the size
/// is zero.
pub fn render(svg: &str, width: u32, height: u32, ground: [u8; 3]) -> Option<RgbImage> {
    let tree = Tree::from_str(svg, &Options::default()).ok()?;
    let mut canvas = Pixmap::new(width, height)?;
    canvas.fill(Color::from_rgba8(ground[0], ground[1], ground[2], 255));
    let scale = (width as f32 / tree.size().width(), height as f32 / tree.size().height());
    resvg::render(&tree, Transform::from_scale(scale.0, scale.1), &mut canvas.as_mut());
    let flat = canvas.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    RgbImage::from_raw(width, height, flat)
}
