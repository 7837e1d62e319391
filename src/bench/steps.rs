//! Whole training steps, run as training runs them.

use super::ceilings::Ceilings;
use super::measure::{self, Effort, Figure};
use super::ops::OpFigures;
use super::{Epoch, Subject};
use crate::backend::HostWork;
use crate::backend::gpu::STEPS_PER_SUBMISSION;
use crate::ops::Cost;
use crate::train::engine::Engine;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The figures of a recipe's training step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFigures {
    /// The recipe.
    pub recipe: String,
    /// Images of a step.
    pub batch_size: usize,
    /// Calls of a step.
    pub dispatches: usize,
    /// Of one step, by the host's clock, many steps in flight as in training.
    pub seconds: Figure,
    /// Training images a second.
    pub images_per_second: f64,
    /// Floating-point operations of a step.
    pub flops: u64,
    /// Bytes that the calls of a step touch, those of each call counted.
    pub bytes: u64,
    /// 10^9 operations a second.
    pub gflop_per_s: f64,
    /// The least time of all its calls by their nearer ceilings, over the time.
    pub share: f64,
    /// Seconds of the host to record and submit a dispatch; 0 where the host does the work itself.
    #[serde(default)]
    pub record_seconds: f64,
    /// Dispatches in a submission; 0 where there are none.
    #[serde(default)]
    pub dispatches_per_submission: f64,
    /// Where the time goes: the calls by themselves, those of one op together, the longest first.
    pub parts: Vec<PartFigures>,
    /// All calls by themselves over the step: below one where a step costs more than its calls (dispatches,
    /// submissions), above where calls profit from each other's caches.
    pub parts_share: f64,
}

/// The calls of one op in a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartFigures {
    /// The op.
    pub op: String,
    /// How many.
    pub calls: usize,
    /// Of all of them.
    pub seconds: f64,
    /// Of all calls of the step.
    pub share: f64,
}

/// An engine that runs an epoch's steps again and again.
pub struct Runner {
    engine: Engine,
    epoch: Epoch,
    step: usize,
}

impl Runner {
    /// Opens a recipe as training does.
    ///
    /// # Errors
    /// When the recipe does not fit the data, or the device fails.
    pub fn new(subject: &Subject<'_>) -> Result<Self> {
        let (engine, epoch) = subject.open(|_| {})?;
        Ok(Self { engine, epoch, step: 0 })
    }

    /// Images of a step.
    pub fn batch_size(&self) -> usize {
        self.engine.batch_size()
    }

    /// What the host has done for the device.
    pub fn host_work(&self) -> HostWork {
        self.engine.host_work()
    }

    /// Runs so many steps, starting the epoch again where it ends, which is not timed.
    ///
    /// # Errors
    /// When the device fails.
    pub fn time(&mut self, steps: usize) -> Result<Duration> {
        // The last step may be ragged: it is cheaper, and would count as a whole one.
        let whole = self.epoch.steps.max(2) - 1;
        let (mut total, mut left) = (Duration::ZERO, steps);
        while left > 0 {
            if self.step >= whole {
                self.epoch.start(&mut self.engine)?;
                self.step = 0;
            }
            let now = left.min(whole - self.step);
            self.engine.wait()?;
            let start = Instant::now();
            self.engine.run_steps(now)?;
            self.engine.wait()?;
            total += start.elapsed();
            self.step += now;
            left -= now;
        }
        Ok(total)
    }
}

/// Measures a recipe's training step; `ops` are the figures of its calls.
///
/// # Errors
/// When the recipe does not fit the data, or the device fails.
pub fn measure(
    subject: &Subject<'_>,
    ceilings: &Ceilings,
    ops: &[OpFigures],
    effort: &Effort,
) -> Result<StepFigures> {
    let mut runner = Runner::new(subject)?;
    let batch_size = runner.batch_size();
    let calls = ops.iter().map(|op| op.count).sum::<usize>();
    let seconds = measure::seconds(&effort.of_steps(), usize::MAX, |times| runner.time(times))?;
    let before = runner.host_work();
    if before.submissions > 0 {
        // By themselves, since drivers may let a submission wait for those before it.
        runner.time(STEPS_PER_SUBMISSION)?;
    }
    let host = runner.host_work().since(before);
    let (dispatches, submissions) = (host.dispatches as f64, host.submissions.max(1) as f64);
    let sum = |of: &dyn Fn(&OpFigures) -> u64| ops.iter().map(|op| op.count as u64 * of(op)).sum::<u64>();
    let (flops, bytes) = (sum(&|op| op.flops), sum(&|op| op.bytes));
    let least = |op: &OpFigures| {
        let cost = Cost { flops: op.flops, bytes: op.bytes };
        op.count as f64 * ceilings.figures.least_seconds(&cost).0
    };
    Ok(StepFigures {
        recipe: subject.recipe.name.clone(),
        batch_size,
        dispatches: calls,
        seconds,
        images_per_second: batch_size as f64 / seconds.median,
        flops,
        bytes,
        gflop_per_s: flops as f64 / seconds.median * 1e-9,
        share: ops.iter().map(least).sum::<f64>() / seconds.median,
        record_seconds: host.time.as_secs_f64() / dispatches.max(1.0),
        dispatches_per_submission: dispatches / submissions,
        parts_share: ops.iter().map(OpFigures::seconds_of_step).sum::<f64>() / seconds.median,
        parts: parts(ops),
    })
}

fn parts(ops: &[OpFigures]) -> Vec<PartFigures> {
    let total: f64 = ops.iter().map(OpFigures::seconds_of_step).sum();
    let mut parts: Vec<PartFigures> = Vec::new();
    for figures in ops {
        let seconds = figures.seconds_of_step();
        let share = seconds / total;
        match parts.iter_mut().find(|part| part.op == figures.op) {
            Some(part) => {
                part.calls += figures.count;
                part.seconds += seconds;
                part.share += share;
            }
            None => {
                parts.push(PartFigures { op: figures.op.clone(), calls: figures.count, seconds, share });
            }
        }
    }
    parts.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    parts
}
