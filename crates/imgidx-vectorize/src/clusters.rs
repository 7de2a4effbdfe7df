//! Finds the areas of one colour, as `ColorClusterFrontend` of vtracer does, but asks the deadline more often.

use std::time::{Duration, Instant};

use visioncortex::color_clusters::{Clusters, HIERARCHICAL_MAX, KeyingAction, Runner, RunnerConfig};
use visioncortex::{Color, ColorImage, PointI32};
use vtracer::frontend::Frontend;
use vtracer::ir::{Layer, Paint, RegionMask};
use vtracer::progress::Ctx;
use vtracer::{Error, Segmentation};

use super::deadline::Stop;

/// Number of pixels that are clustered between two checks of the deadline.
const BATCH: i32 = 25_600;

/// How much later than the deadline a step of clustering may end. Its steps get longer, up to a sixteenth of the time
/// that all steps before them took.
const MAX_DELAY: Duration = Duration::from_millis(200);

/// Finds the areas of one colour in the enlarged picture.
pub(super) struct Areas {
    /// Colour difference at which a gradual change gets another layer.
    pub layer_difference: i32,
    /// Minimum number of pixels of an area.
    pub min_area: usize,
    /// A colour that the picture does not have, in place of transparent pixels.
    pub key: Option<Color>,
    pub stop: Stop,
}

impl Frontend for Areas {
    fn segment(&self, image: &ColorImage) -> Result<Segmentation, Error> {
        let (width, height) = (image.width, image.height);
        let config = RunnerConfig {
            diagonal: self.layer_difference == 0,
            hierarchical: HIERARCHICAL_MAX,
            batch_size: BATCH,
            good_min_area: self.min_area,
            good_max_area: width * height,
            // The pixels are already snapped to the palette.
            is_same_color_a: 0,
            is_same_color_b: 1,
            deepen_diff: self.layer_difference,
            hollow_neighbours: 1,
            // All zero means no key.
            key_color: self.key.unwrap_or_default(),
            keying_action: KeyingAction::Discard,
        };
        let mut builder = Runner::new(config, self.keyed(image)).start();
        let mut step = Duration::ZERO;
        loop {
            self.check_before(step)?;
            let start = Instant::now();
            if builder.tick() {
                break;
            }
            step = start.elapsed();
        }
        self.layers(&builder.result(), (width, height))
    }

    fn segment_with(&self, image: &ColorImage, _: &mut Ctx<'_>) -> Result<Segmentation, Error> {
        self.segment(image)
    }
}

impl Areas {
    fn check_before(&self, step: Duration) -> Result<(), Error> {
        let is_late = self.stop.deadline.is_late_after(step.saturating_sub(MAX_DELAY));
        if is_late { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// A copy of the picture in which transparent pixels have the key colour.
    fn keyed(&self, image: &ColorImage) -> ColorImage {
        let mut image = image.clone();
        if let Some(key) = self.key {
            for pixel in image.pixels.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0) {
                pixel.copy_from_slice(&[key.r, key.g, key.b, key.a]);
            }
        }
        image
    }

    /// The areas from bottom to top, without holes: what lies in a hole is drawn over the area around it.
    fn layers(&self, clusters: &Clusters, (width, height): (usize, usize)) -> Result<Segmentation, Error> {
        let view = clusters.view();
        let mut drawing = Segmentation::new(width as u32, height as u32);
        for index in view.clusters_output.iter().rev() {
            self.check_before(Duration::ZERO)?;
            let cluster = view.get_cluster(*index);
            let offset = PointI32 { x: cluster.rect.left, y: cluster.rect.top };
            let mask = RegionMask::new(cluster.to_image_with_hole(view.width, false), offset);
            drawing.layers.push(Layer { paint: Paint::Solid(cluster.residue_color()), mask });
        }
        Ok(drawing)
    }
}
