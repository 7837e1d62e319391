//! One block of 16 images on the CPU. The gradients of a row of windows are spread over the two rows of outputs that it was made
//! of, which stay in the nearest cache for all taps; a tile is a few taps of a row of the kernel x a few filters, each a vector
//! that adds up all pixels, and whose lanes are added at the end.

use crate::ops::LANES;
use crate::ops::convolution::pooled::{NONE, PLACES, SIDE, Windows};
use crate::ops::convolution::tiles;
use crate::ops::simd::{Kernel, Simd, Vector, dispatch, part_accumulators, scratch};

/// A block whose gradients are to be added.
pub(super) struct Pass<'a> {
    /// Shapes.
    pub(super) windows: Windows,
    /// The block's input.
    pub(super) x: &'a [f32],
    /// The gradient of what pooling left.
    pub(super) y_grad: &'a [f32],
    /// Where in their windows that was.
    pub(super) winners: &'a [f32],
    /// Weights' gradients, then biases'.
    pub(super) partial: &'a mut [f32],
    /// Whether they are the first of the slice, so that nothing is there to add to.
    pub(super) first: bool,
}

/// Most columns of the kernel in a tile.
const MOST_COLUMNS: usize = 5;
/// Most filters.
const MOST_FILTERS: usize = 3;

impl Pass<'_> {
    /// Adds the block's gradients.
    pub(super) fn run(mut self) {
        let c = self.windows.correlation;
        let sizes = [
            self.windows.padded_vectors(),
            MOST_FILTERS * PLACES * self.windows.width,
            MOST_FILTERS * (c.kernel * MOST_COLUMNS + 1),
        ];
        scratch(sizes, |[x, rows, sums]| {
            self.windows.pad(self.x, x);
            for channel in 0..c.inputs {
                for columns in tiles(c.kernel, MOST_COLUMNS) {
                    let most = (part_accumulators() / columns.len()).clamp(1, MOST_FILTERS);
                    for filters in tiles(c.outputs, most) {
                        let place = Place { channel, column: columns.start, filter: filters.start };
                        let memory = Memory { x, rows, sums };
                        tile(&mut self, place, memory, (columns.len(), filters.len()));
                    }
                }
            }
        });
    }
}

/// The place of a tile: its channel, its first column of the kernel, and its first filter.
#[derive(Clone, Copy)]
struct Place {
    channel: usize,
    column: usize,
    filter: usize,
}

struct Memory<'a> {
    /// The padded input.
    x: &'a [Vector],
    /// `[filters][2][columns]`, the gradients of a row of windows.
    rows: &'a mut [Vector],
    /// `[rows of the kernel][filters][columns]`, then one for each bias.
    sums: &'a mut [Vector],
}

fn tile(pass: &mut Pass<'_>, place: Place, memory: Memory<'_>, size: (usize, usize)) {
    macro_rules! sizes {
        ($($columns:literal: $($filters:literal)*;)*) => {
            match size {
                $($(($columns, $filters) => {
                    dispatch(Tile::<$columns, $filters> { pass, place, memory });
                })*)*
                _ => unreachable!("tiles are no larger"),
            }
        };
    }
    sizes! { 1: 1 2 3; 2: 1 2 3; 3: 1 2 3; 4: 1 2 3; 5: 1 2 3; }
}

/// `C` columns of all rows of the kernel times `F` filters.
///
/// A kernel for each size, rather than one for all, because compilers take very long for large functions.
struct Tile<'a, 'b, const C: usize, const F: usize> {
    pass: &'a mut Pass<'b>,
    place: Place,
    memory: Memory<'a>,
}

impl<const C: usize, const F: usize> Kernel for Tile<'_, '_, C, F> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if const { C * F <= S::ACCUMULATORS * S::PARTS || F == 1 } {
            let c = self.pass.windows.correlation;
            self.memory.sums[..F * (c.kernel * C + 1)].fill(Vector::default());
            for oy in 0..self.pass.windows.height {
                self.spread(s, oy);
                for ky in 0..c.kernel {
                    for part in 0..S::PARTS {
                        self.add_row(s, part, oy, ky);
                    }
                }
            }
            self.finish(s);
        }
    }
}

impl<const C: usize, const F: usize> Tile<'_, '_, C, F> {
    /// Spreads the gradients of a row of windows, and adds them to the biases'.
    #[inline(always)]
    fn spread<S: Simd>(&mut self, s: S, oy: usize) {
        let Windows { correlation: c, width, .. } = self.pass.windows;
        let count = self.pass.windows.count();
        let (y_grad, _) = self.pass.y_grad.as_chunks::<LANES>();
        let (winners, _) = self.pass.winners.as_chunks::<LANES>();
        for f in 0..F {
            let first = (self.place.filter + f) * count + oy * width;
            let y_grad = &y_grad[first..][..width];
            let winners = &winners[first..][..width];
            let rows = &mut self.memory.rows[f * PLACES * width..][..PLACES * width];
            let (upper, lower) = rows.split_at_mut(SIDE * width);
            let windows = upper.chunks_exact_mut(SIDE).zip(lower.chunks_exact_mut(SIDE));
            let bias = &mut self.memory.sums[F * c.kernel * C + f].0;
            let mut sum = s.load(bias);
            let none = s.splat(NONE as f32);
            for ((y_grad, winners), (upper, lower)) in y_grad.iter().zip(winners).zip(windows) {
                let (gradient, winner) = (s.load(y_grad), s.load(winners));
                for place in 0..PLACES {
                    let row = if place < SIDE { &mut *upper } else { &mut *lower };
                    let here = s.select_eq(winner, s.splat(place as f32), gradient, s.splat(0.0));
                    s.store(&mut row[place % SIDE].0, here);
                }
                sum = s.add(sum, s.select_eq(winner, none, s.splat(0.0), gradient));
            }
            s.store(bias, sum);
        }
    }

    /// Adds the products of two rows of gradients with those of the input that row `ky` of the kernel meets there, for one part
    /// of the vectors.
    #[inline(always)]
    fn add_row<S: Simd>(&mut self, s: S, part: usize, oy: usize, ky: usize) {
        let (height, width) = self.pass.windows.padded();
        let pixels = SIDE * self.pass.windows.width;
        let totals = &mut self.memory.sums[ky * F * C..][..F * C];
        let mut sums = [[s.splat_one(0.0); C]; F];
        for f in 0..F {
            for t in 0..C {
                sums[f][t] = s.load_one(&totals[f * C + t].0, part);
            }
        }
        for row in 0..SIDE {
            // All of one length, so that the loop needs no other test. No closures: they are not always inlined.
            let mut y_rows = [&self.memory.rows[..0]; F];
            for f in 0..F {
                y_rows[f] = &self.memory.rows[(f * SIDE + row) * pixels..][..pixels];
            }
            let first = (self.place.channel * height + SIDE * oy + row + ky) * width + self.place.column;
            let mut x_rows = [&self.memory.x[..0]; C];
            for t in 0..C {
                x_rows[t] = &self.memory.x[first + t..][..pixels];
            }
            for i in 0..pixels {
                let mut gradient = [s.splat_one(0.0); F];
                for f in 0..F {
                    gradient[f] = s.load_one(&y_rows[f][i].0, part);
                }
                for t in 0..C {
                    let x = s.load_one(&x_rows[t][i].0, part);
                    for f in 0..F {
                        sums[f][t] = s.fma_one(x, gradient[f], sums[f][t]);
                    }
                }
            }
        }
        for f in 0..F {
            for t in 0..C {
                s.store_one(&mut totals[f * C + t].0, part, sums[f][t]);
            }
        }
    }

    /// Adds the lanes of all sums to the gradients.
    #[inline(always)]
    fn finish<S: Simd>(self, s: S) {
        let Place { channel, column, filter } = self.place;
        let Pass { windows: Windows { correlation: c, .. }, partial, first, .. } = self.pass;
        let add = |to: &mut f32, sum: f32| *to = if *first { sum } else { *to + sum };
        let (totals, biases) = self.memory.sums[..F * (c.kernel * C + 1)].split_at(F * C * c.kernel);
        for (i, total) in totals.iter().enumerate() {
            let (ky, f, t) = (i / (F * C), i / C % F, i % C);
            let tap = (channel * c.kernel + ky) * c.kernel + column + t;
            add(&mut partial[tap * c.outputs + filter + f], s.sum(s.load(&total.0)));
        }
        if channel == 0 && column == 0 {
            for (f, bias) in biases.iter().enumerate() {
                add(&mut partial[c.weight_words() + filter + f], s.sum(s.load(&bias.0)));
            }
        }
    }
}
