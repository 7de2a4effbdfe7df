//! Crop, turn and mirror of HEIF containers (ISO/IEC 23008-12, 6.5.9 to 6.5.12).

use heifer_isobmff::boxes::Property;
use image::imageops::crop_imm;
use image::metadata::Orientation;

use super::decode::Picture;

/// How to make the upright picture from the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Geometry {
    /// Width, height, and the distance of the centre from that of the whole, in pixels.
    crop: Option<[f64; 4]>,
    orientation: Option<Orientation>,
}

/// A turn and a mirror in steps: both sides of the stored picture may be mirrored, then they may be swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flips {
    /// Whether left and right are swapped.
    pub mirrors_x: bool,
    /// Whether top and bottom are swapped.
    pub mirrors_y: bool,
    /// Whether rows become columns.
    pub is_transposed: bool,
}

impl Geometry {
    /// Reads the properties of a picture. The crop comes first, and turns and mirrors follow in the given order.
    pub(super) fn new<'a>(properties: impl Iterator<Item = &'a Property>) -> Self {
        let mut crop = None;
        // Where the unit vectors of the stored picture point to; y points down.
        let mut matrix = [[1, 0], [0, 1]];
        for property in properties {
            match property {
                Property::CleanAperture { width, height, horiz_offset, vert_offset } => {
                    let side = |(over, under): (u32, u32)| f64::from(over) / f64::from(under);
                    let offset = |(over, under): (i32, u32)| f64::from(over) / f64::from(under);
                    crop = Some([side(*width), side(*height), offset(*horiz_offset), offset(*vert_offset)]);
                }
                Property::Rotation(quarters) => {
                    for _ in 0..*quarters {
                        matrix = product([[0, 1], [-1, 0]], matrix);
                    }
                }
                Property::Mirror(true) => matrix = product([[1, 0], [0, -1]], matrix),
                Property::Mirror(false) => matrix = product([[-1, 0], [0, 1]], matrix),
                _ => {}
            }
        }
        Self { crop, orientation: Some(orientation_of(matrix)) }
    }

    /// The turn and the mirror as steps along the sides of the stored picture.
    pub(super) fn flips(self) -> Flips {
        use Orientation::{
            FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270, Rotate270FlipH,
        };
        let orientation = self.orientation.unwrap_or(NoTransforms);
        Flips {
            mirrors_x: matches!(orientation, Rotate180 | Rotate270 | FlipHorizontal | Rotate270FlipH),
            mirrors_y: matches!(orientation, Rotate180 | Rotate90 | FlipVertical | Rotate270FlipH),
            is_transposed: matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH),
        }
    }

    /// Width and height of what the crop leaves of a stored picture.
    pub(super) fn cropped(self, size: (u32, u32)) -> (u32, u32) {
        let rectangle = self.crop.and_then(|crop| rectangle(crop, size));
        rectangle.map_or(size, |(_, _, width, height)| (width, height))
    }

    /// Crops a picture, and has it turned upright when it is scaled.
    pub(super) fn apply(self, picture: Picture) -> Picture {
        let picture = match self.crop.and_then(|crop| rectangle(crop, picture.pixels.dimensions())) {
            Some((x, y, width, height)) => Picture {
                pixels: crop_imm(&picture.pixels, x, y, width, height).to_image(),
                alpha: picture.alpha.map(|alpha| crop_imm(&alpha, x, y, width, height).to_image()),
                ..picture
            },
            None => picture,
        };
        Picture { orientation: self.orientation, ..picture }
    }
}

/// The rectangle of a crop: left, top, width and height. `None` if it is not inside the picture.
fn rectangle(crop: [f64; 4], (width, height): (u32, u32)) -> Option<(u32, u32, u32, u32)> {
    let [crop_width, crop_height, x, y] = crop;
    let span = |length: f64, offset: f64, whole: u32| {
        let start = (offset + (f64::from(whole) - length) / 2.0).floor();
        let is_inside = length >= 1.0 && start >= 0.0 && start + length.floor() <= f64::from(whole);
        is_inside.then_some((start as u32, length as u32))
    };
    let ((left, width), (top, height)) = (span(crop_width, x, width)?, span(crop_height, y, height)?);
    Some((left, top, width, height))
}

fn product(a: [[i8; 2]; 2], b: [[i8; 2]; 2]) -> [[i8; 2]; 2] {
    a.map(|row| [0, 1].map(|column| row[0] * b[0][column] + row[1] * b[1][column]))
}

fn orientation_of(matrix: [[i8; 2]; 2]) -> Orientation {
    match matrix {
        [[0, -1], [1, 0]] => Orientation::Rotate90,
        [[-1, 0], [0, -1]] => Orientation::Rotate180,
        [[0, 1], [-1, 0]] => Orientation::Rotate270,
        [[-1, 0], [0, 1]] => Orientation::FlipHorizontal,
        [[1, 0], [0, -1]] => Orientation::FlipVertical,
        [[0, 1], [1, 0]] => Orientation::Rotate90FlipH,
        [[0, -1], [-1, 0]] => Orientation::Rotate270FlipH,
        _ => Orientation::NoTransforms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    fn picture() -> Picture {
        Picture::from_rgb(RgbImage::from_fn(4, 3, |x, y| Rgb([(10 * x) as u8, (10 * y) as u8, 0])))
    }

    /// Turns the stored pixels one property after the other, as the standard describes it.
    fn expected(properties: &[Property]) -> RgbImage {
        let mut pixels = picture().pixels;
        for property in properties {
            pixels = match property {
                Property::Rotation(quarters) => {
                    (0..*quarters).fold(pixels, |pixels, _| image::imageops::rotate270(&pixels))
                }
                Property::Mirror(true) => image::imageops::flip_vertical(&pixels),
                _ => image::imageops::flip_horizontal(&pixels),
            };
        }
        pixels
    }

    #[test]
    fn turns_and_mirrors_are_one_orientation_in_any_order() {
        for quarters in 0..4 {
            for mirror in [None, Some(true), Some(false)] {
                let (turn, mirror) = (vec![Property::Rotation(quarters)], mirror.map(Property::Mirror));
                let first: Vec<_> = turn.iter().cloned().chain(mirror.clone()).collect();
                let last: Vec<_> = mirror.into_iter().chain(turn).collect();
                for properties in [first, last] {
                    let turned = Geometry::new(properties.iter()).apply(picture());
                    let mut upright = image::DynamicImage::from(turned.pixels.clone());
                    upright.apply_orientation(turned.orientation());
                    assert_eq!(upright.into_rgb8(), expected(&properties), "{properties:?}");
                }
            }
        }
    }

    #[test]
    fn a_crop_is_cut_from_the_centre_and_a_wrong_one_is_ignored() {
        let crop = |width: (u32, u32), offset: (i32, u32)| {
            let crop = Property::CleanAperture { width, height: (3, 1), horiz_offset: offset, vert_offset: (0, 1) };
            Geometry::new([crop].iter()).apply(picture()).pixels
        };
        assert_eq!(crop((2, 1), (0, 1)).dimensions(), (2, 3));
        assert_eq!(crop((2, 1), (0, 1)).get_pixel(0, 0).0[0], 10);
        assert_eq!(crop((2, 1), (1, 1)).get_pixel(0, 0).0[0], 20);
        for (width, offset) in [((9, 1), (0, 1)), ((2, 0), (0, 1)), ((2, 1), (i32::MIN, 1)), ((0, 1), (0, 0))] {
            assert_eq!(crop(width, offset).dimensions(), (4, 3), "{width:?} {offset:?}");
        }
    }
}
