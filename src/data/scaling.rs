//! From bytes to the numbers a network sees.
//!
//! ```text
//! unit         x = p / 255
//! raw          x = p
//! standardize  x = (p - mean) / deviation,  both over the training rows
//! l2-columns   x[y][c] = p[y][c] / sqrt(sum over y of p[y][c]^2),  a zero norm divides by one
//! ```
//! The last is `tf.keras.utils.normalize(x, axis=1)` of `(N, height, width)`.

use std::ops::Range;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::Images;
use crate::error::Error;

/// How pixels are scaled, as a recipe names it.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// 0..1.
    #[default]
    Unit,
    /// 0..255 as they are.
    Raw,
    /// Each column of each image to Euclidean length one.
    L2Columns,
    /// Mean zero and deviation one over the training rows.
    Standardize,
}

impl Scaling {
    /// Works out the numbers from images `rows` of `train`: the rows trained on, without those for
    /// validation.
    ///
    /// # Panics
    /// If `rows` goes beyond the images.
    pub fn transform(self, train: &Images, rows: Range<usize>) -> PixelTransform {
        match self {
            Self::Unit => PixelTransform { mean: 0.0, divisor: 255.0, l2_columns: false },
            Self::Raw => PixelTransform { mean: 0.0, divisor: 1.0, l2_columns: false },
            Self::L2Columns => PixelTransform { mean: 0.0, divisor: 1.0, l2_columns: true },
            Self::Standardize => {
                let moments = Moments::of(&histogram(train.rows(rows)));
                // Blank pictures have no deviation; they become zeros rather than NaN.
                let divisor = if moments.deviation > 0.0 { moments.deviation as f32 } else { 1.0 };
                PixelTransform { mean: moments.mean as f32, divisor, l2_columns: false }
            }
        }
    }
}

/// What to do to a pixel p: x = (p - mean) / divisor, or p divided by its column's norm. Stored with a model,
/// so that it sees the same numbers ever after.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PixelTransform {
    /// Subtracted first; in units of a pixel, 0..255.
    pub mean: f32,
    /// Divided by then; in units of a pixel, not zero.
    pub divisor: f32,
    /// Divide by the norms of the columns instead; `mean` and `divisor` are not used.
    pub l2_columns: bool,
}

impl PixelTransform {
    /// Refuses numbers that no pixels have, and that could make infinities out of them, as a hand-made model could hold.
    ///
    /// # Errors
    /// [`Error::BadFile`] if the mean is not within a million of 0, or the divisor not between a millionth and a million.
    pub fn check(&self) -> Result<()> {
        if (-1e6..=1e6).contains(&self.mean) && (1e-6..=1e6).contains(&self.divisor) {
            return Ok(());
        }
        bail!(Error::BadFile(format!(
            "pixel scaling has mean {} and divisor {}, expected a mean from -1e6 to 1e6 and a divisor from 1e-6 to 1e6; \
             the model file is damaged: train or download it again",
            self.mean, self.divisor
        )))
    }

    /// The reference: scales whole images, `[images][height][width]` to the same shape. Columns' norms are
    /// rounded once from f64; the other scalings are two operations in f32.
    ///
    /// # Panics
    /// If `pixels` are not whole images of `height` times `width`.
    pub fn apply(&self, pixels: &[u8], height: usize, width: usize) -> Vec<f32> {
        let size = height * width;
        assert!(size > 0 && pixels.len().is_multiple_of(size), "{} pixels of {height}x{width}", pixels.len());
        if self.l2_columns {
            return pixels.chunks_exact(size).flat_map(|image| columns_normalized(image, width)).collect();
        }
        let table: Vec<f32> = (0..=255).map(|p| (p as f32 - self.mean) / self.divisor).collect();
        pixels.iter().map(|&p| table[usize::from(p)]).collect()
    }
}

/// One image, each column divided by its norm.
fn columns_normalized(image: &[u8], width: usize) -> Vec<f32> {
    let mut squares = vec![0_u64; width];
    for row in image.chunks_exact(width) {
        for (square, &p) in squares.iter_mut().zip(row) {
            *square += u64::from(p) * u64::from(p);
        }
    }
    let norms: Vec<f64> = squares.iter().map(|&square| (square.max(1) as f64).sqrt()).collect();
    let rows = image.chunks_exact(width);
    rows.flat_map(|row| row.iter().zip(&norms).map(|(&p, norm)| (f64::from(p) / norm) as f32)).collect()
}

/// How often each byte occurs.
pub(super) fn histogram(pixels: &[u8]) -> [u64; 256] {
    // Four tables, because runs of equal pixels would make one wait for its own last increment.
    let mut tables = [[0_u64; 256]; 4];
    let (quads, rest) = pixels.as_chunks::<4>();
    for quad in quads {
        for (table, &p) in tables.iter_mut().zip(quad) {
            table[usize::from(p)] += 1;
        }
    }
    for &p in rest {
        tables[0][usize::from(p)] += 1;
    }
    std::array::from_fn(|p| tables.iter().map(|table| table[p]).sum())
}

/// Of pixels, in units of a pixel (0..255).
pub(super) struct Moments {
    pub(super) mean: f64,
    /// With division by n, as NumPy's `std`.
    pub(super) deviation: f64,
}

impl Moments {
    /// Exact but for the last roundings; zeros if there are no pixels.
    pub(super) fn of(histogram: &[u64; 256]) -> Self {
        let sum = |power: u32| -> u128 {
            histogram.iter().enumerate().map(|(p, &n)| u128::from(n) * (p as u128).pow(power)).sum()
        };
        let (count, first, second) = (sum(0), sum(1), sum(2));
        let mean = first as f64 / count.max(1) as f64;
        // n sum(p^2) - sum(p)^2 in integers: nothing cancels. At most 255^2 n^2 < 2^128 for n < 2^56.
        let deviation = ((count * second - first * first) as f64).sqrt() / count.max(1) as f64;
        Self { mean, deviation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_images() -> Images {
        Images::new("f", 2, 2, 3, vec![3, 0, 255, 4, 0, 0, 1, 2, 3, 4, 5, 6]).expect("sizes agree")
    }

    #[test]
    fn unit_and_raw_are_what_they_say() {
        let images = two_images();
        let unit = Scaling::Unit.transform(&images, 0..2).apply(&images.pixels, 2, 3);
        assert_eq!(unit[..3], [3.0 / 255.0, 0.0, 1.0]);
        let raw = Scaling::Raw.transform(&images, 0..2).apply(&images.pixels, 2, 3);
        assert_eq!(raw[..4], [3.0, 0.0, 255.0, 4.0]);
    }

    /// `keras.utils.normalize(x, axis=1)`: columns of each image, and a zero column stays zero.
    #[test]
    fn l2_columns_divides_by_the_norm_over_the_rows() {
        let images = two_images();
        let x = Scaling::L2Columns.transform(&images, 0..2).apply(&images.pixels, 2, 3);
        assert_eq!(x[..6], [0.6, 0.0, 1.0, 0.8, 0.0, 0.0]);
        let second = [1.0 / 17_f64.sqrt(), 2.0 / 29_f64.sqrt(), 3.0 / 45_f64.sqrt()];
        assert_eq!(x[6..9], second.map(|x| x as f32));
    }

    #[test]
    fn standardize_looks_at_the_given_rows_only() {
        let images = two_images();
        let transform = Scaling::Standardize.transform(&images, 1..2);
        assert_eq!(transform.mean, 3.5);
        assert!((f64::from(transform.divisor) - (35.0_f64 / 12.0).sqrt()).abs() < 1e-7);
        let x = transform.apply(images.rows(1..2), 2, 3);
        assert!(x.iter().sum::<f32>().abs() < 1e-6);
        assert!((x.iter().map(|x| x * x).sum::<f32>() / 6.0 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn blank_images_become_zeros() {
        let blank = Images::new("f", 1, 1, 5, vec![7; 5]).expect("sizes agree");
        let transform = Scaling::Standardize.transform(&blank, 0..1);
        assert_eq!(transform.apply(&blank.pixels, 1, 5), [0.0; 5]);
        assert!(transform.check().is_ok());
    }

    #[test]
    fn names_and_transforms_survive_json() -> Result<()> {
        assert_eq!(serde_json::to_string(&Scaling::L2Columns)?, "\"l2-columns\"");
        assert_eq!(serde_json::from_str::<Scaling>("\"standardize\"")?, Scaling::Standardize);
        let transform = PixelTransform { mean: 33.318_42, divisor: 78.567_49, l2_columns: false };
        assert_eq!(serde_json::from_str::<PixelTransform>(&serde_json::to_string(&transform)?)?, transform);
        Ok(())
    }

    #[test]
    fn numbers_that_no_pixels_have_are_refused() {
        let bad = [
            (0.0, 0.0),
            (0.0, f32::NAN),
            (f32::NAN, 1.0),
            (0.0, -1.0),
            (0.0, 1e-45),
            (1e38, 1.0),
            (0.0, 1e38),
        ];
        for (mean, divisor) in bad {
            assert!(PixelTransform { mean, divisor, l2_columns: false }.check().is_err(), "{mean} {divisor}");
        }
    }

    #[test]
    fn the_histogram_counts_every_pixel() {
        let pixels: Vec<u8> = (0..1023_u32).map(|i| (i * i % 256) as u8).collect();
        let counts = histogram(&pixels);
        for p in 0..=255_u8 {
            assert_eq!(counts[usize::from(p)], pixels.iter().filter(|&&x| x == p).count() as u64);
        }
    }
}
