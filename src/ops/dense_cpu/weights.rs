//! Gradients of weights and biases.

use super::memory::{Numbers, Scratch, give_scratch, take_scratch};
use super::sparse::{BITS, Panels, Rows, Terms, has_many_zeros};
use crate::ops::share::{Part, Region};
use crate::ops::simd::Simd;
use crate::ops::{LANES, dense_weight_grad};
use std::ops::Range;

/// What becomes of the gradients of neighbouring parameters.
pub(in crate::ops) trait Keep<S: Simd> {
    /// Takes them, with their words in the flat buffers.
    fn keep(&mut self, s: S, words: Range<usize>, gradients: &[f32]);
}

/// What [`weights`] touches of `x`, of `y_grad`, and of buffers laid out as the parameters.
pub(in crate::ops) fn weight_regions(p: &dense_weight_grad::Params) -> [Vec<Region>; 3] {
    let (inputs, units) = (p.inputs as usize, p.units as usize);
    let parameters = vec![Region::words(p.weight, inputs * units), Region::words(p.bias, units)];
    [vec![Region::features(p.inputs)], vec![Region::ALL], parameters]
}

/// The gradients of this share's weights and biases. A share is rows, which lie together: of columns, the processor would
/// fetch the neighbour's ahead of their use and take them from its cache.
#[inline(always)]
pub(in crate::ops) fn weights<S: Simd>(
    s: S,
    p: &dense_weight_grad::Params,
    x: &[f32],
    y_grad: &[f32],
    part: &Part,
    keep: &mut impl Keep<S>,
) {
    let (blocks, inputs, units) = (p.blocks as usize, p.inputs as usize, p.units as usize);
    let rows = part.features(inputs);
    let mut scratch = take_scratch();
    let Scratch { panels, x: strip, terms, gradients, .. } = &mut scratch;
    let panels = panels.first(units.div_ceil(LANES) * blocks * LANES * LANES);
    panels_of(s, y_grad, units, blocks, panels);
    let outer = Outer { x, inputs, panels, images: blocks * LANES, units };
    let has_biases = rows.end == inputs;
    outer.run(s, rows, p.weight as usize, (strip, terms, gradients), keep);
    if has_biases {
        outer.biases(s, p.bias as usize, keep);
    }
    give_scratch(scratch);
}

/// Brings gradients to units innermost: `[panel of 16 units][image][16]`. The last panel is filled up with zeros.
#[inline(always)]
fn panels_of<S: Simd>(s: S, y_grad: &[f32], units: usize, blocks: usize, into: &mut [f32]) {
    let (squares, _) = into.as_chunks_mut::<{ LANES * LANES }>();
    for (panel, squares) in squares.chunks_exact_mut(blocks).enumerate() {
        let first = panel * LANES;
        for (block, square) in squares.iter_mut().enumerate() {
            let from = &y_grad[(block * units + first) * LANES..];
            turn(s, &from[..LANES.min(units - first) * LANES], square);
        }
    }
}

/// Up to 16 rows become columns; those that are missing are zeros.
#[inline(always)]
fn turn<S: Simd>(s: S, rows: &[f32], columns: &mut [f32; LANES * LANES]) {
    if rows.len() == LANES * LANES {
        return s.transpose(rows, LANES, columns);
    }
    let mut all = [0.0; LANES * LANES];
    all[..rows.len()].copy_from_slice(rows);
    s.transpose(&all, LANES, columns);
}

/// `sums[row][unit] = sum over images of x[row] * y_grad[unit]`, 16 units a vector.
struct Outer<'a> {
    /// `[blocks][inputs][16]`
    x: &'a [f32],
    /// Features of x.
    inputs: usize,
    /// Gradients, see [`panels_of`].
    panels: &'a [f32],
    /// Images, with padding.
    images: usize,
    /// Units of the panels.
    units: usize,
}

/// Gradients that are handed on together, or more.
const KEPT_AT_ONCE: usize = 256;
/// Rows of the tallest tile.
const MOST_ROWS: usize = 16;

/// With as many images as this, taller tiles, which read the panels less often, gain more than wide ones.
const LONG: usize = 64;

impl Outer<'_> {
    /// Hands the gradients of the weights in `rows` to `keep`; the first row lies at word `first`.
    #[inline(always)]
    fn run<S: Simd>(
        &self,
        s: S,
        rows: Range<usize>,
        first: usize,
        (strip, terms, gradients): (&mut Numbers, &mut Vec<u64>, &mut Numbers),
        keep: &mut impl Keep<S>,
    ) {
        let count = self.units.div_ceil(LANES);
        let gradients = gradients.first(KEPT_AT_ONCE + MOST_ROWS * self.units + LANES);
        let strip = strip.vectors(MOST_ROWS * self.images / LANES);
        terms.clear();
        terms.resize(self.images.div_ceil(BITS), 0);
        let mut row = rows.start;
        let mut made = 0;
        macro_rules! strips {
            ($($rows:literal: $($panels:literal)*;)*) => {{
                $(while rows.end - row >= $rows {
                    self.take_rows::<S, $rows>(s, row, strip, terms);
                    let counting = Terms::new(terms);
                    // From the last panel on: what that has too much in a row is overwritten by the first of the next.
                    let mut panel = count;
                    $(while panel >= $panels {
                        panel -= $panels;
                        let sums = self.tile::<S, $rows, $panels>(s, strip.as_flattened(), &counting, panel);
                        for r in 0..$rows {
                            for p in 0..$panels {
                                let word = made + r * self.units + (panel + p) * LANES;
                                s.store(&mut gradients[word..word + LANES], sums[r][p]);
                            }
                        }
                    })*
                    made += $rows * self.units;
                    row += $rows;
                    if made >= KEPT_AT_ONCE || row == rows.end {
                        let end = first + row * self.units;
                        keep.keep(s, end - made..end, &gradients[..made]);
                        made = 0;
                    }
                })*
            }};
        }
        // The fewer rows, the more images have zeros in all of them. The first block tells.
        let has_many_zeros = has_many_zeros(s, &self.x[rows.start * LANES..rows.end * LANES]);
        match (S::REGISTERS, count) {
            (32.., 1) if !has_many_zeros => strips!(16: 1; 4: 1; 1: 1;),
            (8.., 1) => strips!(4: 1; 1: 1;),
            (32.., _) if has_many_zeros => strips!(2: 8 4 2 1; 1: 8 4 2 1;),
            (32.., _) if self.images >= LONG => strips!(12: 2 1; 4: 4 2 1; 1: 4 2 1;),
            (32.., _) => strips!(4: 4 2 1; 1: 4 2 1;),
            (8.., _) if self.images >= LONG && !has_many_zeros => strips!(4: 1; 2: 3 2 1; 1: 3 2 1;),
            (8.., _) => strips!(2: 3 2 1; 1: 3 2 1;),
            _ => strips!(2: 1; 1: 1;),
        }
    }

    /// Brings `R` rows together, `[row][image]`, and finds the images in which not all of them are zero: products with the others
    /// would change nothing.
    #[inline(always)]
    fn take_rows<S: Simd, const R: usize>(
        &self,
        s: S,
        row: usize,
        strip: &mut [[f32; LANES]],
        terms: &mut [u64],
    ) {
        let blocks = self.images / LANES;
        for block in 0..blocks {
            let x = &self.x[(block * self.inputs + row) * LANES..];
            for r in R..2 * R {
                s.prefetch(x, r * LANES);
            }
            let x = &x[..R * LANES];
            let mut lanes = 0;
            for r in 0..R {
                let x = s.load(&x[r * LANES..]);
                s.store(&mut strip[r * blocks + block], x);
                lanes |= s.not_zero(x);
            }
            let first = block * LANES;
            let word = &mut terms[first / BITS];
            let earlier = if first.is_multiple_of(BITS) { 0 } else { *word };
            *word = earlier | u64::from(lanes) << (first % BITS);
        }
    }

    /// The gradients of `R` rows and `P` panels.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        strip: &[f32],
        terms: &Terms<'_>,
        panel: usize,
    ) -> [[S::V; P]; R] {
        let next = self.images * LANES;
        let x = Rows { numbers: strip, next: self.images };
        let y = Panels { numbers: &self.panels[panel * next..], next, stride: LANES };
        terms.add::<S, R, P, 1>(s, [[s.splat(0.0); P]; R], x, y)
    }

    /// Hands the gradients of the biases, sums over images alone, to `keep`; those of all units begin at word `first`.
    #[inline(always)]
    fn biases<S: Simd>(&self, s: S, first: usize, keep: &mut impl Keep<S>) {
        for (panel, panels) in self.panels.chunks_exact(self.images * LANES).enumerate() {
            let mut sum = s.splat(0.0);
            for gradients in panels.chunks_exact(LANES) {
                sum = s.add(sum, s.load(gradients));
            }
            let mut gradients = [0.0; LANES];
            s.store(&mut gradients, sum);
            let units = panel * LANES..self.units.min((panel + 1) * LANES);
            keep.keep(s, first + units.start..first + units.end, &gradients[..units.len()]);
        }
    }
}
