//! Removes the noise of lossy compression from drawings.

use image::{Rgb, RgbImage};

use super::color::squared_distance;
use super::deadline::Deadline;
use super::outline::NotDrawn;

/// Distance in pixels from which colours are averaged.
const REACH: u32 = 2;

/// Number of times that all pixels are averaged.
const PASSES: usize = 2;

/// Averages each pixel with those around it whose colours differ by less than `noise`, 0 to 442. Edges stay sharp,
/// because colours on the other side differ more. Nothing happens if `noise` is 0.
///
/// Source: Lee, "Digital image smoothing and the sigma filter", Computer Vision, Graphics, and Image Processing, 1983.
///
/// # Errors
/// [`NotDrawn::Late`] if the deadline passes; some pixels may have been averaged by then.
pub fn denoise(pixels: &mut RgbImage, noise: f32, deadline: &Deadline) -> Result<(), NotDrawn> {
    if noise <= 0.0 {
        return Ok(());
    }
    for _ in 0..PASSES {
        let before = pixels.clone();
        for (y, row) in pixels.enumerate_rows_mut() {
            deadline.check()?;
            for (x, _, pixel) in row {
                *pixel = mean_around(&before, (x, y), noise * noise);
            }
        }
    }
    Ok(())
}

fn mean_around(pixels: &RgbImage, (x, y): (u32, u32), squared_noise: f32) -> Rgb<u8> {
    let own = pixels.get_pixel(x, y).0;
    let (mut sum, mut count) = ([0_u32; 3], 0);
    for y in y.saturating_sub(REACH)..=(y + REACH).min(pixels.height() - 1) {
        for x in x.saturating_sub(REACH)..=(x + REACH).min(pixels.width() - 1) {
            let color = pixels.get_pixel(x, y).0;
            if color == own || squared_distance(color, own) < squared_noise {
                (0..3).for_each(|i| sum[i] += u32::from(color[i]));
                count += 1;
            }
        }
    }
    Rgb(sum.map(|channel| ((channel + count / 2) / count) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_goes_and_an_edge_stays() {
        let mut pixels = RgbImage::from_fn(40, 40, |x, y| {
            let noise = ((x * 7 + y * 13) % 9) as u8;
            Rgb(if x < 20 { [20 + noise, 90, 200 - noise] } else { [240 + noise; 3] })
        });
        denoise(&mut pixels, 24.0, &Deadline::never()).expect("there is time");
        for (x, _, pixel) in pixels.enumerate_pixels() {
            let clean: [u8; 3] = if x < 20 { [24, 90, 196] } else { [244; 3] };
            assert!((0..3).all(|i| pixel[i].abs_diff(clean[i]) <= 2), "{x}: {pixel:?}");
        }
        let before = pixels.clone();
        denoise(&mut pixels, 0.0, &Deadline::when(|_| true)).expect("there is nothing to do");
        assert_eq!(pixels, before);
        assert_eq!(denoise(&mut pixels, 9.0, &Deadline::when(|_| true)), Err(NotDrawn::Late));
    }
}
