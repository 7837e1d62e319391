//! Which ink is digits: thresholds, specks, edges, and pieces that belong together.

use anyhow::{Result, bail};

use super::distance::{Mask, Nearest, nearest, signed};
use super::gray::Gray;
use super::lines::Lines;
use super::pieces::{NONE, Piece, Pieces, cut_at_edges, measure_strokes, pieces};
use crate::error::Error;

/// Ink is at least this dark, and five deviations of the noise.
const LEAST_INK: f32 = 0.06;
/// In the worst of noise, what is this dark is ink.
const MOST_INK: f32 = 0.25;
/// A digit whose blackest ink is less than this is too faint to read.
const FAINT: f32 = 0.15;
/// And a digit stands out from the threshold this many times, or it is noise.
const CLEAR: f32 = 2.7;
/// A shape in more pieces is noise.
const MOST_PARTS: usize = 40;
/// Ink fainter than this share of the blackest is dirt, print on the other side of the sheet, or shadow.
const DIRT: f32 = 0.45;
/// Shadows are fainter than this.
const SHADOW: f32 = 0.45;
/// Ink fainter than this must be in one piece or nearly, with edges of its own.
const VAGUE: f32 = 0.25;
/// Pieces of a digit that is so faint, at most.
const FAINT_PARTS: usize = 3;
/// Shapes at least this tall, as a share of the tallest, are digits of their own.
const COMPARABLE: f64 = 0.45;
/// More shapes than this are a text or a texture, where one digit is wanted and where several are.
const CROWDED: [usize; 2] = [12, 120];
/// More pieces than this are looked at by nobody.
const MOST_PIECES: usize = 4000;

/// Pieces of ink that make a digit.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Indices into [`Found::pieces`].
    pub(crate) members: Vec<u32>,
    /// `[left, top, right, bottom]`, the last two exclusive.
    pub(crate) bounds: [usize; 4],
    /// How black its ink is.
    pub(crate) level: f32,
    /// Pixels of ink.
    pub(crate) area: usize,
    /// Pixels of ink that are nearly as black as their piece is where it is blackest.
    pub(crate) solid: usize,
    /// Width of its strokes in pixels.
    pub(crate) stroke: f32,
    /// Whether it reaches the edge of the picture.
    pub(crate) cut_off: bool,
}

impl Shape {
    fn of(index: u32, piece: &Piece) -> Self {
        Self {
            members: vec![index],
            bounds: piece.bounds,
            level: piece.level,
            area: piece.area,
            solid: piece.solid,
            stroke: piece.stroke,
            cut_off: piece.touches_edge(),
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.bounds[2] - self.bounds[0]
    }

    pub(crate) fn height(&self) -> usize {
        self.bounds[3] - self.bounds[1]
    }

    pub(crate) fn long_side(&self) -> usize {
        self.width().max(self.height())
    }

    /// Whether it is noise or the light: very faint, and scattered, or fading at its edges, which ink does not; or
    /// faint and so flat that it is no digit, but what a shadow and a ruled line make where they cross.
    fn is_vague(&self) -> bool {
        let scattered = self.members.len() > FAINT_PARTS;
        let fading = self.solid * 2 < self.area;
        let flat = self.width() * 2 > self.height() * 5;
        (self.level < VAGUE && (scattered || fading)) || (self.level < SHADOW && flat)
    }

    /// Whether it is what flattening leaves of the edge of a shadow: faint, long and straight. One that ruled
    /// lines cut to pieces need not be quite as straight.
    fn is_edge_of_shadow(&self, picture_side: usize) -> bool {
        let straight = if self.members.len() > 1 { 1.6 } else { 1.2 };
        let diagonal = (self.width() as f32).hypot(self.height() as f32);
        self.level < SHADOW
            && self.long_side() * 10 > picture_side * 3
            && self.stroke * 10.0 < self.long_side() as f32
            && (self.area as f32) < straight * self.stroke * diagonal
    }

    fn join(&mut self, other: Self) {
        let whole = (self.area + other.area) as f32;
        self.stroke = (self.stroke * self.area as f32 + other.stroke * other.area as f32) / whole;
        self.level = self.level.max(other.level);
        self.area += other.area;
        self.solid += other.solid;
        self.cut_off |= other.cut_off;
        let ([l, t, r, b], [l2, t2, r2, b2]) = (self.bounds, other.bounds);
        self.bounds = [l.min(l2), t.min(t2), r.max(r2), b.max(b2)];
        self.members.extend(other.members);
    }

    /// How likely it is the digit that is meant: much ink, black, and clear of the edge.
    pub(crate) fn prominence(&self) -> f32 {
        self.area as f32 * self.level * self.level * if self.cut_off { 0.25 } else { 1.0 }
    }
}

/// The digits of a picture.
pub(crate) struct Found {
    /// All pieces of ink after thresholding.
    pub(crate) pieces: Pieces,
    /// The nearest pixel of a kept piece, for every pixel.
    pub(crate) nearest: Nearest,
    /// [`Lines::gap`].
    pub(crate) line_gap: usize,
    /// The digits in reading order; at least one.
    pub(crate) shapes: Vec<Shape>,
}

/// The level above which a pixel may be ink.
pub(crate) fn ink_threshold(noise: f32) -> f32 {
    (5.0 * noise).clamp(LEAST_INK, MOST_INK)
}

/// Finds the digits.
///
/// # Errors
/// [`Error::BadFile`] if there is no ink, too little of it, or too much.
pub(crate) fn find(ink: &Gray, lines: &Lines, threshold: f32, multi: bool) -> Result<Found> {
    let mask = inked(ink, threshold)?;
    let mut pieces = pieces(&mask, ink);
    measure_strokes(&mut pieces, &signed(&mask));
    let kept = keep(&pieces, lines, (ink.width, ink.height));
    if kept.is_empty() {
        bail!(blank("specks, lines and what reaches its edge"));
    }
    if kept.len() > MOST_PIECES {
        bail!(crowded(kept.len(), multi));
    }
    let mut is_kept = vec![false; pieces.all.len()];
    kept.iter().for_each(|&index| is_kept[index as usize] = true);
    let kept_mask = Mask {
        pixels: pieces.labels.iter().map(|&label| label != NONE && is_kept[label as usize]).collect(),
        ..mask
    };
    let nearest = nearest(&kept_mask);
    let shapes = grouped(&pieces, &kept, &nearest, ink.width, lines.gap as f32);
    let whole = |shape: &Shape| {
        shape.members.len() <= MOST_PARTS
            && shape.long_side() >= least_side(ink.width, ink.height)
            && shape.level >= least_level(threshold)
            && !shape.is_vague()
            && !shape.is_edge_of_shadow(ink.width.max(ink.height))
    };
    let shapes: Vec<Shape> = shapes.into_iter().filter(whole).collect();
    let Some(tallest) = shapes.iter().map(Shape::long_side).max() else {
        bail!(blank("specks and shadows only"));
    };
    let comparable = |shape: &Shape| shape.long_side() as f64 >= COMPARABLE * tallest as f64;
    let shapes: Vec<Shape> = shapes.into_iter().filter(comparable).collect();
    if shapes.len() > CROWDED[usize::from(multi)] {
        bail!(crowded(shapes.len(), multi));
    }
    Ok(Found { pieces, nearest, line_gap: lines.gap, shapes: in_reading_order(shapes) })
}

fn blank(found: &str) -> Error {
    Error::BadFile(format!(
        "no digit: the picture is blank ({found}), expected a handwritten digit; write larger or darker, or crop \
         the picture to the digit"
    ))
}

fn crowded(count: usize, multi: bool) -> Error {
    let expected = if multi { "digits" } else { "one digit" };
    let advice = if multi { "" } else { ", or use --multi for several digits" };
    Error::BadFile(format!(
        "the picture is crowded: {count} shapes, expected {expected}; crop it to what is to be read{advice}"
    ))
}

/// The least blackness of a digit.
fn least_level(threshold: f32) -> f32 {
    FAINT.max(CLEAR * threshold)
}

/// The least long side of a digit.
fn least_side(width: usize, height: usize) -> usize {
    (width.max(height) / 50).max(9)
}

/// The ink: the connected pieces above `threshold` that are dark enough, each cut at its own edge level.
fn inked(ink: &Gray, threshold: f32) -> Result<Mask> {
    let rough = pieces(&Mask::of(ink, |d| d > threshold), ink);
    let least = least_side(ink.width, ink.height);
    let large = || rough.all.iter().filter(|piece| piece.long_side() >= least);
    let blackest = |of: &mut dyn Iterator<Item = &Piece>| of.map(|piece| piece.level).reduce(f32::max);
    let inner = blackest(&mut large().filter(|piece| !piece.touches_edge()));
    let Some(level) =
        inner.filter(|&level| level >= least_level(threshold)).or_else(|| blackest(&mut large()))
    else {
        bail!(blank(if rough.all.is_empty() { "nothing stands out" } else { "specks only" }));
    };
    if level < least_level(threshold) {
        bail!(Error::BadFile(format!(
            "no digit: the picture is blank or too faint (what stands out is {:.0} % darker or lighter than its \
             surroundings, expected {:.0} % or more); write with a darker pen or take the picture in more light",
            level * 100.0,
            least_level(threshold) * 100.0
        )));
    }
    Ok(cut_at_edges(&rough, ink, |piece| piece.level >= DIRT * level))
}

/// The pieces that may belong to digits.
fn keep(pieces: &Pieces, lines: &Lines, size: (usize, usize)) -> Vec<u32> {
    let on_lines = on_lines(pieces, lines);
    let plausible = |piece: &Piece| piece.long_side() >= least_side(size.0, size.1);
    let mut kept: Vec<u32> = (0..pieces.all.len() as u32)
        .filter(|&index| !on_lines[index as usize] && !is_border(&pieces.all[index as usize], size))
        .collect();
    let piece = |index: u32| &pieces.all[index as usize];
    let clear = kept.iter().map(|&i| piece(i)).filter(|p| !p.touches_edge() && plausible(p));
    let tallest = clear.map(Piece::long_side).max();
    kept.retain(|&index| !piece(index).touches_edge() || may_reach_edge(piece(index), tallest, size));
    let largest = kept.iter().map(|&i| piece(i)).filter(|p| plausible(p)).map(|p| p.area).max();
    let least = largest.map_or(usize::MAX, |area| (area / 60).max(2));
    kept.retain(|&index| piece(index).area >= least);
    kept
}

/// Whether a piece that reaches the edge of the picture may be a digit. Where something stands clear of the edge
/// (`tallest`), what meets the edge along much of its length is a table or a shadow. Where nothing does, it is a
/// digit if the picture is cropped to it or it only just reaches the edge. Either way it is blacker than shadows.
fn may_reach_edge(piece: &Piece, tallest: Option<usize>, (width, height): (usize, usize)) -> bool {
    let contact: usize = piece.on_edge.iter().sum();
    let cropped = piece.width() * 10 >= width * 8 && piece.height() * 10 >= height * 8;
    let just = (contact as f32) < 1.5 * piece.stroke;
    piece.level > SHADOW
        && match tallest {
            Some(tallest) => contact * 4 < piece.long_side() && contact * 2 < tallest,
            None => cropped || just,
        }
}

/// Which pieces lie along ruled lines, but for a seventh: what is left of them.
fn on_lines(pieces: &Pieces, lines: &Lines) -> Vec<bool> {
    let mut near = vec![0_usize; pieces.all.len()];
    for (&label, &is_near) in pieces.labels.iter().zip(&lines.near) {
        if label != NONE && is_near {
            near[label as usize] += 1;
        }
    }
    pieces.all.iter().zip(near).map(|(piece, near)| near * 20 > piece.area * 17).collect()
}

/// Whether a piece is the edge of a sheet, a table or a shadow whatever else there is: it reaches the edge of
/// the picture, and is long and thin along it, or a hairline across the picture, or no stroke but an area.
fn is_border(piece: &Piece, (width, height): (usize, usize)) -> bool {
    let [left, top, right, bottom] = piece.on_edge;
    let contact: usize = piece.on_edge.iter().sum();
    let (long, short) = (piece.long_side(), piece.width().min(piece.height()));
    let along = contact * 10 >= long * 8 && short * 5 < long;
    let across = (left > 0 && right > 0) || (top > 0 && bottom > 0);
    let hairline = contact > 0 && piece.stroke * if across { 40.0 } else { 25.0 } < long as f32;
    let broad = contact > 0 && piece.stroke > 0.55 * long as f32;
    let vast = contact > 0 && piece.area * 2 > width * height;
    along || hairline || broad || vast
}

/// Joins pieces that belong to one digit, nearest first. A gap may be the `line_gap` that a ruled line left.
fn grouped(pieces: &Pieces, kept: &[u32], nearest: &Nearest, width: usize, line_gap: f32) -> Vec<Shape> {
    let mut shapes: Vec<Option<Shape>> = vec![None; pieces.all.len()];
    for &index in kept {
        shapes[index as usize] = Some(Shape::of(index, &pieces.all[index as usize]));
    }
    let mut home: Vec<usize> = (0..shapes.len()).collect();
    for (gap, a, b) in gaps(&pieces.labels, nearest, width) {
        let (a, b) = (root(&mut home, a as usize), root(&mut home, b as usize));
        if a == b {
            continue;
        }
        if let (Some(first), Some(second)) = (&shapes[a], &shapes[b])
            && belong_together(first, second, gap - line_gap)
            && let (Some(mut joined), Some(other)) = (shapes[a].take(), shapes[b].take())
        {
            joined.join(other);
            shapes[a] = Some(joined);
            home[b] = a;
        }
    }
    shapes.into_iter().flatten().collect()
}

fn root(home: &mut [usize], mut at: usize) -> usize {
    while home[at] != at {
        home[at] = home[home[at]];
        at = home[at];
    }
    at
}

/// The gaps between neighbouring pieces, smallest first: where the pixels nearest to one piece border on those
/// nearest to another.
fn gaps(labels: &[u32], nearest: &Nearest, width: usize) -> Vec<(f32, u32, u32)> {
    let mut smallest = std::collections::BTreeMap::new();
    let label = |i: usize| labels.get(nearest.index[i]).copied().unwrap_or(NONE);
    for i in 0..labels.len() {
        let right = (i % width + 1 < width).then_some(i + 1);
        let below = (i + width < labels.len()).then_some(i + width);
        for j in right.into_iter().chain(below) {
            let (a, b) = (label(i), label(j));
            if a != b {
                let gap = between(nearest.index[i], nearest.index[j], width);
                let entry = smallest.entry((a.min(b), a.max(b))).or_insert(gap);
                *entry = entry.min(gap);
            }
        }
    }
    let mut gaps: Vec<(f32, u32, u32)> = smallest.into_iter().map(|((a, b), gap)| (gap, a, b)).collect();
    gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
    gaps
}

/// The paper between two pixels of ink.
pub(crate) fn between(i: usize, j: usize, width: usize) -> f32 {
    let across = (i % width).abs_diff(j % width) as f32;
    let down = (i / width).abs_diff(j / width) as f32;
    (across.hypot(down) - 1.0).max(0.0)
}

/// Whether two shapes with `gap` pixels of paper between them are parts of one digit. Digits next to each other
/// are as tall as each other and do not overlap; a part of a digit, such as the bar of a 5, is smaller than the
/// rest, or interleaved with it, or all but touches it.
fn belong_together(a: &Shape, b: &Shape, gap: f32) -> bool {
    let (small, big) = if a.height() < b.height() { (a, b) } else { (b, a) };
    let stroke = a.stroke.max(b.stroke);
    let x = overlap((a.bounds[0], a.bounds[2]), (b.bounds[0], b.bounds[2]));
    let y = overlap((a.bounds[1], a.bounds[3]), (b.bounds[1], b.bounds[3]));
    let comparable = small.height() as f64 >= 0.6 * big.height() as f64;
    let reach = if x >= 0.6 && y >= 0.6 {
        if comparable { 3.0 * stroke } else { f32::INFINITY }
    } else if comparable {
        if x < 0.3 { 0.5 * stroke } else { 1.2 * stroke }
    } else if x >= 0.25 {
        (2.0 * stroke).max(0.4 * big.width().min(big.height()) as f32)
    } else {
        1.5 * stroke
    };
    gap <= reach
}

/// The common part of two intervals, as a share of the shorter.
fn overlap(a: (usize, usize), b: (usize, usize)) -> f64 {
    let common = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    common as f64 / (a.1 - a.0).min(b.1 - b.0).max(1) as f64
}

/// Lines from the top, and digits from the left in each. A digit is on the line of the last one added if their
/// heights overlap by half.
fn in_reading_order(mut shapes: Vec<Shape>) -> Vec<Shape> {
    shapes.sort_by_key(|shape| (shape.bounds[0], shape.bounds[1]));
    let mut lines: Vec<Vec<Shape>> = Vec::new();
    for shape in shapes {
        let rows = (shape.bounds[1], shape.bounds[3]);
        let fits = |line: &Vec<Shape>| {
            line.last().map_or(0.0, |last| overlap(rows, (last.bounds[1], last.bounds[3])))
        };
        let best = lines.iter_mut().max_by(|a, b| fits(a).total_cmp(&fits(b)));
        match best {
            Some(line) if fits(line) >= 0.5 => line.push(shape),
            _ => lines.push(vec![shape]),
        }
    }
    let middle = |line: &Vec<Shape>| {
        let sum: usize = line.iter().map(|shape| shape.bounds[1] + shape.bounds[3]).sum();
        sum / line.len()
    };
    lines.sort_by_key(middle);
    lines.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bounds: [usize; 4]) -> Shape {
        Shape { members: vec![], bounds, level: 1.0, area: 100, solid: 90, stroke: 4.0, cut_off: false }
    }

    #[test]
    fn lines_are_read_from_the_top_even_when_they_slant() {
        let bounds = [[0, 10, 20, 50], [60, 0, 80, 40], [30, 5, 50, 45], [0, 70, 20, 110], [60, 60, 80, 100]];
        let ordered = in_reading_order(bounds.map(shape).to_vec());
        let ordered: Vec<[usize; 4]> = ordered.iter().map(|shape| shape.bounds).collect();
        assert_eq!(ordered, [bounds[0], bounds[2], bounds[1], bounds[3], bounds[4]]);
    }

    #[test]
    fn a_bar_belongs_to_its_five_and_a_neighbour_does_not() {
        let five = shape([0, 20, 30, 60]);
        assert!(belong_together(&five, &shape([10, 8, 40, 13]), 7.0));
        assert!(!belong_together(&five, &shape([35, 18, 60, 60]), 5.0));
        assert!(!belong_together(&five, &shape([0, 75, 30, 115]), 15.0));
    }
}
