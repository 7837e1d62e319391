//! The weight gradient by its formula: a tile is a few taps of a channel x a few filters, each a vector that adds up all pixels,
//! and whose lanes are added at the end.
//!
//! Pixels whose taps all meet the image have a loop of their own, without tests; the others test each tap.

use super::cpu::Pass;
use crate::ops::LANES;
use crate::ops::convolution::tiles;
use crate::ops::simd::{Kernel, Simd, dispatch, part_accumulators};
use std::ops::Range;

/// The place of a tile: its first filter, its channel, and its first tap.
#[derive(Clone, Copy)]
struct Place {
    filter: usize,
    channel: usize,
    ky: usize,
    kx: usize,
}

/// Adds the block's gradients.
pub(super) fn run(pass: &mut Pass<'_>) {
    let c = pass.correlation;
    let (rows, columns) = taps(c.kernel);
    for channel in 0..c.inputs {
        for ky in (0..c.kernel).step_by(rows) {
            for columns in tiles(c.kernel, columns) {
                // Biases ride along with the first taps, which then leave room for fewer filters.
                let bias = channel == 0 && ky == 0 && columns.start == 0;
                let sums = rows * columns.len() + usize::from(bias);
                let most = if bias { 2 } else { 3 };
                for filters in tiles(c.outputs, (part_accumulators() / sums).clamp(1, most)) {
                    let place = Place { filter: filters.start, channel, ky, kx: columns.start };
                    let size = (rows, columns.len(), filters.len());
                    match bias {
                        false => tile::<false>(pass, place, size),
                        true => tile::<true>(pass, place, size),
                    }
                }
            }
        }
    }
}

fn tile<const BIAS: bool>(pass: &mut Pass<'_>, place: Place, size: (usize, usize, usize)) {
    macro_rules! sizes {
        ($($rows:literal x $columns:literal: $($filters:literal)*;)*) => {
            match size {
                $($(($rows, $columns, $filters) => {
                    dispatch(Tile::<BIAS, $rows, $columns, { $rows * $columns }, $filters> { pass, place });
                })*)*
                _ => unreachable!("tiles are no larger"),
            }
        };
    }
    sizes! {
        3 x 3: 1 2 3;
        2 x 4: 1 2 3;
        2 x 2: 1 2 3;
        1 x 5: 1 2 3;
        1 x 4: 1 2 3;
        1 x 3: 1 2 3;
        1 x 2: 1 2 3;
        1 x 1: 1 2 3;
    }
}

#[inline(always)]
fn add(pass: &mut Pass<'_>, at: usize, gradient: f32) {
    pass.partial[at] = if pass.first { gradient } else { pass.partial[at] + gradient };
}

/// Rows and columns of the kernel in a tile; the rows divide it.
fn taps(kernel: usize) -> (usize, usize) {
    let columns = kernel.div_ceil(kernel.div_ceil(5));
    let rows = match kernel {
        2 | 4 => 2,
        3 => 3,
        _ => 1,
    };
    // With room for two filters, or gradients are loaded too often.
    if 2 * rows * columns <= part_accumulators() { (rows, columns) } else { (1, columns) }
}

/// `R` x `C` taps, `T` in all, times `F` filters.
///
/// A kernel for each size, rather than one for all, because compilers take very long for large functions.
struct Tile<'a, 'b, const BIAS: bool, const R: usize, const C: usize, const T: usize, const F: usize> {
    pass: &'a mut Pass<'b>,
    place: Place,
}

/// Rows of outputs that are read for one part of the vectors after the other.
const ROWS: usize = 4;

/// The sums of a tile, and those of the biases.
type Sums<'a, const T: usize, const F: usize> = (&'a mut [[[f32; LANES]; T]; F], &'a mut [[f32; LANES]; F]);

impl<const BIAS: bool, const R: usize, const C: usize, const T: usize, const F: usize> Kernel
    for Tile<'_, '_, BIAS, R, C, T, F>
{
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Not one of the sizes that `run` uses otherwise.
        if const { (T + BIAS as usize) * F <= S::ACCUMULATORS * S::PARTS || F == 1 } {
            // Through memory, so that the loop below does not keep the accumulators of `sums` out of registers.
            let mut vectors = [[[0.0; LANES]; T]; F];
            let mut bias_vectors = [[0.0; LANES]; F];
            let Place { filter, channel, ky, kx } = self.place;
            let c = self.pass.correlation;
            // What one part of the vectors has read is still in the cache for the next; in the first where gradients come from far
            // away, with one channel that they are for.
            let rows_at_once = match (S::PARTS, c.inputs) {
                (1, _) => c.out_height,
                (_, 1) => 1,
                _ => ROWS,
            };
            for rows in tiles(c.out_height, rows_at_once) {
                for part in 0..S::PARTS {
                    self.add_rows(s, part, rows.clone(), (&mut vectors, &mut bias_vectors));
                }
            }
            if BIAS {
                for (f, vector) in bias_vectors.iter().enumerate() {
                    add(self.pass, c.weight_words() + filter + f, s.sum(s.load(vector)));
                }
            }
            for (f, vectors) in vectors.iter().enumerate() {
                for (t, vector) in vectors.iter().enumerate() {
                    let tap = (channel * c.kernel + ky + t / C) * c.kernel + kx + t % C;
                    add(self.pass, tap * c.outputs + filter + f, s.sum(s.load(vector)));
                }
            }
        }
    }
}

impl<const BIAS: bool, const R: usize, const C: usize, const T: usize, const F: usize>
    Tile<'_, '_, BIAS, R, C, T, F>
{
    /// Adds some rows of outputs, for one part of the vectors.
    #[inline(always)]
    fn add_rows<S: Simd>(
        &self,
        s: S,
        part: usize,
        rows: Range<usize>,
        (totals, bias_totals): Sums<'_, T, F>,
    ) {
        let c = self.pass.correlation;
        let Place { filter, channel, ky, kx } = self.place;
        let (x, _) = self.pass.x.as_chunks::<LANES>();
        let (y_grad, _) = self.pass.y_grad.as_chunks::<LANES>();
        let plane = c.out_height * c.out_width;
        let (zero, one) = (s.load_one(&[0.0; LANES], part), s.load_one(&[1.0; LANES], part));
        let mut sums = [[zero; T]; F];
        let mut biases = [zero; F];
        for f in 0..F {
            for t in 0..T {
                sums[f][t] = s.load_one(&totals[f][t], part);
            }
            biases[f] = s.load_one(&bias_totals[f], part);
        }
        for oy in rows {
            let y_first = filter * plane + oy * c.out_width;
            let inner = self.inner(oy);
            for ox in (0..inner.start).chain(inner.end..c.out_width) {
                let mut gradient = [zero; F];
                for f in 0..F {
                    gradient[f] = s.load_one(&y_grad[y_first + f * plane + ox], part);
                    biases[f] = if BIAS { s.fma_one(gradient[f], one, biases[f]) } else { biases[f] };
                }
                for t in 0..T {
                    // Row or column -1 is a large number here, so one comparison covers both sides.
                    let iy = (oy + ky + t / C).wrapping_sub(c.pad);
                    let ix = (ox + kx + t % C).wrapping_sub(c.pad);
                    if iy < c.height && ix < c.width {
                        let x = s.load_one(&x[(channel * c.height + iy) * c.width + ix], part);
                        for f in 0..F {
                            sums[f][t] = s.fma_one(x, gradient[f], sums[f][t]);
                        }
                    }
                }
            }
            if inner.is_empty() {
                continue;
            }
            // All of one length, so that the loop needs no other test. No closures: they are not always inlined.
            let pixels = inner.len();
            let mut y_rows = [&y_grad[..0]; F];
            for f in 0..F {
                y_rows[f] = &y_grad[y_first + f * plane + inner.start..][..pixels];
            }
            let x_first = (channel * c.height + oy + ky - c.pad) * c.width + inner.start + kx - c.pad;
            let mut x_rows = [&x[..0]; T];
            for t in 0..T {
                x_rows[t] = &x[x_first + t / C * c.width + t % C..][..pixels];
            }
            for i in 0..pixels {
                let mut gradient = [zero; F];
                for f in 0..F {
                    gradient[f] = s.load_one(&y_rows[f][i], part);
                    biases[f] = if BIAS { s.fma_one(gradient[f], one, biases[f]) } else { biases[f] };
                }
                for t in 0..T {
                    let x = s.load_one(&x_rows[t][i], part);
                    for f in 0..F {
                        sums[f][t] = s.fma_one(x, gradient[f], sums[f][t]);
                    }
                }
            }
        }
        for f in 0..F {
            for t in 0..T {
                s.store_one(&mut totals[f][t], part, sums[f][t]);
            }
            s.store_one(&mut bias_totals[f], part, biases[f]);
        }
    }

    /// Columns of output row `oy` whose taps all meet the image.
    #[inline(always)]
    fn inner(&self, oy: usize) -> Range<usize> {
        let c = self.pass.correlation;
        let Place { ky, kx, .. } = self.place;
        let start = c.pad.saturating_sub(kx);
        let end = (c.width + c.pad).saturating_sub(kx + C - 1).min(c.out_width);
        let whole = oy + ky >= c.pad && oy + ky + R - 1 < c.height + c.pad;
        if whole && start < end { start..end } else { 0..0 }
    }
}
