//! Reading buffers back.

use super::wait::Health;
use anyhow::Result;

/// Copies `words.len()` words of `buffer` from word `first` on to the host.
pub(super) fn read(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    health: &Health,
    buffer: &wgpu::Buffer,
    first: usize,
    words: &mut [u32],
) -> Result<()> {
    if words.is_empty() {
        return Ok(());
    }
    let size = 4 * words.len() as u64;
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("read-back"),
        size,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 4 * first as u64, &staging, 0, size);
    let submission = queue.submit([encoder.finish()]);
    let (sender, receiver) = futures_intrusive::channel::shared::oneshot_channel();
    staging.map_async(wgpu::MapMode::Read, .., move |result| {
        // The receiver lives until the end of this function.
        let _ = sender.send(result);
    });
    health.wait(device, Some(submission))?;
    let lost = || health.lost("reading back");
    let mapped = loop {
        if let Some(result) = receiver.try_receive_now() {
            break result;
        }
        health.wait(device, None)?;
    };
    mapped.map_err(|_| lost())?;
    let view = staging.get_mapped_range(..).map_err(|_| lost())?;
    bytemuck::cast_slice_mut(words).copy_from_slice(&view);
    Ok(())
}

/// Looks into a oneshot channel without waiting.
trait TryReceive<T> {
    fn try_receive_now(&self) -> Option<T>;
}

impl<T: Send> TryReceive<T> for futures_intrusive::channel::shared::OneshotReceiver<T> {
    fn try_receive_now(&self) -> Option<T> {
        use std::future::Future;
        let mut future = std::pin::pin!(self.receive());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => None,
        }
    }
}
