//! MNIST's own form: a box of 20 pixels in a frame of 28, placed by the centre of mass.
//!
//! As MNIST was made (Y. LeCun's page; C. Yadav, L. Bottou, "Cold case: the lost MNIST digits", NeurIPS 2019,
//! which rebuilt it from the originals): the digit is area-resampled, its shape kept, until its longer side fills
//! the box; then the box is moved by whole pixels so that the centre of mass lies in the pixel right and below
//! of the centre:
//!
//! ```text
//! offset = trunc(15 - b)   for a centre of mass b, where pixel i reaches from i to i + 1
//! ```

use super::gray::Gray;

/// Side of the box as a share of the frame.
const BOX: (usize, usize) = (20, 28);
/// Less ink than this is not part of the digit's extent.
const EXTENT: f32 = 0.1;

/// Fits a digit (0 paper, 1 ink) into a frame of `(height, width)`, `[height][width]`, 255 ink.
pub(crate) fn framed(plane: &Gray, (height, width): (usize, usize)) -> Vec<u8> {
    let mut out = vec![0; height * width];
    let ink = super::distance::Mask::of(plane, |d| d > EXTENT);
    let Some([left, top, right, bottom]) = ink.bounds() else { return out };
    let side = (height.min(width) * BOX.0 / BOX.1).max(1);
    let longest = (right - left).max(bottom - top) as f64;
    let corner = |from: usize, to: usize| from as f64 - (longest - (to - from) as f64) / 2.0;
    let origin = (corner(left, right), corner(top, bottom));
    let boxed = plane.window(origin, (longest, longest), side, side);
    let strongest = boxed.pixels.iter().fold(0.0_f32, |a, &b| a.max(b)).max(1e-6);
    let bytes: Vec<u8> = boxed.pixels.iter().map(|d| (255.0 * d / strongest).round() as u8).collect();
    let (x, y) = centre_of_mass(&bytes, side);
    let (dx, dy) = (offset(x, width, side), offset(y, height, side));
    for row in 0..side {
        let at = (row + dy) * width + dx;
        out[at..at + side].copy_from_slice(&bytes[row * side..(row + 1) * side]);
    }
    out
}

/// Where the box begins, so that its centre of mass comes to the middle of the frame.
fn offset(centre: f64, frame: usize, side: usize) -> usize {
    ((frame / 2 + 1) as f64 - centre).clamp(0.0, (frame - side) as f64) as usize
}

/// Centre of mass `(x, y)` of `[..][width]` pixels, where pixel i reaches from i to i + 1.
pub(crate) fn centre_of_mass(pixels: &[u8], width: usize) -> (f64, f64) {
    let (mut sum, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
    for (i, &pixel) in pixels.iter().enumerate() {
        let mass = f64::from(pixel);
        sum += mass;
        x_sum += mass * ((i % width) as f64 + 0.5);
        y_sum += mass * ((i / width) as f64 + 0.5);
    }
    if sum > 0.0 { (x_sum / sum, y_sum / sum) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_is_filled_and_the_centre_of_mass_is_in_the_middle() {
        let plane = Gray::from_fn(200, 300, |x, y| f32::from(u8::from(x > 60 && y > 40 && x * 2 < y)));
        let out = framed(&plane, (28, 28));
        let (x, y) = centre_of_mass(&out, 28);
        assert!(x > 14.0 && x <= 15.0 && y > 14.0 && y <= 15.0, "{x} {y}");
        let rows = out.chunks(28).filter(|row| row.iter().any(|&p| p > 0)).count();
        assert_eq!(rows, 20);
        assert_eq!(out.iter().max(), Some(&255));
    }

    #[test]
    fn any_frame_has_its_box() {
        let plane = Gray::from_fn(10, 10, |_, _| 1.0);
        for (height, width) in [(1, 1), (2, 9), (64, 32), (28, 28), (5, 5)] {
            let out = framed(&plane, (height, width));
            assert_eq!(out.len(), height * width);
            assert!(out.contains(&255));
        }
    }
}
