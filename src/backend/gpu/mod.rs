//! The GPU backend: the plan's calls as compute dispatches through wgpu.
//!
//! Everything is made at the start: pipelines (in parallel), buffers, bind groups. A step records the
//! same dispatches every time; many steps go into one submission, and a few submissions are in flight.

pub mod adapter;
mod pipeline;
mod timing;
mod transfer;
mod wait;

use super::{Backend, Clock, DeviceInfo};
use crate::error::Error;
use crate::ops::DeviceClass;
use crate::plan::{BufferId, Plan, ProgramId, Reuse, Slots};
use adapter::Adapter;
use anyhow::{Result, bail};
use pipeline::Pipelines;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timing::Timer;
use wait::Health;

pub use adapter::{Api, Selection};
pub use pipeline::Checks;

/// Steps in one submission: at least this many, so that the cost of submitting does not show.
const STEPS_PER_SUBMISSION: usize = 16;
/// Submissions in flight; more would only delay errors and use memory.
const IN_FLIGHT: usize = 3;
/// Offsets of uniform bindings must be multiples of this everywhere.
const UNIFORM_ALIGNMENT: usize = 256;

/// A call, ready to be recorded.
struct Dispatch {
    pipeline: usize,
    bind_group: wgpu::BindGroup,
    grid: [u32; 3],
}

/// Runs a plan on an adapter.
pub struct Gpu {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    health: Health,
    buffers: Vec<wgpu::Buffer>,
    slot_of: Vec<usize>,
    pipelines: Pipelines,
    programs: Vec<Vec<Dispatch>>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    timer: Option<Timer>,
}

impl Gpu {
    /// Opens the adapter, builds all pipelines and allocates the buffers of `plan`.
    ///
    /// # Errors
    /// When the adapter lacks a limit, a kernel does not compile, or memory runs out.
    pub fn new(plan: &Plan, adapter: &Adapter, checks: Checks) -> Result<Self> {
        let (device, queue) = adapter.open()?;
        let health = Health::watch(&device);
        let slots = Slots::assign(plan, Reuse::ByLifetime);
        check_limits(plan, &slots, &device.limits())?;
        let class = adapter.class();
        let pipelines = health
            .scoped(&device, "building the kernels", || Pipelines::build(&device, plan, class, checks))??;
        let buffers = health.scoped(&device, "allocating the buffers", || allocate(&device, &slots))?;
        let programs = health.scoped(&device, "binding the buffers", || {
            bind(&device, &queue, plan, &slots, &buffers, &pipelines, class)
        })?;
        let timer = Timer::new(&device, &queue);
        Ok(Self {
            info: adapter.info().clone(),
            device,
            queue,
            health,
            buffers,
            slot_of: slots.of,
            pipelines,
            programs,
            in_flight: VecDeque::new(),
            timer,
        })
    }

    fn buffer(&self, id: BufferId) -> &wgpu::Buffer {
        &self.buffers[self.slot_of[id.0]]
    }

    /// Records a program `times` times in one pass and submits it.
    fn submit(&mut self, program: ProgramId, times: usize, timed: bool) -> Result<()> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let timestamp_writes = self.timer.as_ref().filter(|_| timed).map(Timer::writes);
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            for _ in 0..times {
                for dispatch in &self.programs[program.0] {
                    pass.set_pipeline(self.pipelines.get(dispatch.pipeline));
                    pass.set_bind_group(0, &dispatch.bind_group, &[]);
                    let [x, y, z] = dispatch.grid;
                    pass.dispatch_workgroups(x, y, z);
                }
            }
        }
        self.in_flight.push_back(self.queue.submit([encoder.finish()]));
        if self.in_flight.len() > IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            self.health.wait(&self.device, Some(oldest))?;
        }
        self.health.check()
    }
}

impl Backend for Gpu {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn write(&mut self, buffer: BufferId, first: usize, words: &[u32]) -> Result<()> {
        self.queue.write_buffer(self.buffer(buffer), 4 * first as u64, bytemuck::cast_slice(words));
        self.health.check()
    }

    fn read(&mut self, buffer: BufferId, first: usize, words: &mut [u32]) -> Result<()> {
        self.in_flight.clear();
        transfer::read(&self.device, &self.queue, &self.health, self.buffer(buffer), first, words)
    }

    fn run(&mut self, program: ProgramId, times: usize) -> Result<()> {
        let mut left = times;
        while left > 0 {
            // The rest rides along rather than in a small submission of its own.
            let steps = if left < 2 * STEPS_PER_SUBMISSION { left } else { STEPS_PER_SUBMISSION };
            self.submit(program, steps, false)?;
            left -= steps;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        self.in_flight.clear();
        self.health.wait(&self.device, None)
    }

    fn time(&mut self, program: ProgramId, times: usize) -> Result<Duration> {
        self.wait()?;
        let start = Instant::now();
        self.submit(program, times, true)?;
        self.wait()?;
        let wall = start.elapsed();
        if let Some(timer) = &self.timer {
            if let Some(time) = timer.read(&self.device, &self.queue, &self.health)? {
                return Ok(time);
            }
            // A driver that writes no timestamps now will not do so later.
            self.timer = None;
        }
        Ok(wall)
    }

    fn clock(&self) -> Clock {
        if self.timer.is_some() { Clock::Device } else { Clock::Wall }
    }
}

fn check_limits(plan: &Plan, slots: &Slots, limits: &wgpu::Limits) -> Result<()> {
    for (id, buffer) in plan.buffers.iter().enumerate() {
        let bytes = 4 * slots.words[slots.of[id]] as u64;
        let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        if bytes > most {
            bail!(Error::NoDevice(format!(
                "the buffer {} needs {bytes} bytes, and this device binds at most {most}; use a smaller --batch-size or \
                 --limit, or --backend cpu",
                buffer.name
            )));
        }
    }
    Ok(())
}

fn allocate(device: &wgpu::Device, slots: &Slots) -> Vec<wgpu::Buffer> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let make = |&words: &usize| {
        let size = 4 * words.next_multiple_of(4) as u64;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    slots.words.iter().map(make).collect()
}

/// One uniform buffer holds the parameters of all calls; each call has its bind group.
fn bind(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    plan: &Plan,
    slots: &Slots,
    buffers: &[wgpu::Buffer],
    pipelines: &Pipelines,
    class: DeviceClass,
) -> Vec<Vec<Dispatch>> {
    let calls = plan.programs.iter().map(|program| program.calls.len()).sum::<usize>();
    let mut parameters = vec![0_u8; calls.max(1) * UNIFORM_ALIGNMENT];
    let uniform = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("parameters of the calls"),
        size: parameters.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut offset = 0;
    let mut programs = Vec::new();
    for program in &plan.programs {
        let mut dispatches = Vec::new();
        for call in &program.calls {
            let bytes: &[u8] = bytemuck::cast_slice(&call.params);
            parameters[offset..offset + bytes.len()].copy_from_slice(bytes);
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &uniform,
                    offset: offset as u64,
                    size: std::num::NonZeroU64::new(bytes.len().next_multiple_of(16) as u64),
                }),
            }];
            for (index, id) in call.buffers.iter().enumerate() {
                let size = std::num::NonZeroU64::new(4 * plan.words(*id).next_multiple_of(4) as u64);
                let buffer = &buffers[slots.of[id.0]];
                entries.push(wgpu::BindGroupEntry {
                    binding: index as u32 + 1,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size }),
                });
            }
            let kernel = call.op.kernel(&call.params, class);
            let pipeline = pipelines.find(call.op, &kernel);
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&call.place),
                layout: pipelines.layout(call.op),
                entries: &entries,
            });
            dispatches.push(Dispatch { pipeline, bind_group, grid: kernel.grid });
            offset += UNIFORM_ALIGNMENT;
        }
        programs.push(dispatches);
    }
    queue.write_buffer(&uniform, 0, &parameters);
    programs
}
