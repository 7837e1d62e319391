//! Waiting for the device, and noticing when it fails.
//!
//! wgpu tells of a lost device in three ways: a callback, an error of a mapping, or a panic of `poll`
//! (30.0.1 maps a driver's error in a wait to a panic). All end in one message here.

use crate::error::Error;
use anyhow::{Result, anyhow, bail};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// A device that finishes nothing in this time hangs. A submission should take a second on a slow GPU; software devices may take
/// minutes for one step of a large network.
const PATIENCE: Duration = Duration::from_secs(300);
/// One turn of waiting; GL cannot wait longer than 2.1 s at once.
const TURN: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread is in a call whose panic is caught and told as an error.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// How long a device that failed may go on before its first error is told.
const SETTLING: Duration = Duration::from_secs(10);

/// What went wrong with a device, if anything.
#[derive(Clone)]
pub(super) struct Health {
    failure: Arc<Mutex<Option<String>>>,
    hangs: Arc<AtomicBool>,
    patience: Duration,
}

impl Health {
    /// Collects the device's errors from now on. A submission that takes longer than `patience` (five minutes where it is not
    /// given) hangs.
    pub(super) fn watch(device: &wgpu::Device, patience: Option<Duration>) -> Self {
        silence_caught_panics();
        let health =
            Self { failure: Arc::default(), hangs: Arc::default(), patience: patience.unwrap_or(PATIENCE) };
        let errors = health.clone();
        device.on_uncaptured_error(Arc::new(move |error| errors.fail(format!("GPU error: {error}"))));
        let lost = health.clone();
        device.set_device_lost_callback(move |reason, message| {
            // What else went wrong is a consequence, also where it was told before.
            let message = format!("GPU device lost ({reason:?}) {message}");
            *lost.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
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
            Some(message) => bail!(Error::NoDevice(format!(
                "{message}; what was saved is intact: take the run up with --resume, if need be on another --adapter or with \
                 --backend cpu"
            ))),
        }
    }

    /// The error of a device that was lost while `what` was going on.
    pub(super) fn lost(&self, what: &str) -> anyhow::Error {
        self.fail(format!("GPU device lost while {what}"));
        self.check().err().unwrap_or_else(|| anyhow!("GPU device lost while {what}"))
    }

    /// Whether the device does not finish what it was given: whoever waits for it, as dropping it does, waits for ever.
    pub(super) fn hangs(&self) -> bool {
        self.hangs.load(Ordering::Relaxed)
    }

    /// Runs `work` and turns the device's complaints about it into an error.
    pub(super) fn scoped<T>(&self, device: &wgpu::Device, what: &str, work: impl FnOnce() -> T) -> Result<T> {
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let value = work();
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        if memory.is_some() {
            bail!(Error::NoDevice(format!(
                "the GPU ran out of memory while {what}; use a smaller --batch-size, or --backend cpu"
            )));
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
            let polled = poll(device, turn);
            if self.check().is_err() && !self.hangs() {
                settle(device);
            }
            self.check()?;
            match polled {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(wgpu::PollError::Timeout)) if start.elapsed() < self.patience => {}
                Ok(Err(wgpu::PollError::Timeout)) => {
                    self.hangs.store(true, Ordering::Relaxed);
                    self.fail(format!(
                        "the GPU has finished nothing for {} s and seems to hang",
                        self.patience.as_secs()
                    ));
                }
                Ok(Err(error)) => self.fail(format!("waiting for the GPU failed: {error}")),
                Err(_) => self.fail("GPU device lost while waiting for it".into()),
            }
        }
    }
}

/// Gives a lost device the time to be told as such, which is when all that it was given is over; the error that is known already
/// may be a consequence.
fn settle(device: &wgpu::Device) {
    let start = Instant::now();
    let turn = || wgpu::PollType::Wait { submission_index: None, timeout: Some(TURN) };
    while start.elapsed() < SETTLING && matches!(poll(device, turn()), Ok(Err(wgpu::PollError::Timeout))) {}
}

/// Polls; a panic is an error like others.
fn poll(
    device: &wgpu::Device,
    turn: wgpu::PollType,
) -> std::thread::Result<Result<wgpu::PollStatus, wgpu::PollError>> {
    CATCHING.set(true);
    let polled = catch_unwind(AssertUnwindSafe(|| device.poll(turn)));
    CATCHING.set(false);
    polled
}

/// Keeps panics that are caught here from being printed as if the program had failed in a way that it does not know.
fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                print(panic);
            }
        }));
    });
}
