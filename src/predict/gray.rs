//! A grey plane of floating-point numbers, and the filters that the stages share.

use std::ops::Range;

use image::GrayImage;

/// `[height][width]`, rows from the top. What the numbers mean is each stage's own matter: 0..255 for light,
/// 0..1 for ink.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gray {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<f32>,
}

impl Gray {
    /// The plane whose pixel at `(x, y)` is `f(x, y)`.
    pub(crate) fn from_fn(width: usize, height: usize, mut f: impl FnMut(usize, usize) -> f32) -> Self {
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            pixels.extend((0..width).map(|x| f(x, y)));
        }
        Self { width, height, pixels }
    }

    pub(crate) fn at(&self, x: usize, y: usize) -> f32 {
        self.pixels[y * self.width + x]
    }

    pub(crate) fn row(&self, y: usize) -> &[f32] {
        &self.pixels[y * self.width..(y + 1) * self.width]
    }

    pub(crate) fn map(&self, f: impl Fn(f32) -> f32) -> Self {
        Self { width: self.width, height: self.height, pixels: self.pixels.iter().map(|&v| f(v)).collect() }
    }

    /// The planes of two equally large pictures, pixel by pixel.
    pub(crate) fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let pixels = self.pixels.iter().zip(&other.pixels).map(|(&a, &b)| f(a, b)).collect();
        Self { width: self.width, height: self.height, pixels }
    }

    /// Area resampling of the whole plane: each new pixel is the mean over the area that it covers.
    pub(crate) fn resized(&self, width: usize, height: usize) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        self.window((0.0, 0.0), (self.width as f64, self.height as f64), width, height)
    }

    /// Area resampling of the rectangle with its corner at `origin` and of `size`, both `(x, y)` in pixels
    /// and free to be fractions. What lies outside the plane is 0.
    pub(crate) fn window(&self, origin: (f64, f64), size: (f64, f64), width: usize, height: usize) -> Self {
        let columns = overlaps(origin.0, size.0, width, self.width);
        let rows = overlaps(origin.1, size.1, height, self.height);
        reduce(&columns, &rows, |y, buffer| buffer.copy_from_slice(self.row(y)), self.width)
    }

    /// The picture shrunk by area, if it must be, so that no side is longer than `longest`.
    pub(crate) fn shrunk(&self, longest: usize) -> Self {
        let (width, height) = shrunk_size(self.width, self.height, longest);
        self.resized(width, height)
    }

    /// Bilinear value at a point, where pixel centres lie at halves; beyond the edge, the edge's value.
    pub(crate) fn bilinear(&self, x: f64, y: f64) -> f32 {
        let (x0, x1, fx) = neighbours(x, self.width);
        let (y0, y1, fy) = neighbours(y, self.height);
        let top = self.at(x0, y0) * (1.0 - fx) + self.at(x1, y0) * fx;
        let bottom = self.at(x0, y1) * (1.0 - fx) + self.at(x1, y1) * fx;
        top * (1.0 - fy) + bottom * fy
    }

    /// Cubic value at a point (Catmull and Rom), where pixel centres lie at halves; beyond the edge, 0.
    pub(crate) fn cubic(&self, x: f64, y: f64) -> f32 {
        let ((x0, wx), (y0, wy)) = (catmull_rom(x - 0.5), catmull_rom(y - 0.5));
        let mut sum = 0.0;
        for (y, wy) in (y0..).zip(wy).filter(|(y, _)| (0..self.height as isize).contains(y)) {
            for (x, wx) in (x0..).zip(wx).filter(|(x, _)| (0..self.width as isize).contains(x)) {
                sum += wx * wy * self.at(x as usize, y as usize);
            }
        }
        sum
    }

    /// Bilinear enlargement.
    pub(crate) fn enlarged(&self, width: usize, height: usize) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let (sx, sy) = (self.width as f64 / width as f64, self.height as f64 / height as f64);
        Self::from_fn(width, height, |x, y| self.bilinear((x as f64 + 0.5) * sx, (y as f64 + 0.5) * sy))
    }

    /// Sums over the `(2 radius + 1)` squared neighbours that lie in the picture.
    pub(crate) fn box_sum(&self, radius: usize) -> Self {
        let across = running_sums(self, radius);
        running_sums(&across.transposed(), radius).transposed()
    }

    /// The 3x3 binomial filter, 1 2 1 in both directions; the edge is repeated.
    pub(crate) fn binomial(&self) -> Self {
        let across = Self::from_fn(self.width, self.height, |x, y| {
            let (before, after) = (x.saturating_sub(1), (x + 1).min(self.width - 1));
            0.25 * (self.at(before, y) + self.at(after, y)) + 0.5 * self.at(x, y)
        });
        Self::from_fn(self.width, self.height, |x, y| {
            let (before, after) = (y.saturating_sub(1), (y + 1).min(self.height - 1));
            0.25 * (across.at(x, before) + across.at(x, after)) + 0.5 * across.at(x, y)
        })
    }

    pub(crate) fn transposed(&self) -> Self {
        Self::from_fn(self.height, self.width, |x, y| self.at(y, x))
    }

    /// For people to look at: `scale` is the number of grey levels of 1.
    pub(crate) fn to_image(&self, scale: f32) -> GrayImage {
        GrayImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            image::Luma([(self.at(x as usize, y as usize) * scale).round().clamp(0.0, 255.0) as u8])
        })
    }
}

/// What each of `out` equal parts of `size` pixels from `origin` takes from the pixels `0..len`: which pixels,
/// and the share of the part that each covers.
pub(crate) fn overlaps(origin: f64, size: f64, out: usize, len: usize) -> Vec<(Range<usize>, Vec<f32>)> {
    let step = size / out as f64;
    let part = |i: usize| {
        let (from, to) = (origin + i as f64 * step, origin + (i + 1) as f64 * step);
        let first = from.floor().clamp(0.0, len as f64) as usize;
        let last = to.ceil().clamp(first as f64, len as f64) as usize;
        let shares = (first..last).map(|p| (((p + 1) as f64).min(to) - (p as f64).max(from)).max(0.0) / step);
        (first..last, shares.map(|share| share as f32).collect())
    };
    (0..out).map(part).collect()
}

/// Area resampling by the given shares; `read(y, buffer)` fills in row `y` of the source.
pub(crate) fn reduce(
    columns: &[(Range<usize>, Vec<f32>)],
    rows: &[(Range<usize>, Vec<f32>)],
    mut read: impl FnMut(usize, &mut [f32]),
    source_width: usize,
) -> Gray {
    let mut buffer = vec![0.0; source_width];
    let mut pixels = vec![0.0; columns.len() * rows.len()];
    for ((ys, y_shares), out) in rows.iter().zip(pixels.chunks_exact_mut(columns.len().max(1))) {
        for (y, y_share) in ys.clone().zip(y_shares) {
            read(y, &mut buffer);
            for ((xs, x_shares), out) in columns.iter().zip(&mut *out) {
                let sum: f32 = buffer[xs.clone()].iter().zip(x_shares).map(|(v, share)| v * share).sum();
                *out += y_share * sum;
            }
        }
    }
    Gray { width: columns.len(), height: rows.len(), pixels }
}

/// The size with the same shape whose longer side is at most `longest`.
pub(crate) fn shrunk_size(width: usize, height: usize, longest: usize) -> (usize, usize) {
    let long = width.max(height);
    if long <= longest {
        return (width, height);
    }
    let side = |side: usize| ((side * longest + long / 2) / long).max(1);
    (side(width), side(height))
}

/// The two pixels round a coordinate and the weight of the second.
fn neighbours(at: f64, len: usize) -> (usize, usize, f32) {
    let at = (at - 0.5).clamp(0.0, (len - 1) as f64);
    let first = at.floor() as usize;
    (first, (first + 1).min(len - 1), (at - at.floor()) as f32)
}

/// The first of the four pixels round a coordinate, and their weights.
fn catmull_rom(at: f64) -> (isize, [f32; 4]) {
    let floor = at.floor();
    let t = (at - floor) as f32;
    let weights = [
        -0.5 * t + t * t - 0.5 * t * t * t,
        1.0 - 2.5 * t * t + 1.5 * t * t * t,
        0.5 * t + 2.0 * t * t - 1.5 * t * t * t,
        -0.5 * t * t + 0.5 * t * t * t,
    ];
    (floor as isize - 1, weights)
}

/// For each pixel, the sum over its row from `radius` before to `radius` after.
fn running_sums(plane: &Gray, radius: usize) -> Gray {
    let mut pixels = Vec::with_capacity(plane.pixels.len());
    let mut before = vec![0.0_f64; plane.width + 1];
    for y in 0..plane.height {
        for (x, &v) in plane.row(y).iter().enumerate() {
            before[x + 1] = before[x] + f64::from(v);
        }
        let sum = |x: usize| before[(x + radius + 1).min(plane.width)] - before[x.saturating_sub(radius)];
        pixels.extend((0..plane.width).map(|x| sum(x) as f32));
    }
    Gray { width: plane.width, height: plane.height, pixels }
}

/// The value below which the share `part` of `values` lies; 0 if there are none.
pub(crate) fn quantile(values: &mut [f32], part: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let index = ((values.len() - 1) as f64 * part).round() as usize;
    *values.select_nth_unstable_by(index, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_resampling_keeps_the_mean_and_knows_fractions() {
        let plane = Gray::from_fn(3, 1, |x, _| x as f32);
        let halves = plane.resized(2, 1).pixels;
        assert!((halves[0] - 1.0 / 3.0).abs() < 1e-6 && (halves[1] - 5.0 / 3.0).abs() < 1e-6, "{halves:?}");
        let plane = Gray::from_fn(17, 11, |x, y| ((x * 7 + y * 13) % 29) as f32);
        let mean = |plane: &Gray| plane.pixels.iter().sum::<f32>() / plane.pixels.len() as f32;
        assert!((mean(&plane) - mean(&plane.resized(5, 4))).abs() < 1e-4);
        assert!((mean(&plane) - mean(&plane.resized(40, 23))).abs() < 1e-4);
    }

    #[test]
    fn a_window_beyond_the_picture_is_padded_with_nothing() {
        let plane = Gray::from_fn(2, 2, |_, _| 1.0);
        assert_eq!(plane.window((-2.0, 0.0), (4.0, 2.0), 4, 2).pixels, [0., 0., 1., 1., 0., 0., 1., 1.]);
    }

    #[test]
    fn box_sums_stop_at_the_edge() {
        let plane = Gray::from_fn(3, 3, |_, _| 1.0);
        assert_eq!(plane.box_sum(1).pixels, [4., 6., 4., 6., 9., 6., 4., 6., 4.]);
        assert_eq!(plane.box_sum(100).pixels, [9.0; 9]);
    }

    #[test]
    fn shapes_survive_shrinking() {
        assert_eq!(shrunk_size(4000, 3000, 1000), (1000, 750));
        assert_eq!(shrunk_size(10_000, 1, 1000), (1000, 1));
        assert_eq!(shrunk_size(30, 20, 1000), (30, 20));
    }
}
