//! Turns areas of one colour into SVG paths.

use std::collections::HashSet;
use std::sync::Arc;

use image::RgbImage;
use vtracer::colorfit::MergeAdjacent;
use vtracer::compose::Compositing as Composition;
use vtracer::fitter::{CurveFitter, FittedGeom};
use vtracer::ir::{PathCmd, RegionMask};
use vtracer::optimize::OptimizerPass;
use vtracer::{CancelToken, Color, ColorImage, Config, Hierarchical, VectorDoc};

use super::canvas::{self, Canvas};
use super::clusters::Areas;
use super::color::Rgb;
use super::deadline::{Deadline, Stop};
use super::edge;
use super::fit::{self, Fitting, Piece, Point, contours, cross};
use super::paint::Repaint;
use super::palette::Palette;
use super::parameters::{Compositing, Parameters};
use super::provenance::with_provenance;
use super::source::Source;
use super::spread::Spread;
use imgidx_types::catching_panics;

/// How far an area extends under those drawn over it, in pixels of the enlarged picture.
const SPREAD_REACH: usize = 3;

/// A traced drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// The complete SVG document.
    pub svg: String,
    /// Number of filled areas.
    pub shapes: u32,
}

/// Why a trace failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDrawn {
    /// The deadline passed before the trace was complete.
    #[error("too many details to trace in time")]
    Late,
    /// A parameter is out of range: see [`Parameters::are_valid`].
    #[error("a parameter is out of range")]
    Invalid,
    /// The tracer or the comparison failed, for the given reason.
    #[error("the tracer failed: {0}")]
    Failed(String),
}

/// Memory for a trace, in bytes per pixel of the enlarged picture. Includes the tracer's growing areas and their paths.
const TRACE_BYTES_PER_PIXEL: u64 = 40;

impl Source {
    /// Approximate memory for one trace at this [`Parameters::scale`], in bytes.
    pub fn traced_bytes(&self, scale: f32) -> u64 {
        let (width, height) = canvas::size(self.pixels.dimensions(), scale);
        TRACE_BYTES_PER_PIXEL * u64::from(width) * u64::from(height)
    }

    /// Traces the picture.
    ///
    /// The SVG has the size of the original; its coordinates are pixels of the enlarged picture.
    ///
    /// # Errors
    /// When a parameter is out of range, the deadline passes, or the tracer fails.
    pub fn trace(&self, parameters: &Parameters, deadline: &Deadline) -> Result<Drawn, NotDrawn> {
        if !parameters.are_valid() {
            return Err(NotDrawn::Invalid);
        }
        let palette = Arc::new(Palette::of(self, parameters.radius, parameters.colors.into(), deadline)?);
        let canvas = Arc::new(Canvas::new(self, &palette, parameters.scale, deadline)?);
        let (width, height) = (canvas.width, canvas.height);
        let is_transparent = self.ground.is_some();
        if is_transparent && canvas.colors.iter().all(|color| *color == 0) {
            return Ok(self.document("", (width, height), 0));
        }
        let top = f64::from(u8::from(is_transparent));
        let stop = Stop { deadline: deadline.clone(), cancel: CancelToken::new() };
        let areas = Areas {
            layer_difference: parameters.layers.into(),
            min_area: usize::from(parameters.speckle).pow(2),
            key: is_transparent.then(|| unused_color(&canvas, &palette)),
            stop: stop.clone(),
        };
        let repaint = Repaint { canvas: canvas.clone(), palette: palette.clone(), is_transparent, stop: stop.clone() };
        let is_fitted = parameters.straight && parameters.compositing == Compositing::Stacked;
        let fitter = is_fitted.then(|| Fitter {
            settings: Fitting {
                tolerance: parameters.simplify.max(0.1).into(),
                corner: f64::from(parameters.corner).to_radians(),
                frame: (Point::new(0.0, top), Point::new(width.into(), f64::from(height) + top)),
            },
            canvas: canvas.clone(),
            palette: palette.clone(),
            pixels: self.pixels.clone(),
            stop,
        });
        let image = to_image(&canvas, &palette, is_transparent);
        let draw = || draw(&image, parameters, areas, repaint, fitter);
        let (paths, shapes) =
            catching_panics(draw).unwrap_or_else(|panic| Err(NotDrawn::Failed(format!("it panicked: {panic}"))))?;
        Ok(self.document(&with_gradients(paths, &palette, canvas.scale(), top), (width, height), shapes))
    }

    /// Wraps paths, whose coordinates are pixels of an enlarged picture of this size, in an SVG document.
    fn document(&self, paths: &str, (width, height): (u32, u32), shapes: u32) -> Drawn {
        let ((w, h), top) = (self.size, u32::from(self.ground.is_some()));
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 {top} {width} {height}\" \
             preserveAspectRatio=\"none\">"
        );
        Drawn { svg: with_provenance(&head, &format!("{paths}</svg>\n")), shapes }
    }
}

/// RGBA pixels for the tracer. A transparent picture gets an empty row above and below, because the tracer honours
/// transparency only where it fills a large part of some rows.
fn to_image(canvas: &Canvas, palette: &Palette, is_transparent: bool) -> ColorImage {
    let (width, height) = (canvas.width as usize, canvas.height as usize);
    let margin = if is_transparent { 4 * width } else { 0 };
    let mut pixels = Vec::with_capacity(4 * width * height + 2 * margin);
    pixels.resize(margin, 0);
    for color in &canvas.colors {
        // The background is the first colour.
        let [red, green, blue] = palette.colors()[usize::from(*color)];
        pixels.extend(if is_transparent && *color == 0 { [0; 4] } else { [red, green, blue, 255] });
    }
    pixels.resize(pixels.len() + margin, 0);
    ColorImage { pixels, width, height: height + 2 * usize::from(is_transparent) }
}

/// A colour that no pixel has, to mark transparent pixels. Transparent pixels are black before that.
fn unused_color(canvas: &Canvas, palette: &Palette) -> Color {
    let mut used: HashSet<Rgb> = HashSet::from([[0; 3]]);
    let indices: HashSet<u16> = canvas.colors.iter().copied().filter(|color| *color != 0).collect();
    used.extend(indices.into_iter().map(|color| palette.colors()[usize::from(color)]));
    let bright = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]];
    // The palette has fewer colours than this grid.
    let steps = || (0..=u8::MAX).step_by(37);
    let grid = steps().flat_map(|red| steps().flat_map(move |green| steps().map(move |blue| [red, green, blue])));
    let [red, green, blue] =
        bright.into_iter().chain(grid).find(|color| !used.contains(color)).expect("the palette is small");
    Color::new(red, green, blue)
}

fn config(parameters: &Parameters) -> Config {
    Config {
        hierarchical: match parameters.compositing {
            Compositing::Stacked => Hierarchical::Stacked,
            Compositing::Cutout => Hierarchical::Cutout,
        },
        layer_difference: parameters.layers.into(),
        corner_threshold: parameters.corner.into(),
        simplify: (parameters.simplify > 0.0).then(|| parameters.simplify.into()),
        path_precision: Some(parameters.precision.into()),
        optimize: 2,
        ..Config::default()
    }
}

/// The SVG text of the paths, and their number.
fn draw(
    image: &ColorImage,
    parameters: &Parameters,
    areas: Areas,
    repaint: Repaint,
    fitter: Option<Fitter>,
) -> Result<(String, u32), NotDrawn> {
    let failed = |error: vtracer::Error| match error {
        vtracer::Error::Cancelled => NotDrawn::Late,
        other => NotDrawn::Failed(other.to_string()),
    };
    let stop = areas.stop.clone();
    let mut pipeline = config(parameters).build().map_err(failed)?;
    pipeline.frontend = Box::new(areas);
    pipeline.color_fitters = vec![Box::new(repaint), Box::new(MergeAdjacent)];
    if let Some(fitter) = fitter {
        pipeline.compositing = Composition::Stacked(Box::new(fitter));
        pipeline.curve_passes.clear();
        pipeline.color_fitters.push(Box::new(Spread { reach: SPREAD_REACH, stop: stop.clone() }));
        // Runs first: once coordinates are rounded, straight curves can no longer be recognised.
        pipeline.optimizers.insert(0, Box::new(Straighten));
    }
    let mut check_deadline = |_| _ = stop.is_late();
    let document: VectorDoc = pipeline.run_with_progress(image, &stop.cancel, &mut check_deadline).map_err(failed)?;
    // The last step may have been left incomplete.
    stop.deadline.check()?;
    let svg = pipeline.writer.write(&document);
    Ok((inner(&svg).to_owned(), document.shapes.len() as u32))
}

/// Replaces stand-in colours in SVG paths with the gradients that they stand for: the tracer only knows solid colours.
fn with_gradients(mut paths: String, palette: &Palette, scale: (f64, f64), top: f64) -> String {
    let mut definitions = String::new();
    for (gradient, [red, green, blue]) in palette.gradients() {
        let stand_in = format!("fill=\"#{red:02X}{green:02X}{blue:02X}\"");
        if paths.contains(&stand_in) {
            let (name, definition) = gradient.definition(scale, top);
            paths = paths.replace(&stand_in, &format!("fill=\"url(#{name})\""));
            definitions += &definition;
        }
    }
    if definitions.is_empty() { paths } else { format!("<defs>{definitions}</defs>\n{paths}") }
}

/// A curve fitter for vtracer that keeps corners and straight lines.
struct Fitter {
    settings: Fitting,
    canvas: Arc<Canvas>,
    palette: Arc<Palette>,
    pixels: RgbImage,
    stop: Stop,
}

impl Fitter {
    /// Moves the midpoint of a pixel side to the edge between the two pixels that share the side.
    fn edge(&self, side: Point) -> Point {
        let (first, last) = self.settings.frame;
        let (x, y) = (side.x - first.x, side.y - first.y);
        let is_on_frame = x == 0.0 || y == 0.0 || side.x == last.x || side.y == last.y;
        if is_on_frame {
            return side;
        }
        let (column, row) = (x as u32, y as u32);
        let is_along_row = y.fract() == 0.0;
        let before = if is_along_row { (column, row - 1) } else { (column - 1, row) };
        let Some(colors) = self.canvas.colors_of(&self.palette, before, (column, row)) else { return side };
        let (scale_x, scale_y) = self.canvas.scale();
        if let Some(found) = edge::locate(&self.pixels, colors, Point::new(x / scale_x, y / scale_y)) {
            return Point::new(first.x + found.x * scale_x, first.y + found.y * scale_y);
        }
        let edge = self.canvas.edge_between(colors, before, (column, row)) - 0.5;
        if is_along_row { Point::new(side.x, side.y + edge) } else { Point::new(side.x + edge, side.y) }
    }
}

impl CurveFitter for Fitter {
    fn fit_region(&self, mask: &RegionMask) -> Vec<FittedGeom> {
        let offset = mask.offset.to_point_f64();
        if self.stop.is_late() {
            return Vec::new();
        }
        let outlines = contours((mask.width(), mask.height()), |x, y| mask.image.get_pixel_safe(x, y));
        let in_time = outlines.into_iter().take_while(|_| !self.stop.is_late());
        let fitted = in_time.map(|mut corners| {
            corners.iter_mut().for_each(|corner| *corner += offset);
            let outline = fit::fit(&corners, &self.settings, |side| self.edge(side), &|| self.stop.is_late());
            let mut at = outline.start;
            // vtracer accepts curves only. `Straighten` recognises lines by their control points.
            let curve = |piece: &Piece| piece.controls(std::mem::replace(&mut at, piece.end()));
            FittedGeom::Beziers(outline.pieces.iter().map(curve).collect())
        });
        fitted.collect()
    }
}

/// Turns straight curves into lines.
struct Straighten;

impl OptimizerPass for Straighten {
    fn run(&self, document: &mut VectorDoc) {
        for path in document.shapes.iter_mut().flat_map(|shape| &mut shape.path.subpaths) {
            let mut at = path.start().unwrap_or_default();
            for command in &mut path.commands {
                match *command {
                    PathCmd::CubicTo(a, b, end) => {
                        if is_straight(at, a, b, end) {
                            *command = PathCmd::LineTo(end);
                        }
                        at = end;
                    }
                    PathCmd::LineTo(end) | PathCmd::MoveTo(end) => at = end,
                    PathCmd::Close => {}
                }
            }
            // Closing a path already draws a line back to its start.
            let start = path.start();
            if let [.., PathCmd::LineTo(end), PathCmd::Close] = path.commands.as_slice()
                && Some(*end) == start
            {
                path.commands.remove(path.commands.len() - 2);
            }
        }
    }
}

fn is_straight(from: Point, a: Point, b: Point, to: Point) -> bool {
    let line = to - from;
    let length = f64::hypot(line.x, line.y).max(1e-9);
    [a, b].iter().all(|point| cross(*point - from, line).abs() / length < 0.05)
}

/// The content of the document's root element.
fn inner(svg: &str) -> &str {
    let start = svg.find("<svg").and_then(|at| Some(at + svg[at..].find('>')? + 1)).unwrap_or(0);
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    svg[start..end].trim_start()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::render;
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    fn ring() -> (RgbImage, GrayImage) {
        let distance = |x: u32, y: u32| f32::hypot(x as f32 - 24.0, y as f32 - 32.0);
        let is_there = |x, y| (8.0..20.0).contains(&distance(x, y));
        let pixels = RgbImage::from_fn(48, 64, |x, y| Rgb(if is_there(x, y) { [200, 30, 60] } else { [255; 3] }));
        let alpha = GrayImage::from_fn(48, 64, |x, y| Luma([255 * u8::from(is_there(x, y))]));
        (pixels, alpha)
    }

    fn traced(source: &Source, compositing: Compositing) -> Drawn {
        source.trace(&Parameters { compositing, ..Parameters::DEFAULT }, &Deadline::never()).expect("a drawing")
    }

    #[test]
    fn a_trace_has_the_size_of_the_original_and_looks_like_it() {
        let (pixels, _) = ring();
        let source = Source::new(pixels.clone(), None, (480, 640));
        for compositing in [Compositing::Stacked, Compositing::Cutout] {
            let drawn = traced(&source, compositing);
            assert!(drawn.svg.contains("width=\"480\" height=\"640\" viewBox=\"0 0 240 320\""), "{}", drawn.svg);
            let shown = render(&drawn.svg, 48, 64, [255; 3]).expect("it can be drawn");
            let off = shown.pixels().zip(pixels.pixels()).filter(|(a, b)| a[1].abs_diff(b[1]) > 100).count();
            assert!(off < 20, "{off} pixels differ");
        }
    }

    #[test]
    fn a_gradient_is_one_area_with_its_colors() {
        let pixels = RgbImage::from_fn(64, 48, |x, y| match (x, y) {
            (8..56, 8..40) => Rgb([4 * x as u8, 90, 200]),
            _ => Rgb([255; 3]),
        });
        let source = Source::new(pixels.clone(), None, (64, 48));
        for compositing in [Compositing::Stacked, Compositing::Cutout] {
            let drawn = traced(&source, compositing);
            assert_eq!(drawn.shapes, 2, "{}", drawn.svg);
            assert!(drawn.svg.contains("<linearGradient"), "{}", drawn.svg);
            let shown = render(&drawn.svg, 64, 48, [255; 3]).expect("it can be drawn");
            let places = (12..52).flat_map(|x| (12..36).map(move |y| (x, y)));
            let off = places.map(|(x, y)| shown.get_pixel(x, y)[0].abs_diff(pixels.get_pixel(x, y)[0])).max();
            assert!(off <= Some(4), "{compositing:?} {off:?}: {}", drawn.svg);
        }
    }

    #[test]
    fn gradients_of_all_shapes_are_reproduced() {
        let linear = |x: f64, y: f64| 0.8 * x + 0.6 * y;
        let radial = |x: f64, y: f64| 1.2 * f64::hypot(x - 30.0, y - 40.0);
        let (sin, cos) = 0.5_f64.sin_cos();
        let ellipse = |x: f64, y: f64| {
            let (x, y) = (x - 50.0, y - 35.0);
            f64::hypot(x * cos + y * sin, 2.0 * (y * cos - x * sin))
        };
        let shapes: [&dyn Fn(f64, f64) -> f64; 3] = [&linear, &radial, &ellipse];
        let is_there = |x: u32, y: u32| f64::hypot(f64::from(x) - 48.0, f64::from(y) - 40.0) < 36.0;
        for (name, place) in shapes.into_iter().enumerate() {
            let pixels = RgbImage::from_fn(97, 80, |x, y| match is_there(x, y) {
                true => Rgb([(40.0 + 1.8 * place(f64::from(x) + 0.5, f64::from(y) + 0.5)).min(255.0) as u8, 60, 120]),
                false => Rgb([255; 3]),
            });
            let alpha = GrayImage::from_fn(97, 80, |x, y| Luma([255 * u8::from(is_there(x, y))]));
            for alpha in [None, Some(&alpha)] {
                let source = Source::new(pixels.clone(), alpha, (97, 80));
                let drawn = traced(&source, Compositing::Stacked);
                assert!(drawn.svg.contains("Gradient id="), "{name}: {}", drawn.svg);
                let shown = render(&drawn.svg, 97, 80, [255; 3]).expect("it can be drawn");
                let inside = (20..76).flat_map(|x| (20..60).map(move |y| (x, y)));
                let off = inside.map(|(x, y)| shown.get_pixel(x, y)[0].abs_diff(pixels.get_pixel(x, y)[0])).max();
                assert!(off <= Some(6), "{name} {off:?}: {}", drawn.svg);
            }
        }
    }

    #[test]
    fn transparency_is_kept_and_nothing_moves() {
        let (pixels, alpha) = ring();
        let source = Source::new(pixels, Some(&alpha), (48, 64));
        for compositing in [Compositing::Stacked, Compositing::Cutout] {
            let drawn = traced(&source, compositing);
            let shown = render(&drawn.svg, 48, 64, [0, 255, 0]).expect("it can be drawn");
            let color = |x, y| shown.get_pixel(x, y).0;
            assert_eq!((color(1, 1), color(24, 32)), ([0, 255, 0], [0, 255, 0]), "{compositing:?}");
            assert_eq!((color(24, 19), color(24, 45)), ([200, 30, 60], [200, 30, 60]), "{compositing:?}");
        }
    }

    #[test]
    fn a_fully_transparent_picture_has_no_shapes() {
        let alpha = GrayImage::new(48, 64);
        let source = Source::new(RgbImage::from_pixel(48, 64, Rgb([255; 3])), Some(&alpha), (48, 64));
        let drawn = traced(&source, Compositing::Stacked);
        assert_eq!(drawn.shapes, 0);
        assert_eq!(render(&drawn.svg, 4, 4, [9, 90, 200]).expect("it can be drawn").get_pixel(2, 2).0, [9, 90, 200]);
    }

    /// A deadline that passes after some checks, and the number of checks so far.
    fn deadline_after(checks: usize) -> (Deadline, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        (Deadline::when(move |_| counted.fetch_add(1, Ordering::Relaxed) >= checks), count)
    }

    #[test]
    fn every_step_ends_soon_after_the_deadline() {
        let noise = |x: u32, y: u32| {
            let value = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)).wrapping_mul(3_266_489_917);
            Rgb([(value >> 8) as u8, (value >> 16) as u8, (value >> 24) as u8])
        };
        let pixels = RgbImage::from_fn(160, 120, noise);
        let work = |deadline: &Deadline| {
            let source = Source::within(pixels.clone(), None, (160, 120), deadline)?;
            source.facts(deadline)?;
            let mut svgs = Vec::new();
            for compositing in [Compositing::Stacked, Compositing::Cutout] {
                svgs.push(source.trace(&Parameters { compositing, scale: 2.0, ..Parameters::DEFAULT }, deadline)?.svg);
            }
            Ok::<_, NotDrawn>(svgs)
        };
        let (never, all) = deadline_after(usize::MAX);
        assert!(work(&never).is_ok());
        let all = all.load(Ordering::Relaxed);
        assert!(all > 1000, "the deadline was checked {all} times");
        for checks in (0..all).step_by(all / 40) {
            let (deadline, asked) = deadline_after(checks);
            assert_eq!(work(&deadline), Err(NotDrawn::Late), "after {checks} of {all} checks");
            let more = asked.load(Ordering::Relaxed) - checks;
            assert!(more <= 8, "{more} more checks after {checks} of {all}");
        }
    }

    #[test]
    fn a_late_trace_fails_and_parameter_ranges_are_checked() {
        let (pixels, _) = ring();
        let source = Source::new(pixels, None, (48, 64));
        assert_eq!(source.trace(&Parameters::DEFAULT, &Deadline::when(|_| true)), Err(NotDrawn::Late));
        let invalid = Parameters { scale: 20.0, ..Parameters::DEFAULT };
        assert_eq!(source.trace(&invalid, &Deadline::never()), Err(NotDrawn::Invalid));
    }
}
