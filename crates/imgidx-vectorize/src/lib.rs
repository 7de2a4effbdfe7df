//! From pixels to paths: one trace of a drawing with given parameters, and how good it is.
//!
//! A [`Source`] is a picture that is to be traced. Its gradients are found (`smooth`, `gradient`); its other colours become a palette without the
//! mixtures that anti-aliasing makes at edges; its pixels are enlarged and snapped to the palette (`canvas`); areas of one colour are found (`vtracer`) and go on a little under each
//! other (`spread`); their outlines are placed where the mixtures tell that edges are (`edge`), and become corners, lines and curves (`fit`);
//! and the paths are drawn again (`resvg`) and compared with the picture (`quality`).

mod canvas;
mod color;
mod edge;
mod fit;
mod gradient;
mod outline;
mod paint;
mod palette;
mod parameters;
mod provenance;
mod quality;
mod render;
mod scale;
mod smooth;
mod source;
mod spread;

pub use outline::{Drawn, NotDrawn};
pub use parameters::{Compositing, Parameters};
pub use provenance::is_unchanged_trace;
pub use quality::{Quality, Reference, score, structural_similarity};
pub use render::render;
pub use source::{MAX_PIXELS, Source, SourceFacts};
