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
    slots: Vec<Place>,
}

/// Where a slot lies.
struct Place {
    bytes: Range<usize>,
    /// Of a slot that is one block for each thread: the bytes of a block, and those from one to the next.
    block: Option<(usize, usize)>,
}

impl Memory {
    /// Zeroed slots of these many words, each at the start of a cache line. Of those that are [`passing`](super::passing) there is
    /// a block for each thread.
    ///
    /// # Errors
    /// [`Error::NoDevice`] when the system has no such memory.
    pub(super) fn new(words: &[usize], passing: &[Option<usize>], threads: usize) -> Result<Self> {
        let mut end = 0;
        let mut place = |(&words, block): (&usize, &Option<usize>)| {
            let block = block.map(|words| (words * 4, (words * 4).next_multiple_of(LINE)));
            let bytes = block.map_or(words * 4, |(_, stride)| stride * threads);
            let start = end;
            end += bytes.next_multiple_of(LINE);
            Place { bytes: start..start + bytes, block }
        };
        let mut slots: Vec<Place> = words.iter().zip(passing).map(&mut place).collect();
        let bytes = end;
        let map = MmapOptions::new().len(bytes + HUGE_PAGE).map_anon().map_err(|error| {
            Error::NoDevice(format!(
                "the buffers need {bytes} bytes, which the system does not give ({error}); use a smaller --batch-size or --limit"
            ))
        })?;
        let start = map.as_ptr().align_offset(HUGE_PAGE);
        #[cfg(target_os = "linux")]
        {
            // Without huge pages everything works as well, more slowly.
            let _ = map.advise_range(memmap2::Advice::HugePage, start, bytes.next_multiple_of(4096));
        }
        for Place { bytes, .. } in &mut slots {
            *bytes = bytes.start + start..bytes.end + start;
        }
        Ok(Self { map, slots })
    }

    /// The words of a slot.
    ///
    /// # Panics
    /// If there is no more of it than a block for each thread.
    pub(super) fn slot_mut(&mut self, slot: usize) -> &mut [u32] {
        let Place { bytes, block } = &self.slots[slot];
        assert_eq!(*block, None, "slot {slot} passes between calls and is nobody else's");
        bytemuck::cast_slice_mut(&mut self.map[bytes.clone()])
    }

    /// The first `words` words of a slot, for a thread.
    pub(super) fn share(&mut self, slot: usize, words: usize, thread: usize) -> SharedBuffer {
        let Place { bytes, block } = &self.slots[slot];
        let Some((block, stride)) = *block else {
            return SharedBuffer::new(&mut self.slot_mut(slot)[..words]);
        };
        let start = bytes.start + thread * stride;
        SharedBuffer::passing(bytemuck::cast_slice_mut(&mut self.map[start..start + block]), words)
    }
}
