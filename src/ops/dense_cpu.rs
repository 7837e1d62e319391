//! The three dense products on the CPU: register tiles over vectors of 16 images or 16 units.
//!
//! Every sum is one chain of fused multiply-adds in the reference's order, or a fixed number of such chains added in order
//! where [`dense`](super::dense) takes it in pieces, whatever the tile or the thread that computes it: results do not depend
//! on how the work is divided.
//!
//! Where many inputs are zero, as pixels of MNIST are, their terms are left out. That changes no sum of finite numbers, but for the
//! sign of a zero; zero times a weight or a gradient that is not finite, which is NaN, is left out too.

mod memory;
mod product;
mod sparse;
mod weights;

use super::share::Split;

pub(super) use product::{Finish, Product};
pub(super) use weights::{Keep, weight_regions, weights};

/// Big batches are shared by images, so that activations stay with a thread from layer to layer; small ones too, where every
/// thread gets as many images, and else by units, so that a thread owns its weights.
pub(super) fn split(blocks: usize) -> Split {
    if blocks >= MANY_BLOCKS {
        Split::Blocks { count: blocks, align: 1 }
    } else {
        Split::BlocksOrShares { count: blocks }
    }
}

/// From so many on, some threads may get a block more than others.
pub(super) const MANY_BLOCKS: usize = 8;
