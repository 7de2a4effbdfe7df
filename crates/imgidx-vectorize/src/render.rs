//! Renders a traced SVG.

use image::RgbImage;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::deadline::Deadline;
use super::outline::NotDrawn;

/// Length of the paths that are rendered between two checks of the deadline, in bytes.
const BYTES_PER_CHECK: usize = 256 << 10;

/// Renders an SVG over a solid colour, stretched to a size in pixels. Returns `None` if the SVG is invalid or the size
/// is zero.
pub fn render(svg: &str, width: u32, height: u32, ground: [u8; 3]) -> Option<RgbImage> {
    let mut canvas = canvas(width, height, ground)?;
    draw(svg, &mut canvas)?;
    to_rgb(&canvas)
}

/// Renders a traced SVG, like [`render`], until a deadline. The paths of a long one are rendered in several parts.
///
/// # Errors
/// [`NotDrawn::Late`] if the deadline passes.
pub(super) fn render_within(
    svg: &str,
    (width, height): (u32, u32),
    ground: [u8; 3],
    deadline: &Deadline,
) -> Result<Option<RgbImage>, NotDrawn> {
    let Some((head, paths)) = svg.find("<path").filter(|_| svg.len() > BYTES_PER_CHECK).map(|at| svg.split_at(at))
    else {
        return Ok(render(svg, width, height, ground));
    };
    let Some(mut canvas) = canvas(width, height, ground) else { return Ok(None) };
    let mut lines = paths.trim_end().trim_end_matches("</svg>").lines().peekable();
    while lines.peek().is_some() {
        deadline.check()?;
        let mut part = head.to_owned();
        while part.len() < head.len() + BYTES_PER_CHECK
            && let Some(line) = lines.next()
        {
            part += line;
        }
        if draw(&(part + "</svg>"), &mut canvas).is_none() {
            return Ok(None);
        }
    }
    Ok(to_rgb(&canvas))
}

fn canvas(width: u32, height: u32, ground: [u8; 3]) -> Option<Pixmap> {
    let mut canvas = Pixmap::new(width, height)?;
    canvas.fill(Color::from_rgba8(ground[0], ground[1], ground[2], 255));
    Some(canvas)
}

/// Draws an SVG on a canvas, stretched to its size.
fn draw(svg: &str, canvas: &mut Pixmap) -> Option<()> {
    let tree = Tree::from_str(svg, &Options::default()).ok()?;
    let scale = (canvas.width() as f32 / tree.size().width(), canvas.height() as f32 / tree.size().height());
    resvg::render(&tree, Transform::from_scale(scale.0, scale.1), &mut canvas.as_mut());
    Some(())
}

fn to_rgb(canvas: &Pixmap) -> Option<RgbImage> {
    let flat = canvas.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    RgbImage::from_raw(canvas.width(), canvas.height(), flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn a_long_drawing_looks_the_same_when_it_is_rendered_in_parts() {
        let head = r##"<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"><defs><linearGradient id="g"><stop stop-color="#123"/></linearGradient></defs>"##;
        let mut svg = head.to_owned();
        for i in 0..9000 {
            let (x, y) = (i * 7 % 83, i * 13 % 79);
            let fill = if i % 5 == 0 { "url(#g)".to_owned() } else { format!("#{:06X}", i * 1787) };
            let _ = writeln!(svg, r#"<path d="M{x},{y}h7.5v6.5z" fill="{fill}"/>"#);
        }
        svg += "</svg>\n";
        assert!(svg.len() > BYTES_PER_CHECK);
        let parts = render_within(&svg, (45, 60), [9, 90, 9], &Deadline::never()).expect("there is time");
        assert_eq!(parts, render(&svg, 45, 60, [9, 90, 9]));
        let late = render_within(&svg, (45, 60), [9, 90, 9], &Deadline::when(|_| true));
        assert_eq!(late, Err(NotDrawn::Late));
    }
}
