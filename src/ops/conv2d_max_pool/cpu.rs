//! One block of 16 images on the CPU: a tile is one window x a few output channels in registers, by parts of vectors. What is
//! not the greatest of a window never reaches memory.

use crate::ops::LANES;
use crate::ops::activation::Activation;
use crate::ops::activation_simd;
use crate::ops::convolution::pooled::{NONE, PLACES, SIDE, Windows};
use crate::ops::convolution::tiles;
use crate::ops::simd::{Kernel, Simd, Vector, dispatch, part_accumulators, scratch};
use std::ops::Range;

/// A block to be correlated and pooled.
pub(super) struct Pass<'a> {
    /// Shapes.
    pub(super) windows: Windows,
    /// Applied to the greatest sum and its bias.
    pub(super) activation: Activation,
    /// Weights from the first on, `[inputs][kernel][kernel][outputs]`.
    pub(super) weights: &'a [f32],
    /// One for each output channel.
    pub(super) bias: &'a [f32],
    /// The block.
    pub(super) input: &'a [f32],
    /// What is left of its output.
    pub(super) output: &'a mut [f32],
    /// Where in their windows it was.
    pub(super) winners: &'a mut [f32],
}

/// Most output channels of a tile. One less than fit beside each other leaves room for values that two taps share.
const MOST_FILTERS: usize = 5;

impl Pass<'_> {
    /// Correlates and pools the block.
    pub(super) fn run(mut self) {
        let c = self.windows.correlation;
        let most = MOST_FILTERS.min((part_accumulators() / PLACES).saturating_sub(1)).max(1);
        let weights = (c.inputs * c.kernel * c.kernel * most).div_ceil(LANES);
        scratch([self.windows.padded_vectors(), weights], |[x, weights]| {
            self.windows.pad(self.input, x);
            for filters in tiles(c.outputs, most) {
                let weights =
                    &mut bytemuck::cast_slice_mut(weights)[..c.weight_words() / c.outputs * filters.len()];
                pack(&self, filters.clone(), weights);
                tile(&mut self, x, weights, filters);
            }
        });
        // Linear and relu are part of the tiles.
        if !matches!(self.activation, Activation::Linear | Activation::Relu) {
            dispatch(Finish(self));
        }
    }
}

/// The weights of a tile in the order of their use, `[inputs][kernel][kernel][tile]`.
fn pack(pass: &Pass<'_>, filters: Range<usize>, packed: &mut [f32]) {
    let outputs = pass.windows.correlation.outputs;
    for (weights, packed) in pass.weights.chunks_exact(outputs).zip(packed.chunks_exact_mut(filters.len())) {
        packed.copy_from_slice(&weights[filters.clone()]);
    }
}

fn tile(pass: &mut Pass<'_>, x: &[Vector], weights: &[f32], filters: Range<usize>) {
    let first = filters.start;
    macro_rules! sizes {
        ($($o:literal)*) => {
            match (filters.len(), pass.windows.correlation.kernel) {
                $(($o, 3) => dispatch(Tile::<$o, 3> { pass, x, weights, first }),)*
                $(($o, _) => dispatch(Tile::<$o, 0> { pass, x, weights, first }),)*
                _ => unreachable!("tiles are no larger"),
            }
        };
    }
    sizes! { 1 2 3 4 5 }
}

/// All windows of `O` output channels, by kernels of side `K`, or of any size if that is 0.
///
/// A kernel for each size, rather than one for all, because compilers take very long for large functions.
struct Tile<'a, 'b, const O: usize, const K: usize> {
    pass: &'a mut Pass<'b>,
    /// The padded input.
    x: &'a [Vector],
    /// The tile's, in the order of their use.
    weights: &'a [f32],
    /// First output channel.
    first: usize,
}

impl<const O: usize, const K: usize> Kernel for Tile<'_, '_, O, K> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if const { O * PLACES <= S::ACCUMULATORS * S::PARTS || O == 1 } {
            let Self { x, weights, first, .. } = self;
            let Pass { windows, activation, bias, output, winners, .. } = self.pass;
            let (y, _) = output.as_chunks_mut::<LANES>();
            let (winners, _) = winners.as_chunks_mut::<LANES>();
            let bias = &bias[first..][..O];
            let relu = *activation == Activation::Relu;
            let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
            for oy in 0..windows.height {
                for part in 0..S::PARTS {
                    for ox in 0..windows.width {
                        let sums = sums::<S, O, K>(s, part, windows, (x, weights), (oy, ox));
                        for o in 0..O {
                            let mut best = sums[o][0];
                            let mut winner = s.splat_one(0.0);
                            for place in 1..PLACES {
                                winner =
                                    s.select_gt_one(sums[o][place], best, s.splat_one(place as f32), winner);
                                // Keeps what is there where the new one is not larger, or where either is NaN.
                                best = s.max_one(sums[o][place], best);
                            }
                            let best = s.fma_one(best, s.splat_one(1.0), s.splat_one(bias[o]));
                            if relu {
                                let none = s.splat_one(NONE as f32);
                                winner = s.select_gt_one(best, s.splat_one(0.0), winner, none);
                            }
                            let at = ((first + o) * windows.height + oy) * windows.width + ox;
                            // NaN passes through the maximum.
                            s.store_one(&mut y[at], part, s.max_one(s.splat_one(floor), best));
                            s.store_one(&mut winners[at], part, winner);
                        }
                    }
                }
            }
        }
    }
}

/// The sums of a window, for one part of the vectors.
#[inline(always)]
fn sums<S: Simd, const O: usize, const K: usize>(
    s: S,
    part: usize,
    windows: &Windows,
    (x, weights): (&[Vector], &[f32]),
    (oy, ox): (usize, usize),
) -> [[S::Part; PLACES]; O] {
    let inputs = windows.correlation.inputs;
    let kernel = if K == 0 { windows.correlation.kernel } else { K };
    let (height, width) = windows.padded();
    let mut sums = [[s.splat_one(0.0); PLACES]; O];
    for channel in 0..inputs {
        for ky in 0..kernel {
            let first = (channel * height + SIDE * oy + ky) * width + SIDE * ox;
            let upper = &x[first..][..kernel + 1];
            let lower = &x[first + width..][..kernel + 1];
            let weights = &weights[(channel * kernel + ky) * kernel * O..][..kernel * O];
            for kx in 0..kernel {
                let values = [
                    s.load_one(&upper[kx].0, part),
                    s.load_one(&upper[kx + 1].0, part),
                    s.load_one(&lower[kx].0, part),
                    s.load_one(&lower[kx + 1].0, part),
                ];
                for o in 0..O {
                    let weight = s.splat_one(weights[kx * O + o]);
                    for place in 0..PLACES {
                        sums[o][place] = s.fma_one(values[place], weight, sums[o][place]);
                    }
                }
            }
        }
    }
    sums
}

/// Activations that are not part of the tiles.
struct Finish<'a>(Pass<'a>);

impl Kernel for Finish<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pass { activation, output, .. } = self.0;
        for y in output.chunks_exact_mut(LANES) {
            let sum = s.load(y);
            s.store(y, activation_simd::apply(s, activation, sum));
        }
    }
}
