//! The calls of a training step, each in a program of its own, over the buffers of a step that has really been run.

use super::measure::{self, Effort, Figure};
use super::{Epoch, Subject};
use crate::backend::device::Device;
use crate::ops::{Access, Cost, DeviceClass, Kernel, Op};
use crate::plan::network::Network;
use crate::plan::{BufferId, Call, Lifetime, Program, ProgramId};
use crate::train::engine::Engine;
use anyhow::Result;
use std::time::Duration;

/// Repetitions of a call that updates buffers in place, before they are put back: further ones could leave the
/// ordinary numbers (0.25^32, the steepest decay of an activation's gradient, is still far from subnormal).
const MOST_UPDATES: usize = 32;

/// A call, and how often its like occurs in a step.
pub struct StagedCall {
    /// The call.
    pub call: Call,
    /// Calls of the step that do the same work, this one included.
    pub count: usize,
    /// The least work, with numbers as the device stores them.
    pub cost: Cost,
    program: ProgramId,
}

impl StagedCall {
    /// The op.
    pub fn op(&self) -> &'static dyn Op {
        self.call.op
    }

    /// Buffers that it updates in place.
    fn updated(&self) -> Vec<BufferId> {
        let bindings = self.call.op.bindings().iter().zip(&self.call.buffers);
        bindings.filter(|(binding, _)| binding.access == Access::ReadWrite).map(|(_, id)| *id).collect()
    }
}

/// A training step taken apart.
pub struct Stage {
    engine: Engine,
    epoch: Epoch,
    /// Its different calls, in order.
    pub calls: Vec<StagedCall>,
}

impl Stage {
    /// Takes the training step of a recipe apart.
    ///
    /// # Errors
    /// When the recipe does not fit the data, or the device fails.
    pub fn new(subject: &Subject<'_>) -> Result<Self> {
        let mut calls = Vec::new();
        let (mut engine, epoch) = subject.open(|network| calls = take_apart(network, subject.device))?;
        // One real step, so that all buffers hold what they hold in training.
        engine.run_steps(1)?;
        epoch.start(&mut engine)?;
        Ok(Self { engine, epoch, calls })
    }

    /// Seconds of one call.
    ///
    /// # Errors
    /// When the device fails.
    pub fn measure(&mut self, call: usize, effort: &Effort) -> Result<Figure> {
        let state = self.state(call)?;
        let figure = measure::seconds(effort, self.most(call), |times| self.run(call, times, &state))?;
        self.restore(&state)?;
        Ok(figure)
    }

    /// Runs a call many times, putting back what it updates as often as need be, which is not timed.
    ///
    /// # Errors
    /// When the device fails.
    pub fn time(&mut self, call: usize, times: usize) -> Result<Duration> {
        let state = self.state(call)?;
        let (mut total, mut left) = (Duration::ZERO, times);
        while left > 0 {
            let now = left.min(self.most(call)).min(measure::MOST_TIMES);
            total += self.run(call, now, &state)?;
            left -= now;
        }
        self.restore(&state)?;
        Ok(total)
    }

    /// How often the call may run before what it updates is put back.
    fn most(&self, call: usize) -> usize {
        match self.calls[call].updated().is_empty() {
            true => usize::MAX,
            // An op may step through the epoch, and must not leave it.
            false => MOST_UPDATES.min(self.epoch.steps),
        }
    }

    fn run(&mut self, call: usize, times: usize, state: &[(BufferId, Vec<u32>)]) -> Result<Duration> {
        self.restore(state)?;
        self.engine.backend().time(self.calls[call].program, times)
    }

    /// What the buffers hold that the call updates in place.
    fn state(&mut self, call: usize) -> Result<Vec<(BufferId, Vec<u32>)>> {
        let mut state = Vec::new();
        for id in self.calls[call].updated() {
            let mut words = vec![0; self.engine.network.plan.words(id)];
            self.engine.backend().read(id, 0, &mut words)?;
            state.push((id, words));
        }
        Ok(state)
    }

    fn restore(&mut self, state: &[(BufferId, Vec<u32>)]) -> Result<()> {
        state.iter().try_for_each(|(id, words)| self.engine.backend().write(*id, 0, words))
    }
}

/// Gives each different call of the training step a program, and each of their buffers memory of its own: what one call
/// made must still be there when another runs.
fn take_apart(network: &mut Network, device: &Device) -> Vec<StagedCall> {
    let plan = &mut network.plan;
    let calls = plan.programs[network.train.0].calls.clone();
    for id in calls.iter().flat_map(|call| &call.buffers) {
        plan.buffers[id.0].lifetime = Lifetime::Run;
    }
    let mut staged: Vec<StagedCall> = Vec::new();
    for call in calls {
        if let Some(like) = staged.iter_mut().find(|staged| work(&staged.call) == work(&call)) {
            like.count += 1;
            continue;
        }
        let name = format!("{}: {}", call.place, call.op.name());
        plan.programs.push(Program { name, calls: vec![call.clone()] });
        let program = ProgramId(plan.programs.len() - 1);
        staged.push(StagedCall { count: 1, cost: call.cost(), call, program });
    }
    let stored = device.stored(plan.clone());
    staged.iter_mut().for_each(|staged| staged.cost = stored.cost(&staged.call));
    staged
}

/// What makes two calls alike, wherever in the flat buffers their parameters lie.
fn work(call: &Call) -> (&'static str, Cost, Kernel, Kernel) {
    let kernel = |class| call.op.kernel(&call.params, class);
    (call.op.name(), call.cost(), kernel(DeviceClass::Gpu), kernel(DeviceClass::Software))
}
