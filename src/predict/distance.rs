//! Euclidean distances: from every pixel to the nearest one of a set, and which one that is.
//!
//! Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8, 2012:
//! along columns the nearest pixel is found by two sweeps, along rows by the lower envelope of parabolas.

use super::gray::Gray;

/// A set of pixels, `[height][width]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mask {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<bool>,
}

impl Mask {
    pub(crate) fn of(plane: &Gray, inside: impl Fn(f32) -> bool) -> Self {
        let pixels = plane.pixels.iter().map(|&v| inside(v)).collect();
        Self { width: plane.width, height: plane.height, pixels }
    }

    pub(crate) fn count(&self) -> usize {
        self.pixels.iter().filter(|&&inside| inside).count()
    }

    /// `[left, top, right, bottom]`, the last two exclusive; `None` for an empty set.
    pub(crate) fn bounds(&self) -> Option<[usize; 4]> {
        let rows = self.pixels.chunks_exact(self.width);
        let mut found: Option<[usize; 4]> = None;
        for (y, row) in rows.enumerate() {
            let Some(left) = row.iter().position(|&inside| inside) else { continue };
            let right = self.width - row.iter().rev().position(|&inside| inside).unwrap_or(0);
            let [l, t, r, _] = found.unwrap_or([left, y, right, y]);
            found = Some([l.min(left), t, r.max(right), y + 1]);
        }
        found
    }
}

/// For every pixel, the distance between its centre and that of the nearest pixel of the set, and that pixel's
/// index; infinite and `usize::MAX` where the set is empty.
pub(crate) struct Nearest {
    pub(crate) distance: Vec<f32>,
    pub(crate) index: Vec<usize>,
}

/// The row that no pixel of a column is nearest to.
const NOWHERE: usize = usize::MAX;

/// Finds the nearest pixel of `mask` for every pixel.
pub(crate) fn nearest(mask: &Mask) -> Nearest {
    let (width, height) = (mask.width, mask.height);
    let rows = nearest_rows(mask);
    let mut out =
        Nearest { distance: vec![f32::INFINITY; width * height], index: vec![NOWHERE; width * height] };
    // The parabola of column v[k] is lowest from z[k] to z[k + 1].
    let (mut v, mut z) = (Vec::with_capacity(width), Vec::with_capacity(width + 1));
    for y in 0..height {
        let rise = |x: usize| (y.abs_diff(rows[y * width + x]) as f64).powi(2);
        let crossing = |p: usize, q: usize| {
            let (pf, qf) = (p as f64, q as f64);
            ((rise(q) + qf * qf) - (rise(p) + pf * pf)) / (2.0 * (qf - pf))
        };
        v.clear();
        z.clear();
        for q in (0..width).filter(|&x| rows[y * width + x] != NOWHERE) {
            while v.last().is_some_and(|&p| crossing(p, q) <= z[v.len() - 1]) {
                v.pop();
                z.pop();
            }
            z.push(v.last().map_or(f64::NEG_INFINITY, |&p| crossing(p, q)));
            v.push(q);
        }
        let mut k = 0;
        for x in 0..width * usize::from(!v.is_empty()) {
            while k + 1 < v.len() && z[k + 1] < x as f64 {
                k += 1;
            }
            let across = (x.abs_diff(v[k]) as f64).powi(2);
            out.distance[y * width + x] = (across + rise(v[k])).sqrt() as f32;
            out.index[y * width + x] = rows[y * width + v[k]] * width + v[k];
        }
    }
    out
}

/// For every pixel, the row of the nearest pixel of the set in its own column.
fn nearest_rows(mask: &Mask) -> Vec<usize> {
    let width = mask.width;
    let mut rows = vec![NOWHERE; mask.pixels.len()];
    for (i, &inside) in mask.pixels.iter().enumerate() {
        rows[i] = match (inside, i >= width) {
            (true, _) => i / width,
            (false, true) => rows[i - width],
            (false, false) => NOWHERE,
        };
    }
    for i in (0..mask.pixels.len().saturating_sub(width)).rev() {
        let (y, below) = (i / width, rows[i + width]);
        let here = rows[i];
        if below != NOWHERE && (here == NOWHERE || below.abs_diff(y) < y.abs_diff(here)) {
            rows[i] = below;
        }
    }
    rows
}

/// The distance of each pixel's centre to the edge of the set, negative inside. The set must not be empty or
/// all there is.
pub(crate) fn signed(mask: &Mask) -> Gray {
    let outside = Mask { pixels: mask.pixels.iter().map(|&inside| !inside).collect(), ..*mask };
    let (to_ink, to_paper) = (nearest(mask), nearest(&outside));
    let pixels = mask.pixels.iter().enumerate();
    // Half a pixel lies between a centre and the edge of its pixel.
    let pixels =
        pixels.map(|(i, &inside)| if inside { 0.5 - to_paper.distance[i] } else { to_ink.distance[i] - 0.5 });
    Gray { width: mask.width, height: mask.height, pixels: pixels.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distance_is_that_of_the_nearest_pixel() {
        let stream = crate::rng::Stream::new(5, crate::rng::Purpose::Test, 0, 0);
        for (case, share) in [0.01, 0.05, 0.3, 0.9].into_iter().enumerate() {
            let (width, height) = (23, 17);
            let drawn = |i: usize| stream.uniform((case * 1000 + i) as u32) < share;
            let mask = Mask { width, height, pixels: (0..width * height).map(drawn).collect() };
            let found = nearest(&mask);
            for i in 0..width * height {
                let squared = |j: usize| {
                    (i % width).abs_diff(j % width).pow(2) + (i / width).abs_diff(j / width).pow(2)
                };
                let all = (0..width * height).filter(|&j| mask.pixels[j]).map(squared);
                let least = all.min().expect("some are drawn") as f32;
                assert!((found.distance[i] - least.sqrt()).abs() < 1e-4, "{i}");
                assert_eq!(squared(found.index[i]) as f32, least, "{i}");
            }
        }
    }

    #[test]
    fn nothing_is_infinitely_far() {
        let found = nearest(&Mask { width: 3, height: 2, pixels: vec![false; 6] });
        assert!(found.distance.iter().all(|d| d.is_infinite()));
    }
}
