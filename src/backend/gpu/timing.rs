//! The device's own clock: timestamps at both ends of a compute pass.

use super::transfer;
use super::wait::Health;
use anyhow::Result;
use std::time::Duration;

/// A begin and an end, in the device's ticks.
const QUERIES: u32 = 2;

/// Two timestamps and the way to read them.
pub(super) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds of a tick.
    period: f32,
}

impl Timer {
    /// A timer, where the device was opened with timestamps.
    pub(super) fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Option<Self> {
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timer"),
            ty: wgpu::QueryType::Timestamp,
            count: QUERIES,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timer"),
            size: u64::from(QUERIES * wgpu::QUERY_SIZE),
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Some(Self { queries, resolved, period: queue.get_timestamp_period() })
    }

    /// What a pass needs to be timed.
    pub(super) fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// The time of the last pass, which is done; `None` where the driver wrote no sensible timestamps.
    ///
    /// Resolved in a submission of its own: in that of the pass Vulkan drivers may resolve zeros (wgpu#6406).
    pub(super) fn read(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        health: &Health,
    ) -> Result<Option<Duration>> {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.resolve_query_set(&self.queries, 0..QUERIES, &self.resolved, 0);
        queue.submit([encoder.finish()]);
        let mut words = [0; 4];
        transfer::read(device, queue, health, &self.resolved, 0, &mut words)?;
        let ticks = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let (begin, end) = (ticks(words[0], words[1]), ticks(words[2], words[3]));
        let sensible = begin != 0 && end > begin;
        let nanoseconds = || end.saturating_sub(begin) as f64 * f64::from(self.period);
        Ok(sensible.then(|| Duration::from_secs_f64(nanoseconds() * 1e-9)))
    }
}
