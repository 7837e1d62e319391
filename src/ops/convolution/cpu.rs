//! The correlation on the CPU, one block of 16 images at a time: a vector is one pixel of 16 images, a tile is a few
//! pixels of a row x a few output channels in registers, and every weight is broadcast once for all pixels of the tile.
//!
//! Nothing is padded: rows of the kernel that miss the image are left out of the loop, and columns that miss it are
//! found by a test for each pixel, which costs nothing beside the multiply-adds of all output channels. Every output is
//! added in the order channel, row, column whatever its tile, so that results do not depend on the tiling.

use super::{Correlation, tiles};
use crate::ops::LANES;
use crate::ops::activation::Activation;
use crate::ops::activation_simd;
use crate::ops::simd::{Kernel, Simd, accumulators, dispatch};
use std::ops::Range;

/// What is correlated with which kernel, and what happens to the sums.
#[derive(Clone, Copy)]
pub(in crate::ops) enum Direction<'a> {
    /// Weights `[inputs][kernel][kernel][outputs]`; then the bias and the activation.
    Forward {
        /// One for each output channel.
        bias: &'a [f32],
    },
    /// Flipped kernels with weights `[outputs][kernel][kernel][inputs]`; then the activation's derivative, from its output.
    Backward {
        /// The activation's output, a block like the result.
        activated: &'a [f32],
    },
}

/// A block to be correlated.
pub(in crate::ops) struct Pass<'a> {
    /// Shapes.
    pub(in crate::ops) correlation: Correlation,
    /// Which way.
    pub(in crate::ops) direction: Direction<'a>,
    /// The activation that is applied or differentiated.
    pub(in crate::ops) activation: Activation,
    /// Weights from the first on.
    pub(in crate::ops) weights: &'a [f32],
    /// The block.
    pub(in crate::ops) input: &'a [f32],
    /// Its result.
    pub(in crate::ops) output: &'a mut [f32],
}

impl Pass<'_> {
    /// Correlates the block.
    pub(in crate::ops) fn run(mut self) {
        let c = self.correlation;
        let (pixels, outputs) = match accumulators() {
            24.. => (6, 4),
            6.. => (3, 2),
            _ => (2, 1),
        };
        let mut weights = vec![0.0; c.inputs * c.kernel * c.kernel * outputs];
        for tile_o in tiles(c.outputs, outputs) {
            self.pack(tile_o.clone(), &mut weights);
            for tile_x in tiles(c.out_width, pixels) {
                self.strip(&weights, tile_x, tile_o.clone());
            }
        }
        // Linear and relu are part of the tiles; for the others one more pass keeps the tiles small.
        if !matches!(self.activation, Activation::Linear | Activation::Relu) {
            dispatch(Finish(self));
        }
    }

    /// The weights of a tile in the order of their use, `[inputs][kernel][kernel][tile]`.
    fn pack(&self, outputs: Range<usize>, packed: &mut [f32]) {
        let c = self.correlation;
        let taps = c.kernel * c.kernel;
        for (i, packed) in packed.chunks_exact_mut(outputs.len()).take(c.inputs * taps).enumerate() {
            for (o, packed) in outputs.clone().zip(packed) {
                *packed = match self.direction {
                    Direction::Forward { .. } => self.weights[i * c.outputs + o],
                    Direction::Backward { .. } => {
                        let (channel, tap) = (i / taps, i % taps);
                        self.weights[(o * taps + taps - 1 - tap) * c.inputs + channel]
                    }
                };
            }
        }
    }

    /// All rows of a tile's columns.
    fn strip(&mut self, weights: &[f32], columns: Range<usize>, outputs: Range<usize>) {
        let (first_output, ox) = (outputs.start, columns.start);
        macro_rules! sizes {
            ($($o:literal: $($p:literal)*;)*) => {
                match (outputs.len(), columns.len()) {
                    $($(($o, $p) => {
                        dispatch(Strip::<$o, $p> { pass: self, weights, first_output, ox });
                    })*)*
                    _ => unreachable!("tiles are no larger"),
                }
            };
        }
        sizes! { 1: 1 2 3 4 5 6; 2: 1 2 3 4 5 6; 3: 1 2 3 4 5 6; 4: 1 2 3 4 5 6; }
    }

    /// The end of neighbouring sums: they go to the words from `first` on.
    #[inline(always)]
    fn store<S: Simd, const P: usize>(&mut self, s: S, output: usize, first: usize, sums: [S::V; P]) {
        let relu = self.activation == Activation::Relu;
        let to = &mut self.output[first..][..P * LANES];
        match self.direction {
            Direction::Forward { bias } => {
                let bias = s.splat(bias[output]);
                // NaN passes through the maximum.
                let floor = s.splat(if relu { 0.0 } else { f32::NEG_INFINITY });
                for p in 0..P {
                    s.store(&mut to[p * LANES..], s.max(floor, s.add(sums[p], bias)));
                }
            }
            Direction::Backward { activated } if relu => {
                let activated = &activated[first..][..P * LANES];
                for p in 0..P {
                    let (y, zero) = (s.load(&activated[p * LANES..]), s.splat(0.0));
                    s.store(&mut to[p * LANES..], s.select_gt(y, zero, sums[p], zero));
                }
            }
            Direction::Backward { .. } => {
                for p in 0..P {
                    s.store(&mut to[p * LANES..], sums[p]);
                }
            }
        }
    }
}

/// The tiles of `P` neighbouring columns and `O` output channels, one for each row.
///
/// A kernel for each size, rather than one for all, because compilers take very long for large functions.
struct Strip<'a, 'b, const O: usize, const P: usize> {
    pass: &'a mut Pass<'b>,
    weights: &'a [f32],
    first_output: usize,
    ox: usize,
}

impl<const O: usize, const P: usize> Kernel for Strip<'_, '_, O, P> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if const { O * P <= S::ACCUMULATORS } {
            let c = self.pass.correlation;
            for oy in 0..c.out_height {
                let sums = self.tile(s, oy);
                for (o, sums) in sums.into_iter().enumerate() {
                    let output = self.first_output + o;
                    let first = ((output * c.out_height + oy) * c.out_width + self.ox) * LANES;
                    self.pass.store(s, output, first, sums);
                }
            }
        }
    }
}

impl<const O: usize, const P: usize> Strip<'_, '_, O, P> {
    /// The sums of row `oy`.
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, oy: usize) -> [[S::V; P]; O] {
        let c = self.pass.correlation;
        let (input, _) = self.pass.input.as_chunks::<LANES>();
        let mut sums = [[s.splat(0.0); P]; O];
        // Rows of the kernel that meet the image.
        let rows = c.pad.saturating_sub(oy)..c.kernel.min(c.height + c.pad - oy);
        for channel in 0..c.inputs {
            for ky in rows.clone() {
                let row = (channel * c.height + oy + ky - c.pad) * c.width;
                let weights = &self.weights[(channel * c.kernel + ky) * c.kernel * O..][..c.kernel * O];
                for (kx, from) in weights.chunks_exact(O).enumerate() {
                    let mut weights = [s.splat(0.0); O];
                    for o in 0..O {
                        weights[o] = s.splat(from[o]);
                    }
                    for p in 0..P {
                        // Column -1 is a large number here, so one comparison covers both sides.
                        let ix = (self.ox + p + kx).wrapping_sub(c.pad);
                        if ix < c.width {
                            let x = s.load(&input[row + ix]);
                            for o in 0..O {
                                sums[o][p] = s.fma(x, weights[o], sums[o][p]);
                            }
                        }
                    }
                }
            }
        }
        sums
    }
}

/// Activations that are not part of the tiles.
struct Finish<'a>(Pass<'a>);

impl Kernel for Finish<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pass { direction, activation, output, .. } = self.0;
        for (i, y) in output.chunks_exact_mut(LANES).enumerate() {
            let sum = s.load(y);
            let result = match direction {
                Direction::Forward { .. } => activation_simd::apply(s, activation, sum),
                Direction::Backward { activated } => {
                    let activated = s.load(&activated[i * LANES..]);
                    s.mul(sum, activation_simd::derivative_from_output(s, activation, activated))
                }
            };
            s.store(y, result);
        }
    }
}
