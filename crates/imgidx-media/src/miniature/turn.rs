//! The eight ways to turn and mirror a picture.

/// A rotation by a multiple of 90°, mirrored or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Turn {
    /// Whether rows become columns. This comes first.
    transposed: bool,
    /// Whether left and right are exchanged.
    mirrored: bool,
    /// Whether top and bottom are exchanged.
    flipped: bool,
}

impl Turn {
    /// The picture as it is.
    pub const NONE: Self = Self::new(false, false, false);

    /// All others that are needed to find turned pairs: if one picture is the other turned left, the other is that one
    /// turned right, so only one of these two is here.
    pub const OTHERS: [Self; 6] = [
        Self::new(false, true, false),
        Self::new(false, false, true),
        Self::new(false, true, true),
        Self::new(true, false, false),
        Self::new(true, true, false),
        Self::new(true, true, true),
    ];

    const fn new(transposed: bool, mirrored: bool, flipped: bool) -> Self {
        Self { transposed, mirrored, flipped }
    }

    /// The turned version of `side` × `side` cells.
    pub(super) fn apply<T: Copy, const N: usize>(self, cells: &[T; N], side: usize) -> [T; N] {
        std::array::from_fn(|at| {
            let reversed = |at: usize, is_reversed: bool| if is_reversed { side - 1 - at } else { at };
            let (x, y) = (reversed(at % side, self.mirrored), reversed(at / side, self.flipped));
            cells[if self.transposed { x * side + y } else { y * side + x }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{miniature, picture};
    use super::*;
    use image::RgbImage;
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};

    #[test]
    fn a_turned_picture_is_found_by_one_of_the_turns_from_one_side_or_the_other() {
        let original = picture(96, 96);
        let transposed = flip_horizontal(&rotate90(&original));
        let turned: [RgbImage; 7] = [
            rotate90(&original),
            rotate180(&original),
            rotate270(&original),
            flip_horizontal(&original),
            flip_vertical(&original),
            transposed.clone(),
            rotate180(&transposed),
        ];
        let original = miniature(&original);
        for (i, other) in turned.iter().map(miniature).enumerate() {
            let is_close = |a: &super::super::Miniature, b: &super::super::Miniature| {
                a.luma.iter().zip(b.luma).all(|(a, b)| a.abs_diff(b) <= 2) && a.chroma == b.chroma
            };
            let is_found =
                |turn: &Turn| is_close(&original.turned(*turn), &other) || is_close(&other.turned(*turn), &original);
            assert!(Turn::OTHERS.iter().any(is_found) && !is_found(&Turn::NONE), "{i}");
        }
    }
}
