//! The GPU backend: the plan's calls as compute dispatches through wgpu.
//!
//! Everything is made at the start: pipelines (in parallel), buffers, bind groups. A step records the
//! same dispatches every time; many steps go into one submission, and a few submissions are in flight.

pub mod adapter;
mod pace;
mod pipeline;
mod rehearsal;
mod timing;
mod transfer;
mod wait;

use super::{Backend, Clock, DeviceInfo, HostWork, Shortage};
use crate::error::Error;
use crate::ops::DeviceClass;
use crate::plan::{BufferId, Call, Plan, ProgramId, Reuse, Slots};
use adapter::Adapter;
use anyhow::Result;
use pace::Part;
use pipeline::{Compilation, Pipelines};
use rehearsal::Faults;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timing::Timer;
use wait::Health;

pub use adapter::{Api, Selection};
pub use pipeline::Checks;

/// Steps in one submission: at least this many, so that the cost of submitting does not show, unless they are long.
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
    /// For a call that takes long: its parts, and where each is described in the uniform buffer.
    parts: Vec<(Part, u32)>,
}

/// A program, ready to be recorded.
struct Program {
    dispatches: Vec<Dispatch>,
    /// Runs in one submission.
    runs: usize,
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
    programs: Vec<Program>,
    part_group: wgpu::BindGroup,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    timer: Option<Timer>,
    faults: Faults,
    host_work: HostWork,
}

impl Gpu {
    /// Opens the adapter, builds all pipelines and allocates the buffers of `plan`.
    ///
    /// # Errors
    /// When the adapter lacks a limit, a kernel does not compile, or memory runs out.
    pub fn new(plan: &Plan, adapter: &Adapter, checks: Checks) -> Result<Self> {
        let slots = Slots::assign(plan, Reuse::ByLifetime);
        let faults = adapter.faults().clone();
        // Before anything is allocated, or even the device opened.
        check_sizes(plan, &slots, adapter.largest_binding())?;
        let (device, queue) = adapter.open()?;
        let health = Health::watch(&device, faults.patience);
        let how = Compilation { class: adapter.class(), checks, wrong_op: faults.op.as_deref() };
        let longest = faults.dispatch.unwrap_or(pace::LONGEST);
        let pipelines = health.scoped(&device, "building the kernels", || {
            Pipelines::build(&device, plan, how, |call| !parts_of(call, how.class, longest).is_empty())
        })??;
        let buffers = allocate(&device, &slots, faults.memory_bytes)?;
        let (programs, part_group) = health.scoped(&device, "binding the buffers", || {
            let binder = Binder {
                device: &device,
                queue: &queue,
                plan,
                slots: &slots,
                buffers: &buffers,
                pipelines: &pipelines,
            };
            binder.bind(how.class, longest)
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
            part_group,
            in_flight: VecDeque::new(),
            timer,
            faults,
            host_work: HostWork::default(),
        })
    }

    fn buffer(&self, id: BufferId) -> &wgpu::Buffer {
        &self.buffers[self.slot_of[id.0]]
    }

    /// Records a program `times` times in one pass and submits it.
    fn submit(&mut self, program: ProgramId, times: usize, timed: bool) -> Result<()> {
        let start = Instant::now();
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let timestamp_writes = self.timer.as_ref().filter(|_| timed).map(Timer::writes);
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            for _ in 0..times {
                for dispatch in &self.programs[program.0].dispatches {
                    pass.set_pipeline(self.pipelines.get(dispatch.pipeline));
                    pass.set_bind_group(0, &dispatch.bind_group, &[]);
                    if dispatch.parts.is_empty() {
                        let [x, y, z] = dispatch.grid;
                        pass.dispatch_workgroups(x, y, z);
                    }
                    for (part, offset) in &dispatch.parts {
                        pass.set_bind_group(1, &self.part_group, &[*offset]);
                        let [x, y, z] = part.groups;
                        pass.dispatch_workgroups(x, y, z);
                    }
                }
            }
        }
        self.in_flight.push_back(self.queue.submit([encoder.finish()]));
        self.host_work.time += start.elapsed();
        self.host_work.dispatches += (times * self.programs[program.0].dispatches.len()) as u64;
        self.host_work.submissions += 1;
        self.rehearse()?;
        if self.in_flight.len() > IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            self.health.wait(&self.device, Some(oldest))?;
        }
        self.health.check()
    }

    /// Lets happen what a rehearsal wants after this submission.
    fn rehearse(&mut self) -> Result<()> {
        if self.faults.destroy == Some(self.host_work.submissions) {
            self.device.destroy();
        }
        if self.faults.hang == Some(self.host_work.submissions) {
            let endless = rehearsal::submit_endless_work(&self.device, &self.queue);
            // At once: lavapipe blocks in the next submission until this one is over, where no wait can be cut short.
            self.health.wait(&self.device, Some(endless))?;
        }
        Ok(())
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        if self.health.hangs() {
            // Dropping the last handle waits for work that does not end; the process is about to, and frees them.
            std::mem::forget((self.device.clone(), self.queue.clone()));
        }
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

    fn host_work(&self) -> HostWork {
        self.host_work
    }

    fn run(&mut self, program: ProgramId, times: usize) -> Result<()> {
        let (mut left, each) = (times, self.programs[program.0].runs);
        while left > 0 {
            // The rest rides along rather than in a small submission of its own.
            let steps = if each > 1 && left < 2 * each { left } else { each };
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

/// Refuses a buffer that the device cannot bind.
fn check_sizes(plan: &Plan, slots: &Slots, most: u64) -> Result<()> {
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
fn allocate(device: &wgpu::Device, slots: &Slots, most: Option<u64>) -> Result<Vec<wgpu::Buffer>> {
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

/// The parts in which a call has to run; none where it can run whole.
fn parts_of(call: &Call, class: DeviceClass, longest: Duration) -> Vec<Part> {
    let grid = call.op.kernel(&call.params, class).grid;
    let parts = pace::parts(grid, pace::estimate(call.cost()), longest);
    if parts.len() > 1 { parts } else { Vec::new() }
}

/// What binding needs.
struct Binder<'a> {
    device: &'a wgpu::Device,
    queue: &'a wgpu::Queue,
    plan: &'a Plan,
    slots: &'a Slots,
    buffers: &'a [wgpu::Buffer],
    pipelines: &'a Pipelines,
}

impl Binder<'_> {
    /// One uniform buffer holds the parameters of all calls and the parts of those that run in parts; each call has its bind
    /// group, and the parts share one.
    fn bind(&self, class: DeviceClass, longest: Duration) -> (Vec<Program>, wgpu::BindGroup) {
        let calls = self.plan.programs.iter().flat_map(|program| &program.calls);
        let slots: usize = calls.map(|call| 1 + parts_of(call, class, longest).len()).sum();
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
                dispatches.push(self.dispatch(call, class, longest, &mut uniforms, &buffer));
            }
            programs
                .push(Program { dispatches, runs: pace::runs_per_submission(time, STEPS_PER_SUBMISSION) });
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
        class: DeviceClass,
        longest: Duration,
        uniforms: &mut Uniforms,
        buffer: &wgpu::Buffer,
    ) -> Dispatch {
        let offset = uniforms.push(&call.params);
        let mut entries = vec![uniform_entry(buffer, offset, 4 * call.params.len())];
        for (index, id) in call.buffers.iter().enumerate() {
            let size = std::num::NonZeroU64::new(4 * self.plan.words(*id).next_multiple_of(4) as u64);
            let buffer = &self.buffers[self.slots.of[id.0]];
            entries.push(wgpu::BindGroupEntry {
                binding: index as u32 + 1,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size }),
            });
        }
        let kernel = call.op.kernel(&call.params, class);
        let [x, y, z] = kernel.grid;
        let parts: Vec<(Part, u32)> = parts_of(call, class, longest)
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
        let pipeline = self.pipelines.find(call.op, &kernel, !parts.is_empty());
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
