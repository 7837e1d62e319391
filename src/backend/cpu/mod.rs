//! The CPU backend: threads that live as long as the plan and meet at a spinning barrier.

mod caches;
mod memory;
mod passing;
mod pool;
mod race;
mod schedule;

use super::{Backend, DeviceInfo};
use crate::ops::simd;
use crate::plan::{BufferId, Plan, ProgramId, Reuse, Slots};
use anyhow::Result;
use caches::Caches;
use memory::Memory;
use pool::Pool;
use race::Ways;
use schedule::Schedule;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Runs a plan on the processor.
pub struct Cpu {
    device: DeviceInfo,
    slot_of: Vec<usize>,
    memory: Memory,
    programs: Vec<Ways>,
    pool: Pool,
    caches: Arc<Caches>,
}

impl Cpu {
    /// Allocates the buffers of `plan` and starts `threads` threads (at least one).
    ///
    /// # Errors
    /// [`Error::NoDevice`](crate::error::Error::NoDevice) when there is no memory for them.
    pub fn new(plan: &Plan, threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let slots = Slots::assign(plan, Reuse::Never);
        // With memory of its own for every buffer, slots are the buffers in their order; scratch memory is the last.
        let words = [&slots.words[..], &[schedule::scratch_words(plan)]].concat();
        let passing = [&passing::passing(plan, threads)[..], &[None]].concat();
        let mut memory = Memory::new(&words, &passing, threads)?;
        let caches = Arc::new(Caches::default());
        let mut programs = Vec::new();
        for program in &plan.programs {
            let mut with =
                |threads| Schedule::new(program, plan, &slots, &mut memory, threads, &caches.are_apart);
            let threads = schedule::useful_threads(threads, program);
            let all = with(threads);
            programs.push(Ways::new(all, (threads > 1 && schedule::is_brief(program)).then(|| with(1))));
        }
        Ok(Self {
            device: Self::describe(threads),
            slot_of: slots.of,
            memory,
            programs,
            pool: Pool::new(threads),
            caches,
        })
    }

    /// What this backend is with `threads` threads.
    pub fn describe(threads: usize) -> DeviceInfo {
        DeviceInfo {
            backend: "cpu".into(),
            name: simd::instructions().into(),
            driver: String::new(),
            software: false,
            threads,
        }
    }

    /// A job: so many times the same.
    fn repeat(&mut self, schedule: &Arc<Schedule>, times: usize) -> Result<()> {
        let (schedule, caches) = (Arc::clone(schedule), Arc::clone(&self.caches));
        self.pool.run(
            schedule.threads,
            Arc::new(move |thread| {
                if schedule.hands_on {
                    caches.look(thread);
                }
                for _ in 0..times {
                    for segment in &schedule.segments {
                        segment.run(thread);
                    }
                }
            }),
        )
    }
}

impl Backend for Cpu {
    fn device(&self) -> &DeviceInfo {
        &self.device
    }

    fn write(&mut self, buffer: BufferId, first: usize, words: &[u32]) -> Result<()> {
        self.memory.slot_mut(self.slot_of[buffer.0])[first..first + words.len()].copy_from_slice(words);
        Ok(())
    }

    fn read(&mut self, buffer: BufferId, first: usize, words: &mut [u32]) -> Result<()> {
        let slot = self.memory.slot_mut(self.slot_of[buffer.0]);
        words.copy_from_slice(&slot[first..first + words.len()]);
        Ok(())
    }

    fn run(&mut self, program: ProgramId, times: usize) -> Result<()> {
        let mut left = times;
        if let Some((ways, each)) = self.programs[program.0].race(times) {
            let mut took = [Duration::ZERO; 2];
            for (took, schedule) in took.iter_mut().zip(&ways) {
                let start = Instant::now();
                self.repeat(schedule, each)?;
                *took = start.elapsed();
                left -= each;
            }
            self.programs[program.0].learn(took);
        }
        let schedule = Arc::clone(self.programs[program.0].quicker());
        self.repeat(&schedule, left)
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Threads to use when nobody says: one for each processor.
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
