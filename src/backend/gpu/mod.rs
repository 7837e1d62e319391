//! The GPU backend: the plan's calls as compute dispatches through wgpu.
//!
//! Everything is made at the start: pipelines (in parallel), buffers, bind groups. A step records the
//! same dispatches every time; many steps go into one submission, and a few submissions are in flight.

pub mod adapter;
mod bind;
mod halves;
mod memory;
mod pace;
mod pipeline;
mod rehearsal;
mod timing;
mod transfer;
mod wait;

use super::{Backend, Clock, DeviceInfo, HostWork};
use crate::plan::{BufferId, Plan, ProgramId, Reuse, Slots};
use adapter::Adapter;
use anyhow::Result;
use bind::{Binder, Program, parts_of};
use pipeline::{Compilation, Pipelines};
use rehearsal::Faults;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use timing::Timer;
use wait::Health;

pub use adapter::{Api, Selection};
pub use bind::STEPS_PER_SUBMISSION;
pub use pipeline::Checks;

/// Submissions in flight; more would only delay errors and use memory.
const IN_FLIGHT: usize = 3;
/// Runs of a program that the device has been given.
struct Submission {
    index: wgpu::SubmissionIndex,
    at: Instant,
    program: ProgramId,
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
    /// Which buffers are in half precision.
    halves: Vec<bool>,
    /// Whether matrices take factors in half precision.
    half_factors: bool,
    pipelines: Pipelines,
    programs: Vec<Program>,
    part_group: wgpu::BindGroup,
    in_flight: VecDeque<Submission>,
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
        let half_activations = adapter.uses_half_activations().then(|| plan.clone().with_half_activations());
        let plan = half_activations.as_ref().unwrap_or(plan);
        let slots = Slots::assign(plan, Reuse::ByLifetime);
        let faults = adapter.faults().clone();
        // Before anything is allocated, or even the device opened.
        memory::check_sizes(plan, &slots, adapter.largest_binding())?;
        let (device, queue) = adapter.open()?;
        let health = Health::watch(&device, faults.patience);
        let how = Compilation {
            class: adapter.class(),
            checks,
            subgroups: adapter.uses_subgroups(),
            broadcasts: adapter.broadcasts(),
            matrices: adapter.uses_matrices(),
            wrong_op: faults.op.as_deref(),
        };
        let longest = faults.dispatch.unwrap_or(pace::LONGEST);
        let pipelines = health.scoped(&device, "building the kernels", || {
            Pipelines::build(&device, plan, how, |call| !parts_of(call, how, longest).is_empty())
        })??;
        let buffers = memory::allocate(&device, &slots, faults.memory_bytes)?;
        let (programs, part_group) = health.scoped(&device, "binding the buffers", || {
            let binder = Binder {
                device: &device,
                queue: &queue,
                plan,
                slots: &slots,
                buffers: &buffers,
                pipelines: &pipelines,
                watched: !adapter.info().software,
            };
            binder.bind(how, longest)
        })?;
        let timer = Timer::new(&device, &queue);
        Ok(Self {
            info: adapter.info().clone(),
            device,
            queue,
            health,
            buffers,
            slot_of: slots.of,
            halves: plan.buffers.iter().map(|buffer| buffer.half).collect(),
            half_factors: adapter.has_half_factors(),
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

    /// Writes numbers to a buffer in half precision. What shares a word with the first or the last of them is kept.
    fn write_halves(&mut self, buffer: BufferId, first: usize, numbers: &[u32]) -> Result<()> {
        let mut packed = vec![0; (first + numbers.len()).div_ceil(2) - first / 2];
        transfer::read(&self.device, &self.queue, &self.health, self.buffer(buffer), first / 2, &mut packed)?;
        halves::pack(numbers, first % 2, &mut packed);
        let place = 4 * (first / 2) as u64;
        self.queue.write_buffer(self.buffer(buffer), place, bytemuck::cast_slice(&packed));
        self.health.check()
    }

    /// Reads numbers of a buffer in half precision.
    fn read_halves(&self, buffer: BufferId, first: usize, numbers: &mut [u32]) -> Result<()> {
        let mut packed = vec![0; (first + numbers.len()).div_ceil(2) - first / 2];
        transfer::read(&self.device, &self.queue, &self.health, self.buffer(buffer), first / 2, &mut packed)?;
        halves::unpack(&packed, first % 2, numbers);
        Ok(())
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
        let index = self.queue.submit([encoder.finish()]);
        self.in_flight.push_back(Submission { index, at: Instant::now(), program, runs: times });
        self.host_work.time += start.elapsed();
        self.host_work.dispatches += (times * self.programs[program.0].dispatches.len()) as u64;
        self.host_work.submissions += 1;
        self.rehearse()?;
        if self.in_flight.len() > IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            self.health.wait(&self.device, Some(oldest.index))?;
            let program = &mut self.programs[oldest.program.0];
            if oldest.runs >= program.runs {
                program.runs = pace::more_runs(program.runs, oldest.at.elapsed(), STEPS_PER_SUBMISSION);
            }
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
        if self.is_half(buffer) {
            return self.write_halves(buffer, first, words);
        }
        self.queue.write_buffer(self.buffer(buffer), 4 * first as u64, bytemuck::cast_slice(words));
        self.health.check()
    }

    fn runs_at_once(&self) -> usize {
        STEPS_PER_SUBMISSION
    }

    fn is_half(&self, buffer: BufferId) -> bool {
        self.halves[buffer.0]
    }

    fn has_half_factors(&self) -> bool {
        self.half_factors
    }

    fn read(&mut self, buffer: BufferId, first: usize, words: &mut [u32]) -> Result<()> {
        self.in_flight.clear();
        if self.is_half(buffer) {
            return self.read_halves(buffer, first, words);
        }
        transfer::read(&self.device, &self.queue, &self.health, self.buffer(buffer), first, words)
    }

    fn host_work(&self) -> HostWork {
        self.host_work
    }

    fn run(&mut self, program: ProgramId, times: usize) -> Result<()> {
        let mut left = times;
        while left > 0 {
            let each = self.programs[program.0].runs;
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
