//! The correlation by its formula on the CPU: a tile is a few pixels of a row x a few output channels in registers, and every
//! weight is broadcast once for all pixels of the tile.
//!
//! Nothing is padded: rows of the kernel that miss the image are left out of the loop, and columns that miss it are
//! found by a test for each pixel, which costs nothing beside the multiply-adds of all output channels. Every output is
//! added in the order channel, row, column whatever its tile, so that results do not depend on the tiling.

use super::cpu::{Direction, Pass};
use super::tiles;
use crate::ops::LANES;
use crate::ops::simd::{Kernel, Simd, accumulators, dispatch};
use std::ops::Range;

/// Correlates the block.
pub(super) fn run(pass: &mut Pass<'_>) {
    let c = pass.correlation;
    let (pixels, outputs) = match accumulators() {
        24.. => (6, 4),
        6.. => (3, 2),
        _ => (2, 1),
    };
    let mut weights = vec![0.0; c.inputs * c.kernel * c.kernel * outputs];
    for tile_o in tiles(c.outputs, outputs) {
        pack(pass, tile_o.clone(), &mut weights);
        for tile_x in tiles(c.out_width, pixels) {
            strip(pass, &weights, tile_x, tile_o.clone());
        }
    }
}

/// The weights of a tile in the order of their use, `[inputs][kernel][kernel][tile]`.
fn pack(pass: &Pass<'_>, outputs: Range<usize>, packed: &mut [f32]) {
    let c = pass.correlation;
    let taps = c.kernel * c.kernel;
    for (i, packed) in packed.chunks_exact_mut(outputs.len()).take(c.inputs * taps).enumerate() {
        for (o, packed) in outputs.clone().zip(packed) {
            *packed = match pass.direction {
                Direction::Forward { .. } => pass.weights[i * c.outputs + o],
                Direction::Backward { .. } => {
                    let (channel, tap) = (i / taps, i % taps);
                    pass.weights[(o * taps + taps - 1 - tap) * c.inputs + channel]
                }
            };
        }
    }
}

/// All rows of a tile's columns.
fn strip(pass: &mut Pass<'_>, weights: &[f32], columns: Range<usize>, outputs: Range<usize>) {
    let (first_output, ox) = (outputs.start, columns.start);
    macro_rules! sizes {
        ($($o:literal: $($p:literal)*;)*) => {
            match (outputs.len(), columns.len()) {
                $($(($o, $p) => {
                    dispatch(Strip::<$o, $p> { pass, weights, first_output, ox });
                })*)*
                _ => unreachable!("tiles are no larger"),
            }
        };
    }
    sizes! { 1: 1 2 3 4 5 6; 2: 1 2 3 4 5 6; 3: 1 2 3 4 5 6; 4: 1 2 3 4 5 6; }
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
