//! Memory of the buffers, aligned to cache lines.

use crate::ops::share::SharedBuffer;

/// A cache line, which is also one vector of 16 numbers.
#[repr(C, align(64))]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Line([u32; 16]);

/// One allocation for each slot; they never move.
pub(super) struct Memory {
    slots: Vec<(Vec<Line>, usize)>,
}

impl Memory {
    /// Zeroed slots of these many words.
    pub(super) fn new(words: &[usize]) -> Self {
        let line = Line([0; 16]);
        Self { slots: words.iter().map(|&words| (vec![line; words.div_ceil(16)], words)).collect() }
    }

    /// The words of a slot.
    pub(super) fn slot_mut(&mut self, slot: usize) -> &mut [u32] {
        let (lines, words) = &mut self.slots[slot];
        &mut bytemuck::cast_slice_mut(lines)[..*words]
    }

    /// The first `words` words of a slot, for threads.
    pub(super) fn share(&mut self, slot: usize, words: usize) -> SharedBuffer {
        SharedBuffer::new(&mut self.slot_mut(slot)[..words])
    }
}
