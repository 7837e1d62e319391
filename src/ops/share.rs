//! How the CPU backend shares one call among threads, and the buffers as its kernels see them.

use super::simd;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a call divides into parts that can run at the same time.
///
/// The parts decide who computes an output, never the order of additions inside it, so results do not
/// depend on the number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Not at all: the reference runs on one thread.
    Whole,
    /// By blocks of 16 images: a part reads and writes only its own blocks of every tensor, all of which it gets at by
    /// [`CpuArgs::input_part`] and [`CpuArgs::output`] (and may read whole parameters). Successive calls of this kind need no
    /// barrier between them. One thread gets whole runs of `align` blocks, and gets their blocks in order.
    Blocks {
        /// Blocks of the batch.
        count: usize,
        /// Blocks that must stay together.
        align: usize,
    },
    /// By shares of the outputs, each reading what it likes.
    Shares,
    /// By blocks where every thread gets as many, and else by shares.
    BlocksOrShares {
        /// Blocks of the batch.
        count: usize,
    },
    /// In two rounds: pieces of the work, as many for any number of threads, each into its own part of a scratch buffer; then
    /// blocks or shares of the outputs, made of all pieces in order. The scratch buffer is bound after the call's own.
    Pieces {
        /// Pieces.
        count: usize,
        /// Words of the scratch buffer.
        scratch: usize,
        /// Blocks of the batch.
        blocks: usize,
    },
}

impl Split {
    /// How so many threads divide it.
    pub fn among(self, threads: usize) -> Self {
        match self {
            Self::BlocksOrShares { count } if count.is_multiple_of(threads) => {
                Self::Blocks { count, align: 1 }
            }
            Self::BlocksOrShares { .. } => Self::Shares,
            split => split,
        }
    }
}

/// Words of a buffer that a call touches whose outputs the threads share. Two calls need a barrier between them only where their
/// regions of a buffer overlap, one of them writes, and a thread does not keep to its own features in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Which; may reach past the end of the buffer.
    pub words: Range<usize>,
    /// `Some(n)`: the words are a tensor `[block][n features][..]`, of which a part touches its [`Part::features`] only.
    pub features: Option<usize>,
}

impl Region {
    /// All of a buffer, by any thread.
    pub const ALL: Self = Self { words: 0..usize::MAX, features: None };

    /// `len` words from word `first` on, by any thread.
    pub fn words(first: u32, len: usize) -> Self {
        Self { words: first as usize..first as usize + len, features: None }
    }

    /// A tensor, by the threads that own its features.
    pub fn features(count: u32) -> Self {
        Self { features: Some(count as usize), ..Self::ALL }
    }

    /// Whether threads can meet in both.
    pub fn meets(&self, other: &Self) -> bool {
        let overlap = self.words.start < other.words.end && other.words.start < self.words.end;
        let is_private = self.features.is_some() && self == other;
        overlap && !is_private
    }
}

/// The part of a call that one thread computes.
#[derive(Clone, Debug)]
pub enum Part {
    /// These blocks of all outputs.
    Blocks(Range<usize>),
    /// A piece of a [`Split::Pieces`] call.
    Piece(usize),
    /// Share `index` of `of` of the outputs.
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
            Self::Piece(_) | Self::Share { .. } => unreachable!("the op declares Split::Blocks"),
        }
    }

    /// The blocks of a call that can be split by blocks or by features.
    pub fn blocks_of(&self, count: usize) -> Range<usize> {
        match self {
            Self::Blocks(range) => range.clone(),
            Self::Piece(_) | Self::Share { .. } => 0..count,
        }
    }

    /// This share of a layer's features; all of them in a part of blocks and in a piece.
    pub fn features(&self, features: usize) -> Range<usize> {
        match self {
            Self::Blocks(_) | Self::Piece(_) => 0..features,
            Self::Share { of, .. } => self.items(features, feature_run(features, *of)),
        }
    }

    /// The items of a call that is split by blocks of `each` items.
    pub fn block_items(self, each: usize) -> Range<usize> {
        let blocks = self.blocks();
        blocks.start * each..blocks.end * each
    }

    /// This share of `total` items in runs of `unit` (the last run may be short).
    pub fn items(&self, total: usize, unit: usize) -> Range<usize> {
        match *self {
            Self::Blocks(_) | Self::Piece(_) => unreachable!("the op declares Split::Shares"),
            Self::Share { index, of } => {
                let runs = total.div_ceil(unit);
                let start = runs * index / of * unit;
                let end = runs * (index + 1) / of * unit;
                start.min(total)..end.min(total)
            }
        }
    }
}

/// The largest run of features (a power of two up to 16) in which `of` shares of a layer's features differ little. Every
/// op whose shares are features divides by it, so that a thread owns the same features, weights, gradients and moments
/// all the time; runs of 16 keep vectors and cache lines whole.
pub fn feature_run(features: usize, of: usize) -> usize {
    let largest_share = |run: usize| features.div_ceil(run).div_ceil(of) * run;
    let fair = |run: &usize| largest_share(*run) * of * 10 <= features * 11;
    [16, 8, 4, 2].into_iter().find(fair).unwrap_or(1)
}

/// A buffer that several threads work on.
#[derive(Clone, Copy, Debug)]
pub struct SharedBuffer {
    words: *mut u32,
    /// Words of the buffer.
    len: usize,
    /// Words that there is memory for: all, or those of one block after the other.
    kept: usize,
}

// SAFETY: the pointer is to memory owned by the backend for as long as threads run; who may touch which part
// at what time is the contract of `CpuArgs`.
unsafe impl Send for SharedBuffer {}
// SAFETY: as above.
unsafe impl Sync for SharedBuffer {}

impl SharedBuffer {
    /// Wraps memory that outlives every use of the copy.
    pub fn new(words: &mut [u32]) -> Self {
        Self { words: words.as_mut_ptr(), len: words.len(), kept: words.len() }
    }

    /// Memory for one block of a buffer of `len` words, which holds one block after the other.
    pub fn passing(block: &mut [u32], len: usize) -> Self {
        Self { words: block.as_mut_ptr(), len, kept: block.len() }
    }

    /// Where a range of words lies.
    #[inline]
    fn at(&self, range: &Range<usize>) -> *mut u32 {
        // Most buffers are there whole, and a division takes its time.
        let start = if range.end <= self.kept { range.start } else { range.start % self.kept };
        let fits = range.start <= range.end && range.end <= self.len && start + range.len() <= self.kept;
        assert!(fits, "{range:?} of {} words, of which {} are kept", self.len, self.kept);
        // SAFETY: in bounds by the assertion.
        unsafe { self.words.add(start) }
    }

    /// All words, of which there must be memory for each.
    #[inline]
    fn whole(&self) -> *mut u32 {
        assert_eq!(self.kept, self.len, "a block of a buffer is not the whole");
        self.words
    }
}

/// What one thread writes and others read next.
#[derive(Clone, Debug, Default)]
pub struct Handover {
    /// A bit for each binding, the first the lowest: whether it is that.
    pub outputs: u32,
    /// Whether it is slow for a processor to write what another has read.
    pub caches_are_apart: Arc<AtomicBool>,
}

/// The buffers of one call, in binding order.
///
/// # Contract
/// Parts of one call run at the same time. A part writes only what it owns, and reads from written buffers only
/// what it wrote itself, or what pieces wrote in the round before. Kernels get at memory through [`CpuArgs::input`] and
/// [`CpuArgs::output`], and each `output` call states the range that the part owns.
pub struct CpuArgs<'a> {
    buffers: Vec<SharedBuffer>,
    handover: Handover,
    lifetime: PhantomData<&'a mut [u32]>,
}

impl<'a> CpuArgs<'a> {
    /// Wraps the buffers of a call.
    ///
    /// # Safety
    /// The memory must stay valid for `'a`, the buffers must be distinct, and no thread may break the contract above.
    pub unsafe fn new(buffers: Vec<SharedBuffer>) -> Self {
        Self { buffers, handover: Handover::default(), lifetime: PhantomData }
    }

    /// The same with outputs that other threads read next.
    pub fn with_handover(self, handover: Handover) -> Self {
        Self { handover, ..self }
    }

    /// Whether the output at `binding` should go [past the caches](super::simd::Simd::stream).
    #[inline]
    pub fn past_caches(&self, binding: usize) -> bool {
        let Handover { outputs, caches_are_apart } = &self.handover;
        outputs >> binding & 1 != 0 && caches_are_apart.load(Ordering::Relaxed)
    }

    /// Waits until what went past the caches is where other threads find it.
    #[inline]
    pub fn finish(&self) {
        let Handover { outputs, caches_are_apart } = &self.handover;
        if *outputs != 0 && caches_are_apart.load(Ordering::Relaxed) {
            simd::finish_streams();
        }
    }

    /// A whole f32 buffer, to be read.
    #[inline]
    pub fn input(&self, binding: usize) -> &'a [f32] {
        let buffer = self.buffers[binding];
        // SAFETY: valid by `new`; nobody writes a buffer that a call only reads.
        unsafe { std::slice::from_raw_parts(buffer.whole().cast::<f32>(), buffer.len) }
    }

    /// A range of an f32 buffer, inside one block if the call is split by blocks, to be read.
    #[inline]
    pub fn input_part(&self, binding: usize, range: Range<usize>) -> &'a [f32] {
        // SAFETY: as in `input`.
        unsafe { std::slice::from_raw_parts(self.buffers[binding].at(&range).cast::<f32>(), range.len()) }
    }

    /// Block `block`, of `words` words, of an f32 buffer, to be read.
    #[inline]
    pub fn input_block(&self, binding: usize, block: usize, words: usize) -> &'a [f32] {
        self.input_part(binding, block * words..(block + 1) * words)
    }

    /// A whole u32 buffer, to be read.
    #[inline]
    pub fn input_words(&self, binding: usize) -> &'a [u32] {
        let buffer = self.buffers[binding];
        // SAFETY: as in `input`.
        unsafe { std::slice::from_raw_parts(buffer.whole(), buffer.len) }
    }

    /// A range of an f32 buffer that this part owns.
    #[inline]
    pub fn output(&self, binding: usize, range: Range<usize>) -> &'a mut [f32] {
        // SAFETY: valid by `new`; owned by this part by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.buffers[binding].at(&range).cast::<f32>(), range.len()) }
    }

    /// A range of a u32 buffer that this part owns.
    #[inline]
    pub fn output_words(&self, binding: usize, range: Range<usize>) -> &'a mut [u32] {
        // SAFETY: as in `output`.
        unsafe { std::slice::from_raw_parts_mut(self.buffers[binding].at(&range), range.len()) }
    }

    /// Words in a buffer.
    #[inline]
    pub fn len(&self, binding: usize) -> usize {
        self.buffers[binding].len
    }
}
