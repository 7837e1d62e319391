//! Memory of the buffers: one piece, in huge pages where the system has them, since kernels jump about in more pages than the
//! processor keeps the addresses of.

use crate::error::Error;
use crate::ops::share::SharedBuffer;
use anyhow::Result;
use memmap2::{MmapMut, MmapOptions};
use std::ops::Range;

/// Bytes of a cache line, which is also one vector of 16 numbers.
const LINE: usize = 64;
/// Bytes of a huge page on most systems.
const HUGE_PAGE: usize = 2 << 20;

/// The slots; they never move.
pub(super) struct Memory {
    map: MmapMut,
    slots: Vec<Range<usize>>,
}

impl Memory {
    /// Zeroed slots of these many words, each at the start of a cache line.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when the system has no such memory.
    pub(super) fn new(words: &[usize]) -> Result<Self> {
        let bytes: usize = words.iter().map(|&words| (words * 4).next_multiple_of(LINE)).sum();
        let map = MmapOptions::new().len(bytes + HUGE_PAGE).map_anon().map_err(|error| {
            Error::NoDevice(format!(
                "the buffers need {bytes} bytes, which the system does not give ({error}); use a smaller --batch-size or --limit"
            ))
        })?;
        let mut end = map.as_ptr().align_offset(HUGE_PAGE);
        #[cfg(target_os = "linux")]
        {
            // Without huge pages everything works as well, more slowly.
            let _ = map.advise_range(memmap2::Advice::HugePage, end, bytes.next_multiple_of(4096));
        }
        let slots = words.iter().map(|&words| {
            let start = end;
            end += (words * 4).next_multiple_of(LINE);
            start..start + words * 4
        });
        let slots = slots.collect();
        Ok(Self { map, slots })
    }

    /// The words of a slot.
    pub(super) fn slot_mut(&mut self, slot: usize) -> &mut [u32] {
        bytemuck::cast_slice_mut(&mut self.map[self.slots[slot].clone()])
    }

    /// The first `words` words of a slot, for threads.
    pub(super) fn share(&mut self, slot: usize, words: usize) -> SharedBuffer {
        SharedBuffer::new(&mut self.slot_mut(slot)[..words])
    }
}
