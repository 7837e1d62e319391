//! The weight gradient of one block of 16 images on the CPU: a tile is a few taps of a channel x a few filters, each a
//! vector that adds up all pixels, and whose lanes are added at the end.
//!
//! Pixels whose taps all meet the image have a loop of their own, without tests; the others test each tap.

use crate::ops::LANES;
use crate::ops::convolution::{Correlation, tiles};
use crate::ops::simd::{Kernel, Simd};

/// A block whose gradients are to be added.
pub(super) struct Pass<'a> {
    /// Shapes.
    pub(super) correlation: Correlation,
    /// The block's input.
    pub(super) x: &'a [f32],
    /// The gradient of its output.
    pub(super) y_grad: &'a [f32],
    /// Weights' gradients, then biases'.
    pub(super) partial: &'a mut [f32],
    /// Whether they are the first of the slice, so that nothing is there to add to.
    pub(super) first: bool,
}

/// The place of a tile: its first filter, its channel, and its first tap.
#[derive(Clone, Copy)]
struct Place {
    filter: usize,
    channel: usize,
    ky: usize,
    kx: usize,
}

/// Rows and columns of taps in a tile.
#[derive(Clone, Copy)]
struct Taps {
    rows: usize,
    columns: usize,
}

impl Taps {
    /// As many as the accumulators allow beside one filter, and a shape that divides the kernel.
    #[inline(always)]
    fn of<S: Simd>(kernel: usize) -> Self {
        let columns = kernel.div_ceil(kernel.div_ceil(5));
        let rows = match kernel {
            2 => 2,
            3 => 3,
            4 => 2,
            _ => 1,
        };
        let rows = if rows * columns < S::ACCUMULATORS { rows } else { 1 };
        Self { rows, columns }
    }
}

impl Kernel for Pass<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let c = self.correlation;
        let taps = Taps::of::<S>(c.kernel);
        for channel in 0..c.inputs {
            for ky in (0..c.kernel).step_by(taps.rows) {
                for columns in tiles(c.kernel, taps.columns) {
                    // Biases ride along with the first taps, which then leave room for fewer filters.
                    let bias = channel == 0 && ky == 0 && columns.start == 0;
                    let sums = taps.rows * taps.columns + usize::from(bias);
                    let most = if bias { 2 } else { 4 };
                    for filters in tiles(c.outputs, (S::ACCUMULATORS / sums).clamp(1, most)) {
                        let place = Place { filter: filters.start, channel, ky, kx: columns.start };
                        let taps = Taps { columns: columns.len(), ..taps };
                        match bias {
                            false => self.sized::<S, false>(s, place, taps, filters.len()),
                            true => self.sized::<S, true>(s, place, taps, filters.len()),
                        }
                    }
                }
            }
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn sized<S: Simd, const BIAS: bool>(&mut self, s: S, place: Place, taps: Taps, filters: usize) {
        macro_rules! sizes {
            ($($rows:literal x $columns:literal: $($filters:literal)*;)*) => {
                match (taps.rows, taps.columns, filters) {
                    $($(($rows, $columns, $filters) => {
                        self.tile::<S, BIAS, $rows, $columns, { $rows * $columns }, $filters>(s, place);
                    })*)*
                    _ => unreachable!("tiles are no larger"),
                }
            };
        }
        sizes! {
            3 x 3: 1 2 3;
            2 x 4: 1 2 3;
            2 x 2: 1 2 3 4;
            1 x 5: 1 2 3 4;
            1 x 4: 1 2 3 4;
            1 x 3: 1 2 3 4;
            1 x 2: 1 2 3 4;
            1 x 1: 1 2 3 4;
        }
    }

    /// `R` x `C` taps, `T` in all, times `F` filters.
    #[inline(always)]
    fn tile<S: Simd, const BIAS: bool, const R: usize, const C: usize, const T: usize, const F: usize>(
        &mut self,
        s: S,
        place: Place,
    ) {
        // Sizes that no tile has, and that need not be compiled.
        if (T + usize::from(BIAS)) * F > S::ACCUMULATORS.max(T + 1) || BIAS && F > 2 {
            return;
        }
        let c = self.correlation;
        let (x, _) = self.x.as_chunks::<LANES>();
        let (y_grad, _) = self.y_grad.as_chunks::<LANES>();
        let mut sums = [[s.splat(0.0); T]; F];
        let mut biases = [s.splat(0.0); F];
        // Columns of the output whose taps all meet the image.
        let start = c.pad.saturating_sub(place.kx);
        let end = (c.width + c.pad).saturating_sub(place.kx + C - 1).min(c.out_width);
        for oy in 0..c.out_height {
            let whole = oy + place.ky >= c.pad && oy + place.ky + R - 1 < c.height + c.pad;
            let inner = if whole && start < end { start..end } else { 0..0 };
            let y_row = (place.filter * c.out_height + oy) * c.out_width;
            for ox in (0..inner.start).chain(inner.end..c.out_width) {
                let mut gradient = [s.splat(0.0); F];
                for f in 0..F {
                    gradient[f] = s.load(&y_grad[y_row + f * c.out_height * c.out_width + ox]);
                }
                for t in 0..T {
                    // Column -1 is a large number here, so one comparison covers both sides.
                    let iy = (oy + place.ky + t / C).wrapping_sub(c.pad);
                    let ix = (ox + place.kx + t % C).wrapping_sub(c.pad);
                    if iy < c.height && ix < c.width {
                        let x = s.load(&x[(place.channel * c.height + iy) * c.width + ix]);
                        for f in 0..F {
                            sums[f][t] = s.fma(x, gradient[f], sums[f][t]);
                        }
                    }
                }
                if BIAS {
                    for f in 0..F {
                        biases[f] = s.add(biases[f], gradient[f]);
                    }
                }
            }
            if inner.is_empty() {
                continue;
            }
            // All of one length, so that the loop needs no other test.
            let pixels = inner.len();
            let mut y_rows = [&y_grad[..0]; F];
            for f in 0..F {
                y_rows[f] = &y_grad[y_row + f * c.out_height * c.out_width + inner.start..][..pixels];
            }
            let mut x_rows = [&x[..0]; T];
            let x_row = (place.channel * c.height + oy + place.ky - c.pad) * c.width + inner.start + place.kx - c.pad;
            for t in 0..T {
                x_rows[t] = &x[x_row + t / C * c.width + t % C..][..pixels];
            }
            for i in 0..pixels {
                let mut gradient = [s.splat(0.0); F];
                for f in 0..F {
                    gradient[f] = s.load(&y_rows[f][i]);
                }
                for t in 0..T {
                    let x = s.load(&x_rows[t][i]);
                    for f in 0..F {
                        sums[f][t] = s.fma(x, gradient[f], sums[f][t]);
                    }
                }
                if BIAS {
                    for f in 0..F {
                        biases[f] = s.add(biases[f], gradient[f]);
                    }
                }
            }
        }
        // Through memory, so that the loop below does not keep the accumulators out of the registers above.
        let mut vectors = [[[0.0; LANES]; T]; F];
        for f in 0..F {
            for t in 0..T {
                s.store(&mut vectors[f][t], sums[f][t]);
            }
            if BIAS {
                self.add(c.weight_words() + place.filter + f, s.sum(biases[f]));
            }
        }
        for (f, vectors) in vectors.iter().enumerate() {
            for (t, vector) in vectors.iter().enumerate() {
                let tap = (place.channel * c.kernel + place.ky + t / C) * c.kernel + place.kx + t % C;
                self.add(tap * c.outputs + place.filter + f, s.sum(s.load(vector)));
            }
        }
    }

    #[inline(always)]
    fn add(&mut self, at: usize, gradient: f32) {
        self.partial[at] = if self.first { gradient } else { self.partial[at] + gradient };
    }
}
