//! Waiting for the device, and noticing when it fails.
//!
//! wgpu tells of a lost device in three ways: a callback, an error of a mapping, or a panic of `poll`
//! (30.0.1 maps a driver's error in a wait to a panic). All end in one message here.

use anyhow::{Result, anyhow, bail};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A device that does not finish in this time hangs.
const DEADLINE: Duration = Duration::from_secs(300);
/// One turn of waiting; GL cannot wait longer than 2.1 s at once.
const TURN: Duration = Duration::from_secs(1);

/// What went wrong with a device, if anything.
#[derive(Clone, Default)]
pub(super) struct Health {
    failure: Arc<Mutex<Option<String>>>,
}

impl Health {
    /// Collects the device's errors from now on.
    pub(super) fn watch(device: &wgpu::Device) -> Self {
        let health = Self::default();
        let errors = health.clone();
        device.on_uncaptured_error(Arc::new(move |error| errors.fail(format!("GPU error: {error}"))));
        let lost = health.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.fail(format!("GPU device lost ({reason:?}) {message}"));
        });
        health
    }

    fn fail(&self, message: String) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }

    /// An error if the device has failed.
    pub(super) fn check(&self) -> Result<()> {
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(message) => bail!(
                "{message}; what was saved is intact: take the run up with --resume, or use another --adapter or \
                 --backend cpu"
            ),
        }
    }

    /// Runs `work` and turns the device's complaints about it into an error.
    pub(super) fn scoped<T>(&self, device: &wgpu::Device, what: &str, work: impl FnOnce() -> T) -> Result<T> {
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = work();
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        if memory.is_some() {
            bail!("the GPU ran out of memory while {what}; use a smaller --batch-size, or --backend cpu");
        }
        match validation {
            None => Ok(value),
            Some(error) => Err(anyhow!("while {what}: {error}")),
        }
    }

    /// Waits for a submission, or for everything.
    pub(super) fn wait(
        &self,
        device: &wgpu::Device,
        submission: Option<wgpu::SubmissionIndex>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let turn = wgpu::PollType::Wait { submission_index: submission.clone(), timeout: Some(TURN) };
            let polled = catch_unwind(AssertUnwindSafe(|| device.poll(turn)));
            self.check()?;
            match polled {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(wgpu::PollError::Timeout)) if start.elapsed() < DEADLINE => {}
                Ok(Err(wgpu::PollError::Timeout)) => self.fail(format!(
                    "the GPU did not finish a submission within {} s and seems to hang",
                    DEADLINE.as_secs()
                )),
                Ok(Err(error)) => self.fail(format!("waiting for the GPU failed: {error}")),
                Err(_) => self.fail("GPU device lost while waiting for it".into()),
            }
        }
    }
}
