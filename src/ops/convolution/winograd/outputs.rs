//! The outputs: a few tiles at a time are transformed, multiplied and transformed back, so that what lies between stays in the
//! cache. Sums are added in the order of the channels whatever the number of tiles, so that results do not depend on it.

use super::super::cpu::{Direction, Pass};
use super::super::tiles;
use super::{Grid, PRODUCTS, SIDE, input_row, rows_of, transformed_input};
use crate::ops::LANES;
use crate::ops::simd::{Kernel, Simd, Vector, accumulators, dispatch, scratch};
use std::ops::Range;

/// The numbers u of all pairs of channels, `[4 x 4][input][output]` or `[4 x 4][output][input]`.
#[derive(Clone, Copy)]
struct Weights<'a> {
    words: &'a [f32],
    /// Words of one of the 4x4.
    plane: usize,
    /// Input channels.
    inputs: usize,
    /// Words from an input channel to the next.
    input_step: usize,
    /// Words from an output channel to the next.
    output_step: usize,
}

/// Output channels whose products are made before they are transformed back: as many as stay in the second cache (300 KB).
const GROUP: usize = 48;

/// Correlates a block.
pub(in crate::ops) fn run(pass: &mut Pass<'_>) {
    let c = pass.correlation;
    let most_tiles = match accumulators() {
        24.. => 6,
        6.. => 3,
        _ => 2,
    };
    // The weights are transformed 16 at a time, along the channels that lie next to each other.
    let (near, far) = match pass.direction {
        Direction::Forward { .. } => (c.outputs, c.inputs),
        Direction::Backward { .. } => (c.inputs, c.outputs),
    };
    let step = near.next_multiple_of(LANES);
    let (input_step, output_step) = match pass.direction {
        Direction::Forward { .. } => (step, 1),
        Direction::Backward { .. } => (1, step),
    };
    let group = GROUP.min(c.outputs);
    let sizes = [far * step / LANES, c.inputs * most_tiles, group * most_tiles].map(|each| PRODUCTS * each);
    scratch(sizes, |[u, v, products]| {
        dispatch(TransformWeights { pass, near, far, to: u });
        let weights = Weights {
            words: bytemuck::cast_slice(u),
            plane: far * step,
            inputs: c.inputs,
            input_step,
            output_step,
        };
        for tiles_of_chunk in tiles(Grid::of(&c).count(), most_tiles) {
            dispatch(TransformInput { pass, tiles: tiles_of_chunk.clone(), to: v });
            for outputs in tiles(c.outputs, group) {
                multiply(&weights, v, products, tiles_of_chunk.len(), outputs.clone());
                dispatch(TransformBack { pass, products, tiles: tiles_of_chunk.clone(), outputs });
            }
        }
    });
}

/// The numbers u along one axis.
#[inline(always)]
fn weights_along<S: Simd>(s: S, g: [S::V; 3]) -> [S::V; SIDE] {
    let half = s.splat(0.5);
    let (outer, inner) = (s.mul(half, s.add(g[0], g[2])), s.mul(half, g[1]));
    [g[0], s.add(outer, inner), s.sub(outer, inner), g[2]]
}

/// The outputs along one axis, from the products.
#[inline(always)]
fn outputs_along<S: Simd>(s: S, m: [S::V; SIDE]) -> [S::V; 2] {
    [s.add(s.add(m[0], m[1]), m[2]), s.sub(s.sub(m[1], m[2]), m[3])]
}

struct TransformWeights<'a, 'b> {
    pass: &'a Pass<'b>,
    near: usize,
    far: usize,
    to: &'a mut [Vector],
}

impl Kernel for TransformWeights<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pass, near, far, to } = self;
        let flipped = matches!(pass.direction, Direction::Backward { .. });
        let vectors = near.div_ceil(LANES);
        for i in 0..far {
            for j in 0..vectors {
                let first = j * LANES;
                let count = LANES.min(near - first);
                let mut columns = [[s.splat(0.0); SIDE]; 3];
                for kx in 0..3 {
                    let mut g = [s.splat(0.0); 3];
                    for ky in 0..3 {
                        let tap = if flipped { 8 - (3 * ky + kx) } else { 3 * ky + kx };
                        g[ky] = s.load_part(&pass.weights[(i * 9 + tap) * near + first..][..count]);
                    }
                    columns[kx] = weights_along(s, g);
                }
                for row in 0..SIDE {
                    let u = weights_along(s, [columns[0][row], columns[1][row], columns[2][row]]);
                    for column in 0..SIDE {
                        s.store(&mut to[((row * SIDE + column) * far + i) * vectors + j].0, u[column]);
                    }
                }
            }
        }
    }
}

/// The numbers v of a chunk of tiles, `[4 x 4][input][tile]`.
struct TransformInput<'a, 'b> {
    pass: &'a Pass<'b>,
    tiles: Range<usize>,
    to: &'a mut [Vector],
}

impl Kernel for TransformInput<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pass, tiles, to } = self;
        let c = &pass.correlation;
        let (grid, count) = (Grid::of(c), tiles.len());
        let (input, _) = pass.input.as_chunks::<LANES>();
        for (channel, plane) in input.chunks_exact(c.height * c.width).enumerate() {
            for (t, place) in grid.places(tiles.clone()).enumerate() {
                let mut d = [[s.splat(0.0); SIDE]; SIDE];
                for row in 0..SIDE {
                    d[row] = input_row(s, c, plane, place, row);
                }
                for row in 0..SIDE {
                    let (first, second) = rows_of(row);
                    let v = transformed_input(s, d[first], d[second], row);
                    for column in 0..SIDE {
                        s.store(
                            &mut to[((row * SIDE + column) * c.inputs + channel) * count + t].0,
                            v[column],
                        );
                    }
                }
            }
        }
    }
}

/// The products of a chunk of tiles for some output channels, `[4 x 4][output][tile]`.
fn multiply(
    weights: &Weights<'_>,
    v: &[Vector],
    products: &mut [Vector],
    tiles: usize,
    outputs: Range<usize>,
) {
    macro_rules! sizes {
        ($($t:literal)*) => {
            match tiles {
                $($t => dispatch(Multiply::<$t> { weights, v, products, outputs }),)*
                _ => unreachable!("chunks are no larger"),
            }
        };
    }
    sizes! { 1 2 3 4 5 6 }
}

/// `T` tiles.
struct Multiply<'a, const T: usize> {
    weights: &'a Weights<'a>,
    v: &'a [Vector],
    products: &'a mut [Vector],
    outputs: Range<usize>,
}

impl<const T: usize> Kernel for Multiply<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        for product in 0..PRODUCTS {
            let mut done = 0;
            if const { 4 * T <= S::ACCUMULATORS } {
                while done + 4 <= self.outputs.len() {
                    self.product::<S, 4>(s, product, done);
                    done += 4;
                }
            }
            if const { 2 * T <= S::ACCUMULATORS } {
                while done + 2 <= self.outputs.len() {
                    self.product::<S, 2>(s, product, done);
                    done += 2;
                }
            }
            while done < self.outputs.len() {
                self.product::<S, 1>(s, product, done);
                done += 1;
            }
        }
    }
}

impl<const T: usize> Multiply<'_, T> {
    /// Product `product` of the 4x4, for `O` of the outputs.
    #[inline(always)]
    fn product<S: Simd, const O: usize>(&mut self, s: S, product: usize, first: usize) {
        let Weights { words, plane, inputs, input_step, output_step } = *self.weights;
        let weights = &words[product * plane..][..plane];
        let mut rows = [weights; O];
        for o in 0..O {
            rows[o] = &weights[(self.outputs.start + first + o) * output_step..];
        }
        let mut sums = [[s.splat(0.0); T]; O];
        for (channel, from) in self.v[product * inputs * T..][..inputs * T].chunks_exact(T).enumerate() {
            let mut u = [s.splat(0.0); O];
            for o in 0..O {
                u[o] = s.splat(rows[o][channel * input_step]);
            }
            // One tile after the other, which leaves the registers to the sums.
            for t in 0..T {
                let v = s.load(&from[t].0);
                for o in 0..O {
                    sums[o][t] = s.fma(u[o], v, sums[o][t]);
                }
            }
        }
        let to = &mut self.products[(product * self.outputs.len() + first) * T..][..O * T];
        for o in 0..O {
            for t in 0..T {
                s.store(&mut to[o * T + t].0, sums[o][t]);
            }
        }
    }
}

/// From the products `[4 x 4][output][tile]` to the outputs.
struct TransformBack<'a, 'b> {
    pass: &'a mut Pass<'b>,
    products: &'a [Vector],
    tiles: Range<usize>,
    outputs: Range<usize>,
}

impl Kernel for TransformBack<'_, '_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pass, products, tiles, outputs } = self;
        let c = pass.correlation;
        let plane = outputs.len() * tiles.len();
        for (o, output) in outputs.enumerate() {
            for (t, (oy, ox)) in Grid::of(&c).places(tiles.clone()).enumerate() {
                let mut columns = [[s.splat(0.0); 2]; SIDE];
                for column in 0..SIDE {
                    let mut m = [s.splat(0.0); SIDE];
                    for row in 0..SIDE {
                        m[row] = s.load(&products[(row * SIDE + column) * plane + o * tiles.len() + t].0);
                    }
                    columns[column] = outputs_along(s, m);
                }
                for dy in 0..2.min(c.out_height - oy) {
                    let y =
                        outputs_along(s, [columns[0][dy], columns[1][dy], columns[2][dy], columns[3][dy]]);
                    let first = ((output * c.out_height + oy + dy) * c.out_width + ox) * LANES;
                    match ox + 1 < c.out_width {
                        true => pass.store(s, output, first, y),
                        false => pass.store(s, output, first, [y[0]]),
                    }
                }
            }
        }
    }
}
