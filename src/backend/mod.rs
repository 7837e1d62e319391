//! Interpreters of plans. A backend owns the memory of a plan's buffers and runs its programs.
//!
//! **Invariants:** backends name no op and no layer; only [`gpu`] imports wgpu.

pub mod cpu;
pub mod device;
pub mod gpu;

use crate::plan::{BufferId, Plan, ProgramId, Reuse, Slots};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What runs the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `cpu`, `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// The name of the adapter or of the processor's instructions.
    pub name: String,
    /// Driver and version; empty for the CPU.
    pub driver: String,
    /// Whether it is a software rasteriser.
    pub software: bool,
    /// Threads of the CPU backend; 0 for GPUs.
    pub threads: usize,
}

impl DeviceInfo {
    /// Whether it is the CPU backend.
    pub fn is_cpu(&self) -> bool {
        self.threads > 0
    }
}

/// How many threads, in words: `1 thread`, `2 threads`.
pub fn count_threads(threads: usize) -> String {
    format!("{threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// A plan that a device has no room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// A buffer is larger than the device binds.
    #[error("the buffer {buffer} needs {bytes} bytes, and the device binds at most {most}")]
    Binding {
        /// Its name.
        buffer: String,
        /// Its size.
        bytes: u64,
        /// The device's limit.
        most: u64,
    },
    /// All buffers together are larger than the device's free memory.
    #[error("the buffers need {bytes} bytes, and the device's memory ran out after {fits}")]
    Memory {
        /// All of them.
        bytes: u64,
        /// Those that could be allocated.
        fits: u64,
    },
}

impl Shortage {
    /// Whether another plan would fit, as far as this shortage tells.
    pub fn admits(&self, plan: &Plan) -> bool {
        match self {
            Self::Binding { most, .. } => {
                plan.buffers.iter().all(|buffer| 4 * buffer.memory_words() as u64 <= *most)
            }
            Self::Memory { fits, .. } => Slots::assign(plan, Reuse::ByLifetime).bytes() <= *fits,
        }
    }
}

/// What [`Backend::time`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// The device's own: timestamps at both ends of the work.
    Device,
    /// The host's, from before the submission until the device is done.
    Wall,
}

/// What the host has done to hand work to a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostWork {
    /// Recording and submitting.
    pub time: Duration,
    /// Calls recorded.
    pub dispatches: u64,
    /// Submissions.
    pub submissions: u64,
}

impl HostWork {
    /// What was done after `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            time: self.time.saturating_sub(before.time),
            dispatches: self.dispatches - before.dispatches,
            submissions: self.submissions - before.submissions,
        }
    }
}

/// An interpreter of one plan.
pub trait Backend {
    /// What runs the plan.
    fn device(&self) -> &DeviceInfo;

    /// Writes words to a buffer, from word `first` on.
    ///
    /// # Errors
    /// When the device fails.
    fn write(&mut self, buffer: BufferId, first: usize, words: &[u32]) -> Result<()>;

    /// Whether a buffer is in half precision. It is written and read as f32 all the same, rounded to the nearest when written.
    fn is_half(&self, _buffer: BufferId) -> bool {
        false
    }

    /// Whether cooperative matrices take the factors of products in half precision.
    fn has_half_factors(&self) -> bool {
        false
    }

    /// Reads words from a buffer that [outlives a step](crate::plan::Lifetime::Run), from word `first` on, after everything
    /// that was run before. Of others a backend need not keep the whole.
    ///
    /// # Errors
    /// When the device fails.
    fn read(&mut self, buffer: BufferId, first: usize, words: &mut [u32]) -> Result<()>;

    /// Runs of a program that it had better be given at once.
    fn runs_at_once(&self) -> usize {
        1
    }

    /// Runs a program `times` times. May return before the device is done.
    ///
    /// # Errors
    /// When the device fails.
    fn run(&mut self, program: ProgramId, times: usize) -> Result<()>;

    /// Returns when everything that was run is done.
    ///
    /// # Errors
    /// When the device fails.
    fn wait(&mut self) -> Result<()>;

    /// Runs a program `times` times, waits for it, and says how long all of that took by [`Backend::clock`].
    ///
    /// # Errors
    /// When the device fails.
    fn time(&mut self, program: ProgramId, times: usize) -> Result<Duration> {
        self.wait()?;
        let start = Instant::now();
        self.run(program, times)?;
        self.wait()?;
        Ok(start.elapsed())
    }

    /// All that the host has done for the device since the backend was made; nothing where the host does the work itself.
    fn host_work(&self) -> HostWork {
        HostWork::default()
    }

    /// The clock of [`Backend::time`].
    fn clock(&self) -> Clock {
        Clock::Wall
    }
}
