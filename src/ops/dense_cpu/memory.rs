//! Memory of a thread for the parts of products.

use crate::ops::LANES;
use crate::ops::simd::Vector;
use std::cell::RefCell;

/// Memory that a thread keeps from call to call.
#[derive(Default)]
pub(super) struct Scratch {
    /// See `panels_of`.
    pub(super) panels: Numbers,
    /// Rows of x.
    pub(super) x: Numbers,
    /// A bit for every term, the first the lowest: whether it counts.
    pub(super) terms: Vec<u64>,
    /// Gradients of the weights of some rows, `[row][unit]`.
    pub(super) gradients: Numbers,
    /// Sums of vectors.
    pub(super) sums: Numbers,
}

/// Memory from the start of a cache line, so that no vector lies in two.
#[derive(Default)]
pub(super) struct Numbers(Vec<Vector>);

impl Numbers {
    /// The first `len` numbers, which are whatever was left there.
    #[inline(always)]
    pub(super) fn first(&mut self, len: usize) -> &mut [f32] {
        &mut self.vectors(len.div_ceil(LANES)).as_flattened_mut()[..len]
    }

    /// So many vectors of them.
    #[inline(always)]
    pub(super) fn vectors(&mut self, len: usize) -> &mut [[f32; LANES]] {
        if self.0.len() < len {
            self.0.resize(len, Vector::default());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }

    /// Vectors of zeros.
    #[inline(always)]
    pub(super) fn zeros(&mut self, vectors: usize) -> &mut [[f32; LANES]] {
        let zeros = self.vectors(vectors);
        zeros.fill([0.0; LANES]);
        zeros
    }
}

thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());

/// Takes the memory of this thread; [`give_scratch`] brings it back. No closure gets it, since closures are not compiled
/// with the instructions of the function round them.
pub(super) fn take_scratch() -> Scratch {
    SCRATCH.take()
}

/// Keeps memory for the next call.
pub(super) fn give_scratch(scratch: Scratch) {
    SCRATCH.set(scratch);
}
