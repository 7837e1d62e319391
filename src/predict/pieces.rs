//! Connected pieces of ink.

use super::distance::Mask;
use super::gray::{Gray, quantile};

/// The edge of a stroke, as a share of its own blackness.
pub(crate) const EDGE: f32 = 0.45;

/// No piece.
pub(crate) const NONE: u32 = u32::MAX;

/// A connected piece (8 neighbours) of a mask.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Pixels in it.
    pub(crate) area: usize,
    /// `[left, top, right, bottom]`, the last two exclusive.
    pub(crate) bounds: [usize; 4],
    /// Pixels on the left, top, right and bottom edge of the picture.
    pub(crate) on_edge: [usize; 4],
    /// How black the ink is where it is blackest: the 98th percentile.
    pub(crate) level: f32,
    /// Pixels that are three quarters as black at least.
    pub(crate) solid: usize,
    /// Width of the stroke in pixels, of length-like pieces: four times the mean distance to the edge.
    pub(crate) stroke: f32,
}

impl Piece {
    pub(crate) fn width(&self) -> usize {
        self.bounds[2] - self.bounds[0]
    }

    pub(crate) fn height(&self) -> usize {
        self.bounds[3] - self.bounds[1]
    }

    pub(crate) fn long_side(&self) -> usize {
        self.width().max(self.height())
    }

    pub(crate) fn touches_edge(&self) -> bool {
        self.on_edge.iter().any(|&n| n > 0)
    }
}

/// The piece of every pixel ([`NONE`] for paper), and the pieces in the order of their first pixels.
pub(crate) struct Pieces {
    pub(crate) labels: Vec<u32>,
    pub(crate) all: Vec<Piece>,
}

/// Finds the connected pieces of `mask`; `ink` gives their levels. Strokes are measured by [`measure_strokes`].
pub(crate) fn pieces(mask: &Mask, ink: &Gray) -> Pieces {
    let (width, height) = (mask.width, mask.height);
    let mut labels = vec![NONE; mask.pixels.len()];
    let mut all = Vec::new();
    let mut found: Vec<usize> = Vec::new();
    for start in 0..mask.pixels.len() {
        if !mask.pixels[start] || labels[start] != NONE {
            continue;
        }
        let label = all.len() as u32;
        labels[start] = label;
        found.clear();
        found.push(start);
        let mut next = 0;
        while next < found.len() {
            let (x, y) = (found[next] % width, found[next] / width);
            next += 1;
            for ny in y.saturating_sub(1)..(y + 2).min(height) {
                for nx in x.saturating_sub(1)..(x + 2).min(width) {
                    let at = ny * width + nx;
                    if mask.pixels[at] && labels[at] == NONE {
                        labels[at] = label;
                        found.push(at);
                    }
                }
            }
        }
        all.push(describe(&found, ink));
    }
    Pieces { labels, all }
}

fn describe(found: &[usize], ink: &Gray) -> Piece {
    let (width, height) = (ink.width, ink.height);
    let mut bounds = [usize::MAX, usize::MAX, 0, 0];
    let mut on_edge = [0; 4];
    for &at in found {
        let (x, y) = (at % width, at / width);
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x + 1), bounds[3].max(y + 1)];
        for (count, touches) in on_edge.iter_mut().zip([x == 0, y == 0, x + 1 == width, y + 1 == height]) {
            *count += usize::from(touches);
        }
    }
    let mut levels: Vec<f32> = found.iter().map(|&at| ink.pixels[at]).collect();
    let level = quantile(&mut levels, 0.98);
    let solid = levels.iter().filter(|&&ink| ink >= 0.75 * level).count();
    Piece { area: found.len(), bounds, on_edge, level, solid, stroke: 0.0 }
}

/// The ink of the `chosen` pieces above the edge level of each: pens differ, and a ruled line that a digit touches
/// is fainter than the digit.
pub(crate) fn cut_at_edges(pieces: &Pieces, ink: &Gray, chosen: impl Fn(&Piece) -> bool) -> Mask {
    let levels: Vec<f32> = pieces
        .all
        .iter()
        .map(|piece| if chosen(piece) { EDGE * piece.level } else { f32::INFINITY })
        .collect();
    let is_ink = |(&d, &label): (&f32, &u32)| label != NONE && d > levels[label as usize];
    let pixels = ink.pixels.iter().zip(&pieces.labels).map(is_ink).collect();
    Mask { width: ink.width, height: ink.height, pixels }
}

/// Fills in [`Piece::stroke`] from the signed distance to the edge of the ink ([`super::distance::signed`]).
/// Across a stroke of width w the distance to the edge rises evenly to w / 2, so its mean is w / 4.
pub(crate) fn measure_strokes(pieces: &mut Pieces, signed: &Gray) {
    let mut sums = vec![0.0_f64; pieces.all.len()];
    for (&label, &distance) in pieces.labels.iter().zip(&signed.pixels) {
        if label != NONE {
            sums[label as usize] += f64::from(-distance);
        }
    }
    for (piece, sum) in pieces.all.iter_mut().zip(sums) {
        piece.stroke = (4.0 * sum / piece.area as f64) as f32;
    }
}
