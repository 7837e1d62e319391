//! One digit at a size of its own: cut out, its broken strokes joined, and their width brought to MNIST's.
//!
//! MNIST's pictures came of black-and-white ones by area resampling; their grey is nothing but the edges of
//! strokes. So the digit is enlarged or shrunk until its longer side has [`SIDE`] pixels, is made black and
//! white there, and the last stage makes the grey anew.

use std::collections::BTreeMap;

use super::distance::{Mask, nearest, signed};
use super::gray::Gray;
use super::pieces::{EDGE, NONE, pieces};
use super::shapes::{Found, Shape, between};

/// The longer side of a digit at this stage, in pixels: eight for each of MNIST's twenty.
const SIDE: usize = 160;
/// Paper round it, for strokes to grow into.
const MARGIN: usize = 32;
/// Gaps up to this many stroke widths are joined.
const JOINED: f32 = 1.2;
/// Width of a stroke as a share of the box, least and most: the 5th and 95th percentiles of the training set, as
/// [`stroke_width`] measures them.
const STROKE: [f32; 2] = [0.09, 0.19];

/// A digit of [`SIDE`] pixels.
pub(crate) struct Stroked {
    /// 0 paper, 1 ink.
    pub(crate) plane: Gray,
    /// The same before its strokes were touched, for explanation.
    pub(crate) before: Gray,
    /// Width of the strokes as a share of the box, as they were.
    pub(crate) stroke: f32,
}

/// Cuts a digit out of the ink and brings its strokes to MNIST's width.
pub(crate) fn stroked(ink: &Gray, found: &Found, shape: &Shape) -> Stroked {
    let soft = cut_out(ink, found, shape);
    let mut mask = Mask::of(&soft, |d| d > EDGE);
    let scale = SIDE as f32 / shape.long_side() as f32;
    let joined = join(&mut mask, found.line_gap as f32 * scale);
    let (Some([left, top, right, bottom]), true) = (mask.bounds(), mask.count() < mask.pixels.len()) else {
        return Stroked { plane: soft.clone(), before: soft, stroke: 0.0 };
    };
    let distance = signed(&mask);
    let side = (right - left).max(bottom - top) as f32;
    let stroke = stroke_width(&distance);
    let wanted = (stroke / side).clamp(STROKE[0], STROKE[1]);
    // Growing by g on either side makes both larger: (stroke + 2 g) / (side + 2 g) = wanted.
    let grow = (wanted * side - stroke) / (2.0 * (1.0 - wanted));
    let unchanged = !joined && grow.abs() < 0.25;
    let plane = if unchanged {
        sharpened(&soft, shape.long_side())
    } else {
        distance.map(|d| (0.5 + grow - d).clamp(0.0, 1.0))
    };
    Stroked { plane, before: soft, stroke: stroke / side }
}

/// The digit alone, its ink from 0 to 1, at the size of this stage with [`MARGIN`] round it.
fn cut_out(ink: &Gray, found: &Found, shape: &Shape) -> Gray {
    let own = |x: usize, y: usize| {
        let i = y * ink.width + x;
        let label = found.nearest.index.get(i).map_or(NONE, |&at| found.pieces.labels[at]);
        found.nearest.distance[i] <= 2.5 && shape.members.contains(&label)
    };
    let [left, top, ..] = shape.bounds;
    // Two pixels of soft edge all round; beyond the edge of the picture there is paper.
    let (width, height) = (shape.width() + 4, shape.height() + 4);
    let crop = Gray::from_fn(width, height, |x, y| {
        let inside = |at: usize, from: usize, len: usize| (at + from).checked_sub(2).filter(|&p| p < len);
        match (inside(x, left, ink.width), inside(y, top, ink.height)) {
            (Some(x), Some(y)) if own(x, y) => (ink.at(x, y) / shape.level).min(1.0),
            _ => 0.0,
        }
    });
    let scale = SIDE as f64 / shape.long_side() as f64;
    let side = |len: usize| ((len as f64 * scale).round() as usize).max(1) + 2 * MARGIN;
    let (out_width, out_height) = (side(width), side(height));
    let margin = MARGIN as f64 / scale;
    if scale > 1.0 {
        Gray::from_fn(out_width, out_height, |x, y| {
            crop.cubic((x as f64 + 0.5) / scale - margin, (y as f64 + 0.5) / scale - margin)
        })
    } else {
        let size = (out_width as f64 / scale, out_height as f64 / scale);
        crop.window((-margin, -margin), size, out_width, out_height)
    }
}

/// Edges as sharp as the digit's own size allows: one of hundreds of pixels is black and white, one of twenty
/// already has MNIST's grey.
fn sharpened(soft: &Gray, long_side: usize) -> Gray {
    let steepness = (long_side as f32 / 20.0).clamp(1.0, 16.0);
    let from = EDGE * (1.0 - 1.0 / steepness);
    soft.map(|d| ((d - from) * steepness).clamp(0.0, 1.0))
}

/// Mean width of the strokes in pixels, from the signed distance to their edge: across a stroke of width w the
/// distance rises evenly to w / 2, so its mean is w / 4.
pub(crate) fn stroke_width(signed: &Gray) -> f32 {
    let inside: Vec<f32> = signed.pixels.iter().filter(|&&d| d < 0.0).map(|d| -d).collect();
    4.0 * inside.iter().sum::<f32>() / inside.len().max(1) as f32
}

/// A gap's length, and the pixels on either side of it.
type Bridge = (f32, usize, usize);

/// Bridges small gaps between pieces of a digit with a stroke; says whether there were any. A ruled line that was
/// taken out leaves a gap of `line_gap`.
fn join(mask: &mut Mask, line_gap: f32) -> bool {
    let blank = Gray::from_fn(mask.width, mask.height, |_, _| 0.0);
    let parts = pieces(mask, &blank);
    if parts.all.len() < 2 {
        return false;
    }
    let width = mask.width;
    let stroke = stroke_width(&signed(mask));
    let near = nearest(mask);
    let mut bridges: BTreeMap<(u32, u32), Vec<Bridge>> = BTreeMap::new();
    for i in 0..mask.pixels.len() {
        for j in [i + 1, i + width].into_iter().filter(|&j| j < mask.pixels.len()) {
            let (from, to) = (near.index[i], near.index[j]);
            let (a, b) = (parts.labels[from], parts.labels[to]);
            let gap = between(from, to, width);
            if a != b && gap <= JOINED * stroke + line_gap {
                bridges.entry((a.min(b), a.max(b))).or_default().push((gap, from, to));
            }
        }
    }
    for pairs in bridges.values() {
        // The ends of two strokes face each other over their whole width: the middle is where the pen went.
        let least = pairs.iter().fold(f32::INFINITY, |least, pair| least.min(pair.0));
        let facing: Vec<_> = pairs.iter().filter(|pair| pair.0 <= least + 1.0).collect();
        let &(_, from, to) = facing[facing.len() / 2];
        draw(mask, from, to, 0.45 * stroke);
    }
    !bridges.is_empty()
}

/// Draws a stroke of `radius` from pixel to pixel.
fn draw(mask: &mut Mask, from: usize, to: usize, radius: f32) {
    let point = |i: usize| ((i % mask.width) as f32, (i / mask.width) as f32);
    let ((x0, y0), (x1, y1)) = (point(from), point(to));
    let (dx, dy) = (x1 - x0, y1 - y0);
    let length = (dx * dx + dy * dy).max(1e-6);
    for (i, pixel) in mask.pixels.iter_mut().enumerate() {
        let (x, y) = ((i % mask.width) as f32 - x0, (i / mask.width) as f32 - y0);
        let along = ((x * dx + y * dy) / length).clamp(0.0, 1.0);
        *pixel |= (x - along * dx).hypot(y - along * dy) <= radius;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSet;

    #[test]
    fn the_range_of_strokes_is_that_of_the_training_set() {
        let data = DataSet::embedded().expect("is part of the program");
        let mut shares: Vec<f32> = (0..1000).map(|i| share(data.train.images.rows(i..i + 1))).collect();
        shares.sort_by(f32::total_cmp);
        assert!((shares[50] - STROKE[0]).abs() < 0.006, "{}", shares[50]);
        assert!((shares[950] - STROKE[1]).abs() < 0.006, "{}", shares[950]);
    }

    /// Width of the strokes of one of MNIST's digits as a share of its box.
    fn share(pixels: &[u8]) -> f32 {
        let plane =
            Gray { width: 28, height: 28, pixels: pixels.iter().map(|&p| f32::from(p) / 255.0).collect() };
        let large =
            Gray::from_fn(224, 224, |x, y| plane.cubic((x as f64 + 0.5) / 8.0, (y as f64 + 0.5) / 8.0));
        stroke_width(&signed(&Mask::of(&large, |d| d > EDGE))) / SIDE as f32
    }

    #[test]
    fn a_gap_is_bridged_and_a_wide_one_is_not() {
        for (gap, bridged) in [(8, true), (60, false)] {
            let mut mask = Mask::of(
                &Gray::from_fn(100, 200, |x, y| {
                    f32::from(u8::from(
                        x.abs_diff(50) < 8 && y.abs_diff(100) * 2 >= gap && y.abs_diff(100) < 90,
                    ))
                }),
                |d| d > 0.5,
            );
            assert_eq!(join(&mut mask, 0.0), bridged);
            assert_eq!(mask.pixels[100 * 100 + 50], bridged);
        }
    }
}
