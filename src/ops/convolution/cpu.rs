//! The correlation on the CPU, one block of 16 images at a time, by one of two algorithms. A vector is one pixel of 16 images.

use super::{Algorithm, Correlation, direct, winograd};
use crate::ops::LANES;
use crate::ops::activation::Activation;
use crate::ops::activation_simd;
use crate::ops::simd::{Kernel, Simd, dispatch};

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
        match Algorithm::of_cpu(&self.correlation) {
            Algorithm::Direct => direct::run(&mut self),
            Algorithm::Winograd => winograd::run(&mut self),
        }
        // Linear and relu are part of the tiles; for the others one more pass keeps the tiles small.
        if !matches!(self.activation, Activation::Linear | Activation::Relu) {
            dispatch(Finish(self));
        }
    }

    /// The end of neighbouring sums: they go to the words from `first` on.
    #[inline(always)]
    pub(super) fn store<S: Simd, const P: usize>(
        &mut self,
        s: S,
        output: usize,
        first: usize,
        sums: [S::V; P],
    ) {
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
