//! Binding a plan's calls to their pipelines, buffers and parameters, once, so that a step only records them.

use super::pace::{self, Part};
use super::pipeline::{Compilation, Pipelines};
use crate::plan::{Call, Plan, Slots};
use std::time::Duration;

/// Steps in one submission: at least this many, so that the cost of submitting does not show, unless they are long.
pub const STEPS_PER_SUBMISSION: usize = 16;
/// Offsets of uniform bindings must be multiples of this everywhere.
const UNIFORM_ALIGNMENT: usize = 256;

/// A call, ready to be recorded.
pub(super) struct Dispatch {
    pub(super) pipeline: usize,
    pub(super) bind_group: wgpu::BindGroup,
    pub(super) grid: [u32; 3],
    /// For a call that takes long: its parts, and where each is described in the uniform buffer.
    pub(super) parts: Vec<(Part, u32)>,
}

/// A program, ready to be recorded.
pub(super) struct Program {
    pub(super) dispatches: Vec<Dispatch>,
    /// Runs in one submission.
    pub(super) runs: usize,
}

/// The parts in which a call has to run; none where it can run whole.
pub(super) fn parts_of(call: &Call, how: Compilation<'_>, longest: Duration) -> Vec<Part> {
    let parts = pace::parts(how.kernel(call).grid, pace::estimate(call.cost()), longest);
    if parts.len() > 1 { parts } else { Vec::new() }
}

/// What binding needs.
pub(super) struct Binder<'a> {
    pub(super) device: &'a wgpu::Device,
    pub(super) queue: &'a wgpu::Queue,
    pub(super) plan: &'a Plan,
    pub(super) slots: &'a Slots,
    pub(super) buffers: &'a [wgpu::Buffer],
    pub(super) pipelines: &'a Pipelines,
    /// Whether a driver resets the device when its work takes long.
    pub(super) watched: bool,
}

impl Binder<'_> {
    /// One uniform buffer holds the parameters of all calls and the parts of those that run in parts; each call has its bind
    /// group, and the parts share one.
    pub(super) fn bind(&self, how: Compilation<'_>, longest: Duration) -> (Vec<Program>, wgpu::BindGroup) {
        let calls = self.plan.programs.iter().flat_map(|program| &program.calls);
        let slots: usize = calls.map(|call| 1 + parts_of(call, how, longest).len()).sum();
        let mut uniforms = Uniforms { bytes: Vec::with_capacity(slots * UNIFORM_ALIGNMENT) };
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters of the calls"),
            size: (slots.max(1) * UNIFORM_ALIGNMENT) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut programs = Vec::new();
        for program in &self.plan.programs {
            let mut time = Duration::ZERO;
            let mut dispatches = Vec::new();
            for call in &program.calls {
                time += pace::estimate(call.cost());
                dispatches.push(self.dispatch(call, how, longest, &mut uniforms, &buffer));
            }
            let runs = pace::runs_per_submission(time, self.watched, STEPS_PER_SUBMISSION);
            programs.push(Program { dispatches, runs });
        }
        let part_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("part of a grid"),
            layout: self.pipelines.part_layout(),
            entries: &[uniform_entry(&buffer, 0, size_of::<[u32; 8]>())],
        });
        self.queue.write_buffer(&buffer, 0, &uniforms.bytes);
        (programs, part_group)
    }

    fn dispatch(
        &self,
        call: &Call,
        how: Compilation<'_>,
        longest: Duration,
        uniforms: &mut Uniforms,
        buffer: &wgpu::Buffer,
    ) -> Dispatch {
        let offset = uniforms.push(&call.params);
        let mut entries = vec![uniform_entry(buffer, offset, 4 * call.params.len())];
        for (index, id) in call.buffers.iter().enumerate() {
            let words = self.plan.buffers[id.0].memory_words();
            let size = std::num::NonZeroU64::new(4 * words.next_multiple_of(4) as u64);
            let buffer = &self.buffers[self.slots.of[id.0]];
            entries.push(wgpu::BindGroupEntry {
                binding: index as u32 + 1,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size }),
            });
        }
        let kernel = how.kernel(call);
        let [x, y, z] = kernel.grid;
        let parts: Vec<(Part, u32)> = parts_of(call, how, longest)
            .into_iter()
            .map(|part| {
                let [first_x, first_y, first_z] = part.first;
                (part, uniforms.push(&[first_x, first_y, first_z, 0, x, y, z, 0]))
            })
            .collect();
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&call.place),
            layout: self.pipelines.layout(call.op),
            entries: &entries,
        });
        let pipeline = self.pipelines.find(call.op, &kernel, &self.plan.halves(call), !parts.is_empty());
        Dispatch { pipeline, bind_group, grid: kernel.grid, parts }
    }
}

/// The contents of a uniform buffer, in pieces that can be bound by themselves.
struct Uniforms {
    bytes: Vec<u8>,
}

impl Uniforms {
    /// Appends words and returns their offset.
    fn push(&mut self, words: &[u32]) -> u32 {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(bytemuck::cast_slice(words));
        self.bytes.resize(offset + UNIFORM_ALIGNMENT, 0);
        offset as u32
    }
}

fn uniform_entry(buffer: &wgpu::Buffer, offset: u32, bytes: usize) -> wgpu::BindGroupEntry<'_> {
    let size = std::num::NonZeroU64::new(bytes.next_multiple_of(16) as u64);
    let offset = u64::from(offset);
    wgpu::BindGroupEntry {
        binding: 0,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size }),
    }
}
