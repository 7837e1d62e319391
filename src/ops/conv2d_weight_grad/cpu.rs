//! The weight gradient of one block of 16 images on the CPU, by one of two algorithms.

use super::{direct, winograd};
use crate::ops::convolution::{Algorithm, Correlation};

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

impl Pass<'_> {
    /// Adds the block's gradients.
    pub(super) fn run(mut self) {
        match Algorithm::of_cpu_for_weights(&self.correlation) {
            Algorithm::Direct => direct::run(&mut self),
            Algorithm::Winograd => winograd::run(&mut self),
        }
    }
}
