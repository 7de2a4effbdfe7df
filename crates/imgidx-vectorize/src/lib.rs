//! Traces a drawing to SVG with given parameters, and measures how closely the result matches the original.
//!
//! [`Source::trace`] works in these steps:
//!
//! 1. Find the gradients of the picture (`smooth`, `gradient`).
//! 2. Collect its other colours in a palette, without the mixed colours of anti-aliased edges (`palette`).
//! 3. Enlarge the pixels and snap each of them to the palette (`canvas`).
//! 4. Find areas of one colour (`clusters`, vtracer), and extend them a little under the areas drawn over them (`spread`).
//! 5. Place the outlines with sub-pixel accuracy, using the mixed colours (`edge`).
//! 6. Fit corners, straight lines and curves to the outlines (`fit`).
//!
//! Every step asks a [`Deadline`] and gives up once it has passed.
//!
//! [`Reference`] renders an SVG again (resvg) and compares it with the source.
//!
//! ```
//! use image::{Rgb, RgbImage};
//! use imgidx_vectorize::{Deadline, Parameters, Source};
//!
//! let drawing = RgbImage::from_fn(32, 32, |x, _| if x < 16 { Rgb([20, 90, 200]) } else { Rgb([255; 3]) });
//! let drawn = Source::new(drawing, None, (32, 32)).trace(&Parameters::DEFAULT, &Deadline::never())?;
//! assert!(drawn.svg.starts_with("<svg"));
//! # Ok::<(), imgidx_vectorize::NotDrawn>(())
//! ```

mod canvas;
mod clusters;
mod color;
mod deadline;
mod denoise;
mod drawing;
mod edge;
mod facts;
mod fit;
mod gradient;
mod outline;
mod paint;
mod palette;
mod parameters;
mod pixel_kinds;
mod provenance;
mod quality;
mod render;
mod scale;
mod smooth;
mod source;
mod spread;

pub use deadline::Deadline;
pub use denoise::denoise;
pub use drawing::is_drawing;
pub use facts::SourceFacts;
pub use outline::{Drawn, NotDrawn};
pub use parameters::{Compositing, Parameters};
pub use provenance::is_unchanged_trace;
pub use quality::{Quality, Reference, score, structural_similarity};
pub use render::render;
pub use source::{MAX_PIXELS, Source};
