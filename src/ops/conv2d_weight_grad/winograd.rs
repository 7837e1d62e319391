//! The weight gradient of one block of 16 images with 3x3 kernels on the CPU, by the transpose of Winograd's algorithm that
//! [`crate::ops::convolution::winograd`] has for the outputs.
//!
//! Along one axis, with four inputs d, the gradients e of two outputs and those w of the kernel:
//!
//! ```text
//! v = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
//! a = (e0, e0 + e1, e0 - e1, -e1)
//! w = (m0 + (m1 + m2) / 2, (m1 - m2) / 2, (m1 + m2) / 2 + m3), m = a v summed over all tiles and images
//! ```
//!
//! Along both axes that makes 4x4 products a v for each pair of channels. One row of the four is done at a time, so that the
//! transformed numbers of all tiles stay in the cache.

use super::cpu::Pass;
use crate::ops::LANES;
use crate::ops::convolution::winograd::{Grid, PRODUCTS, SIDE, input_row, rows_of, transformed_input};
use crate::ops::convolution::{Correlation, tiles};
use crate::ops::simd::{Kernel, Simd, Vector, dispatch, part_accumulators, scratch};
use std::ops::Range;

/// Vectors of the transformed inputs that are multiplied at a time: as many as stay in the second cache (256 KiB).
const CHUNK: usize = 4096;

/// Adds the block's gradients.
pub(super) fn run(pass: &mut Pass<'_>) {
    let c = pass.correlation;
    let count = Grid::of(&c).count();
    let most_tiles = (CHUNK / c.inputs).clamp(16, count.max(16));
    let largest = count.div_ceil(count.div_ceil(most_tiles));
    let sizes = [
        SIDE * c.inputs * largest,
        SIDE * c.outputs * largest,
        (PRODUCTS * c.inputs * c.outputs).div_ceil(LANES),
    ];
    let (most_channels, most_filters) = match part_accumulators() {
        16.. => (4, 4),
        12.. => (4, 3),
        _ => (2, 2),
    };
    scratch(sizes, |[v, a, sums]| {
        let sums = &mut bytemuck::cast_slice_mut(sums)[..PRODUCTS * c.inputs * c.outputs];
        for (chunk, tiles_of_chunk) in tiles(count, most_tiles).enumerate() {
            for row in 0..SIDE {
                dispatch(Transform { pass, tiles: tiles_of_chunk.clone(), row, v, a });
                if row == 1 {
                    dispatch(Biases { pass, first: chunk == 0, count: tiles_of_chunk.len(), a });
                }
                for column in 0..SIDE {
                    let (count, first) = (tiles_of_chunk.len(), chunk == 0);
                    let v = &v[column * c.inputs * count..][..c.inputs * count];
                    let a = &a[column * c.outputs * count..][..c.outputs * count];
                    let plane = c.inputs * c.outputs;
                    let sums = &mut sums[(row * SIDE + column) * plane..][..plane];
                    for filters in tiles(c.outputs, most_filters) {
                        for channels in tiles(c.inputs, most_channels) {
                            let product = Product { v, a, sums, tiles: count, filters: c.outputs, first };
                            product.run(channels, filters.clone());
                        }
                    }
                }
            }
        }
        dispatch(TransformBack { pass, sums });
    });
}

/// Row `row` of the numbers v and a of some tiles, `[4][channel][tile]`.
struct Transform<'a, 'b> {
    pass: &'a Pass<'b>,
    tiles: Range<usize>,
    row: usize,
    v: &'a mut [Vector],
    a: &'a mut [Vector],
}

impl Kernel for Transform<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pass, tiles, row, v, a } = self;
        let c = &pass.correlation;
        let (grid, count) = (Grid::of(c), tiles.len());
        let (x, _) = pass.x.as_chunks::<LANES>();
        for (channel, plane) in x.chunks_exact(c.height * c.width).enumerate() {
            for (t, place) in grid.places(tiles.clone()).enumerate() {
                let (first, second) = rows_of(row);
                let (first, second) =
                    (input_row(s, c, plane, place, first), input_row(s, c, plane, place, second));
                let numbers = transformed_input(s, first, second, row);
                for column in 0..SIDE {
                    s.store(&mut v[(column * c.inputs + channel) * count + t].0, numbers[column]);
                }
            }
        }
        let (y_grad, _) = pass.y_grad.as_chunks::<LANES>();
        for (filter, plane) in y_grad.chunks_exact(c.out_height * c.out_width).enumerate() {
            for (t, place) in grid.places(tiles.clone()).enumerate() {
                let e = output_gradients(s, c, plane, place, row);
                let numbers = [e[0], s.add(e[0], e[1]), s.sub(e[0], e[1]), s.sub(s.splat(0.0), e[1])];
                for column in 0..SIDE {
                    s.store(&mut a[(column * c.outputs + filter) * count + t].0, numbers[column]);
                }
            }
        }
    }
}

/// Row `row` of the gradients of a tile's outputs, transformed along their columns only; zeros outside the image.
#[inline(always)]
fn output_gradients<S: Simd>(
    s: S,
    c: &Correlation,
    plane: &[[f32; LANES]],
    (oy, ox): (usize, usize),
    row: usize,
) -> [S::V; 2] {
    let mut e = [[s.splat(0.0); 2]; 2];
    for dy in 0..2.min(c.out_height - oy) {
        let plane = &plane[(oy + dy) * c.out_width + ox..];
        e[dy][0] = s.load(&plane[0]);
        if ox + 1 < c.out_width {
            e[dy][1] = s.load(&plane[1]);
        }
    }
    let mut transformed = [s.splat(0.0); 2];
    for dx in 0..2 {
        transformed[dx] = match row {
            0 => e[0][dx],
            1 => s.add(e[0][dx], e[1][dx]),
            2 => s.sub(e[0][dx], e[1][dx]),
            _ => s.sub(s.splat(0.0), e[1][dx]),
        };
    }
    transformed
}

/// The biases' gradients: number (1, 1) of a tile is the sum of its four gradients.
struct Biases<'a, 'b> {
    pass: &'a mut Pass<'b>,
    first: bool,
    count: usize,
    a: &'a [Vector],
}

impl Kernel for Biases<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let c = self.pass.correlation;
        let first = self.pass.first && self.first;
        let sums = self.a[c.outputs * self.count..].chunks_exact(self.count);
        for (to, tiles) in self.pass.partial[c.weight_words()..].iter_mut().zip(sums) {
            let mut sum = s.splat(0.0);
            for tile in tiles {
                sum = s.add(sum, s.load(&tile.0));
            }
            let sum = s.sum(sum);
            *to = if first { sum } else { *to + sum };
        }
    }
}

/// One of the 4x4 products of all pairs of channels, summed over tiles and images.
struct Product<'a> {
    /// `[channel][tile]`
    v: &'a [Vector],
    /// `[filter][tile]`
    a: &'a [Vector],
    /// `[channel][filter]`
    sums: &'a mut [f32],
    tiles: usize,
    filters: usize,
    /// Whether there is nothing to add to.
    first: bool,
}

impl Product<'_> {
    fn run(self, channels: Range<usize>, filters: Range<usize>) {
        let (channel, filter) = (channels.start, filters.start);
        macro_rules! sizes {
            ($($c:literal: $($f:literal)*;)*) => {
                match (channels.len(), filters.len()) {
                    $($(($c, $f) => dispatch(Pairs::<$c, $f> { product: self, channel, filter }),)*)*
                    _ => unreachable!("tiles are no larger"),
                }
            };
        }
        sizes! { 1: 1 2 3 4; 2: 1 2 3 4; 3: 1 2 3 4; 4: 1 2 3 4; }
    }
}

/// `C` channels times `F` filters.
struct Pairs<'a, const C: usize, const F: usize> {
    product: Product<'a>,
    channel: usize,
    filter: usize,
}

impl<const C: usize, const F: usize> Kernel for Pairs<'_, C, F> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Not one of the sizes that `run` uses otherwise.
        if const { C * F <= S::ACCUMULATORS * S::PARTS || C * F <= 4 } {
            let Self { product: Product { v, a, sums, tiles, filters, first }, channel, filter } = self;
            let mut v_rows = [v; C];
            for i in 0..C {
                v_rows[i] = &v[(channel + i) * tiles..][..tiles];
            }
            let mut a_rows = [a; F];
            for i in 0..F {
                a_rows[i] = &a[(filter + i) * tiles..][..tiles];
            }
            let mut totals = [[0.0; LANES]; LANES];
            for part in 0..S::PARTS {
                let mut sums = [[s.load_one(&[0.0; LANES], part); F]; C];
                for t in 0..tiles {
                    let mut gradients = [sums[0][0]; F];
                    for j in 0..F {
                        gradients[j] = s.load_one(&a_rows[j][t].0, part);
                    }
                    for i in 0..C {
                        let x = s.load_one(&v_rows[i][t].0, part);
                        for j in 0..F {
                            sums[i][j] = s.fma_one(x, gradients[j], sums[i][j]);
                        }
                    }
                }
                for i in 0..C {
                    for j in 0..F {
                        s.store_one(&mut totals[i * F + j], part, sums[i][j]);
                    }
                }
            }
            let mut vectors = [s.splat(0.0); LANES];
            for i in 0..C * F {
                vectors[i] = s.load(&totals[i]);
            }
            let mut pairs = [0.0; LANES];
            s.store(&mut pairs, s.sums(vectors));
            for (i, from) in pairs.chunks_exact(F).take(C).enumerate() {
                let to = &mut sums[(channel + i) * filters + filter..][..F];
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = if first { from } else { *to + from };
                }
            }
        }
    }
}

/// The kernel's gradients along one axis, from the sums.
#[inline(always)]
fn gradients_along<S: Simd>(s: S, m: [S::V; SIDE]) -> [S::V; 3] {
    let half = s.splat(0.5);
    let (sum, difference) = (s.mul(half, s.add(m[1], m[2])), s.mul(half, s.sub(m[1], m[2])));
    [s.add(m[0], sum), difference, s.add(sum, m[3])]
}

/// From the 4x4 sums `[4 x 4][channel][filter]` to the kernels' gradients.
struct TransformBack<'a, 'b> {
    pass: &'a mut Pass<'b>,
    sums: &'a [f32],
}

impl Kernel for TransformBack<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pass, sums } = self;
        let c = pass.correlation;
        for channel in 0..c.inputs {
            for first in (0..c.outputs).step_by(LANES) {
                let count = LANES.min(c.outputs - first);
                let mut columns = [[s.splat(0.0); 3]; SIDE];
                for column in 0..SIDE {
                    let mut m = [s.splat(0.0); SIDE];
                    for row in 0..SIDE {
                        let at = ((row * SIDE + column) * c.inputs + channel) * c.outputs + first;
                        m[row] = s.load_part(&sums[at..][..count]);
                    }
                    columns[column] = gradients_along(s, m);
                }
                for ky in 0..3 {
                    let taps =
                        gradients_along(s, [columns[0][ky], columns[1][ky], columns[2][ky], columns[3][ky]]);
                    for kx in 0..3 {
                        let at = ((channel * 3 + ky) * 3 + kx) * c.outputs + first;
                        let to = &mut pass.partial[at..][..count];
                        let before = if pass.first { s.splat(0.0) } else { s.load_part(to) };
                        s.store_part(to, s.add(before, taps[kx]));
                    }
                }
            }
        }
    }
}
