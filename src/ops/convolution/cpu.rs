//! The correlation on the CPU, one block of 16 images at a time: a vector is one pixel of 16 images, a tile is a few
//! pixels of a row x a few output channels in registers, and every weight is broadcast once for all pixels of the tile.
//!
//! Nothing is padded: rows of the kernel that miss the image are left out of the loop, and tiles at the left and
//! right edges test each pixel. Every output is added in the order channel, row, column whatever its tile, so that results
//! do not depend on the tiling.

use super::{Correlation, tiles};
use crate::ops::LANES;
use crate::ops::activation::Activation;
use crate::ops::activation_simd;
use crate::ops::simd::{Kernel, Simd};
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

/// The place of a tile.
#[derive(Clone, Copy)]
struct Place {
    oy: usize,
    ox: usize,
    first_output: usize,
}

impl Kernel for Pass<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let c = self.correlation;
        let (pixels, outputs) = if S::ACCUMULATORS >= 24 { (6, 4) } else { (3, 2) };
        let mut weights = vec![0.0; c.inputs * c.kernel * c.kernel * outputs];
        for tile_o in tiles(c.outputs, outputs) {
            self.pack(tile_o.clone(), &mut weights);
            for oy in 0..c.out_height {
                for tile_x in tiles(c.out_width, pixels) {
                    let place = Place { oy, ox: tile_x.start, first_output: tile_o.start };
                    let edge = tile_x.start < c.pad || tile_x.end + c.kernel - 1 > c.width + c.pad;
                    let sizes = (tile_o.len(), tile_x.len());
                    match edge {
                        false => self.sized::<S, false>(s, &weights, place, sizes),
                        true => self.sized::<S, true>(s, &weights, place, sizes),
                    }
                }
            }
        }
        self.finish_rare_activations(s);
    }
}

impl Pass<'_> {
    /// The weights of a tile in the order of their use, `[inputs][kernel][kernel][tile]`.
    #[inline(always)]
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

    #[inline(always)]
    fn sized<S: Simd, const EDGE: bool>(
        &mut self,
        s: S,
        weights: &[f32],
        place: Place,
        sizes: (usize, usize),
    ) {
        macro_rules! sizes {
            ($($o:literal: $($p:literal)*;)*) => {
                match sizes {
                    $($(($o, $p) => self.tile::<S, EDGE, $o, $p>(s, weights, place),)*)*
                    _ => unreachable!("tiles are no larger"),
                }
            };
        }
        sizes! { 1: 1 2 3 4 5 6; 2: 1 2 3 4 5 6; 3: 1 2 3 4 5 6; 4: 1 2 3 4 5 6; }
    }

    /// `P` pixels of `O` output channels.
    #[inline(always)]
    fn tile<S: Simd, const EDGE: bool, const O: usize, const P: usize>(
        &mut self,
        s: S,
        weights: &[f32],
        place: Place,
    ) {
        if O * P > S::ACCUMULATORS {
            return;
        }
        let c = self.correlation;
        let Place { oy, ox, first_output } = place;
        let mut sums = [[s.splat(0.0); P]; O];
        // Rows of the kernel that meet the image.
        let rows = c.pad.saturating_sub(oy)..c.kernel.min(c.height + c.pad - oy);
        for channel in 0..c.inputs {
            for ky in rows.clone() {
                let row = (channel * c.height + oy + ky - c.pad) * c.width;
                let weights = &weights[(channel * c.kernel + ky) * c.kernel * O..][..c.kernel * O];
                for (kx, weights) in weights.chunks_exact(O).enumerate() {
                    let weights: [S::V; O] = std::array::from_fn(|o| s.splat(weights[o]));
                    if EDGE {
                        for p in 0..P {
                            // Column -1 is a large number here, so one comparison covers both sides.
                            let ix = (ox + p + kx).wrapping_sub(c.pad);
                            if ix < c.width {
                                let x = s.load(&self.input[(row + ix) * LANES..]);
                                for o in 0..O {
                                    sums[o][p] = s.fma(x, weights[o], sums[o][p]);
                                }
                            }
                        }
                    } else {
                        let pixels = &self.input[(row + ox + kx - c.pad) * LANES..][..P * LANES];
                        for p in 0..P {
                            let x = s.load(&pixels[p * LANES..]);
                            for o in 0..O {
                                sums[o][p] = s.fma(x, weights[o], sums[o][p]);
                            }
                        }
                    }
                }
            }
        }
        for (o, sums) in sums.into_iter().enumerate() {
            let output = first_output + o;
            let first = ((output * c.out_height + oy) * c.out_width + ox) * LANES;
            self.store(s, output, first, sums);
        }
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

    /// Linear and relu are part of the tiles; for the others one more pass keeps the tiles small.
    #[inline(always)]
    fn finish_rare_activations<S: Simd>(&mut self, s: S) {
        if matches!(self.activation, Activation::Linear | Activation::Relu) {
            return;
        }
        for (i, y) in self.output.chunks_exact_mut(LANES).enumerate() {
            let sum = s.load(y);
            let result = match self.direction {
                Direction::Forward { .. } => activation_simd::apply(s, self.activation, sum),
                Direction::Backward { activated } => {
                    let activated = s.load(&activated[i * LANES..]);
                    s.mul(sum, activation_simd::derivative_from_output(s, self.activation, activated))
                }
            };
            s.store(y, result);
        }
    }
}
