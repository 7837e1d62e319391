//! How the CPU backend shares one call among threads, and the buffers as its kernels see them.

use std::marker::PhantomData;
use std::ops::Range;

/// How a call divides into parts that can run at the same time.
///
/// The parts decide who computes an output, never the order of additions inside it, so results do not
/// depend on the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Not at all: the reference runs on one thread.
    Whole,
    /// By blocks of 16 images: a part reads and writes only its own blocks of every tensor (and may read whole
    /// parameters). Successive calls of this kind need no barrier between them. One thread gets whole
    /// runs of `align` blocks, and gets their blocks in order.
    Blocks {
        /// Blocks of the batch.
        count: usize,
        /// Blocks that must stay together.
        align: usize,
    },
    /// By shares of the outputs, each reading what it likes.
    Shares,
}

/// The part of a call that one thread computes.
#[derive(Clone, Debug)]
pub enum Part {
    /// These blocks of a [`Split::Blocks`] call.
    Blocks(Range<usize>),
    /// Share `index` of `of` of a [`Split::Shares`] call.
    Share {
        /// Which.
        index: usize,
        /// Of how many.
        of: usize,
    },
}

impl Part {
    /// The blocks of a call that is split by blocks.
    pub fn blocks(self) -> Range<usize> {
        match self {
            Self::Blocks(range) => range,
            Self::Share { .. } => unreachable!("the op declares Split::Blocks"),
        }
    }

    /// The blocks of a call that can be split by blocks or by features.
    pub fn blocks_of(&self, count: usize) -> Range<usize> {
        match self {
            Self::Blocks(range) => range.clone(),
            Self::Share { .. } => 0..count,
        }
    }

    /// This share of a layer's features; all of them in a part of blocks.
    pub fn features(&self, features: usize) -> Range<usize> {
        match self {
            Self::Blocks(_) => 0..features,
            Self::Share { .. } => self.items(features, self.feature_run(features)),
        }
    }

    /// The largest run of features (a power of two up to 16) in which shares of a layer's features differ little. Every op
    /// whose shares are features divides by it, so that a thread owns the same features, weights, gradients and moments all
    /// the time; runs of 16 keep vectors and cache lines whole.
    pub fn feature_run(&self, features: usize) -> usize {
        let of = match *self {
            Self::Blocks(_) => 1,
            Self::Share { of, .. } => of,
        };
        let largest_share = |run: usize| features.div_ceil(run).div_ceil(of) * run;
        let fair = |run: &usize| largest_share(*run) * of * 10 <= features * 11;
        [16, 8, 4, 2].into_iter().find(fair).unwrap_or(1)
    }

    /// The items of a call that is split by blocks of `each` items.
    pub fn block_items(self, each: usize) -> Range<usize> {
        let blocks = self.blocks();
        blocks.start * each..blocks.end * each
    }

    /// This share of `total` items in runs of `unit` (the last run may be short).
    pub fn items(&self, total: usize, unit: usize) -> Range<usize> {
        match *self {
            Self::Blocks(_) => unreachable!("the op declares Split::Shares"),
            Self::Share { index, of } => {
                let runs = total.div_ceil(unit);
                let start = runs * index / of * unit;
                let end = runs * (index + 1) / of * unit;
                start.min(total)..end.min(total)
            }
        }
    }
}

/// A buffer that several threads work on.
#[derive(Clone, Copy, Debug)]
pub struct SharedBuffer {
    words: *mut u32,
    len: usize,
}

// SAFETY: the pointer is to memory owned by the backend for as long as threads run; who may touch which part
// at what time is the contract of `CpuArgs`.
unsafe impl Send for SharedBuffer {}
// SAFETY: as above.
unsafe impl Sync for SharedBuffer {}

impl SharedBuffer {
    /// Wraps memory that outlives every use of the copy.
    pub fn new(words: &mut [u32]) -> Self {
        Self { words: words.as_mut_ptr(), len: words.len() }
    }
}

/// The buffers of one call, in binding order.
///
/// # Contract
/// Parts of one call run at the same time. A part writes only what it owns, and reads from written buffers only
/// what it wrote itself. Kernels get at memory through [`CpuArgs::input`] and [`CpuArgs::output`], and each
/// `output` call states the range that the part owns.
pub struct CpuArgs<'a> {
    buffers: Vec<SharedBuffer>,
    lifetime: PhantomData<&'a mut [u32]>,
}

impl<'a> CpuArgs<'a> {
    /// Wraps the buffers of a call.
    ///
    /// # Safety
    /// The memory must stay valid for `'a`, the buffers must be distinct, and no thread may break the contract above.
    pub unsafe fn new(buffers: Vec<SharedBuffer>) -> Self {
        Self { buffers, lifetime: PhantomData }
    }

    /// A whole f32 buffer, to be read.
    #[inline]
    pub fn input(&self, binding: usize) -> &'a [f32] {
        let buffer = self.buffers[binding];
        // SAFETY: valid by `new`; nobody writes a buffer that a call only reads.
        unsafe { std::slice::from_raw_parts(buffer.words.cast::<f32>(), buffer.len) }
    }

    /// A whole u32 buffer, to be read.
    #[inline]
    pub fn input_words(&self, binding: usize) -> &'a [u32] {
        let buffer = self.buffers[binding];
        // SAFETY: as in `input`.
        unsafe { std::slice::from_raw_parts(buffer.words, buffer.len) }
    }

    /// A range of an f32 buffer that this part owns.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "disjoint ranges of shared memory; see the contract")]
    pub fn output(&self, binding: usize, range: Range<usize>) -> &'a mut [f32] {
        let buffer = self.buffers[binding];
        assert!(range.start <= range.end && range.end <= buffer.len, "{range:?} of {}", buffer.len);
        // SAFETY: in bounds by the assertion; owned by this part by the contract.
        unsafe { std::slice::from_raw_parts_mut(buffer.words.cast::<f32>().add(range.start), range.len()) }
    }

    /// A range of a u32 buffer that this part owns.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "disjoint ranges of shared memory; see the contract")]
    pub fn output_words(&self, binding: usize, range: Range<usize>) -> &'a mut [u32] {
        let buffer = self.buffers[binding];
        assert!(range.start <= range.end && range.end <= buffer.len, "{range:?} of {}", buffer.len);
        // SAFETY: as in `output`.
        unsafe { std::slice::from_raw_parts_mut(buffer.words.add(range.start), range.len()) }
    }

    /// Words in a buffer.
    #[inline]
    pub fn len(&self, binding: usize) -> usize {
        self.buffers[binding].len
    }
}
