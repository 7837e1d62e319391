//! Room for a plan's buffers on the device: refused before it is taken, or measured where it runs out.

use crate::backend::Shortage;
use crate::error::Error;
use crate::plan::{Plan, Slots};
use anyhow::Result;

/// Refuses a buffer that the device cannot bind.
pub(super) fn check_sizes(plan: &Plan, slots: &Slots, most: u64) -> Result<()> {
    for (id, buffer) in plan.buffers.iter().enumerate() {
        let bytes = 4 * slots.words[slots.of[id]] as u64;
        if bytes > most {
            return Err(too_large(Shortage::Binding { buffer: buffer.name.clone(), bytes, most }));
        }
    }
    Ok(())
}

fn too_large(shortage: Shortage) -> anyhow::Error {
    let advice = "this does not fit on the device; use a smaller --batch-size or --limit, or --backend cpu";
    anyhow::Error::new(shortage).context(Error::NoDevice(advice.into()))
}

/// One buffer for each slot, of which `most` bytes may be had in a rehearsal.
pub(super) fn allocate(device: &wgpu::Device, slots: &Slots, most: Option<u64>) -> Result<Vec<wgpu::Buffer>> {
    let (mut fits, mut buffers) = (0, Vec::new());
    for &words in &slots.words {
        let size = 4 * words.next_multiple_of(4) as u64;
        match try_buffer(device, size).filter(|_| most.is_none_or(|most| fits + size <= most)) {
            Some(buffer) => buffers.push(buffer),
            None => {
                let room = probe(device, size, most.map(|most| most.saturating_sub(fits)));
                return Err(too_large(Shortage::Memory { bytes: slots.bytes(), fits: fits + room }));
            }
        }
        fits += size;
    }
    Ok(buffers)
}

/// A buffer, if there is memory for it.
fn try_buffer(device: &wgpu::Device, size: u64) -> Option<wgpu::Buffer> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let buffer = device.create_buffer(&descriptor);
    pollster::block_on(scope.pop()).is_none().then_some(buffer)
}

/// How much of `size` bytes, for which there is no memory, there would be: as buffers of half of it, a quarter, ...
fn probe(device: &wgpu::Device, size: u64, most: Option<u64>) -> u64 {
    const SMALLEST: u64 = 1 << 18;
    let (mut piece, mut total, mut kept) = (size / 2 / 4 * 4, 0, Vec::new());
    while piece >= SMALLEST && total < size {
        match try_buffer(device, piece).filter(|_| most.is_none_or(|most| total + piece <= most)) {
            Some(buffer) => {
                kept.push(buffer);
                total += piece;
            }
            None => piece = piece / 2 / 4 * 4,
        }
    }
    total
}
