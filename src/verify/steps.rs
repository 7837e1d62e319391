//! Whole training steps in which every call runs on the device and in the f64 reference, from the same inputs.

use super::compare::{self, Difference};
use super::ops::{Expected, reference};
use crate::backend::Backend;
use crate::backend::device::Device;
use crate::ops::{Access, Element};
use crate::plan::network::Network;
use crate::plan::{BufferId, Call, Lifetime, Plan, ProgramId};
use anyhow::Result;

/// The training step of a network, one program for each call, so that it can be stopped between any two.
pub struct Stepper {
    backend: Box<dyn Backend>,
    calls: Vec<(Call, ProgramId)>,
    plan: Plan,
}

/// A call whose outputs are not the reference's.
#[derive(Clone, Debug)]
pub struct WrongCall {
    /// From 1.
    pub step: usize,
    /// Its number within the step.
    pub call: usize,
    /// The layer or stage.
    pub place: String,
    /// The op.
    pub op: &'static str,
    /// Its parameters, as `name=value`.
    pub params: String,
    /// The buffer.
    pub buffer: &'static str,
    /// How many numbers of it are off.
    pub wrong: usize,
    /// The first of them.
    pub first: Difference,
}

impl Stepper {
    /// Opens the device for the training step of `network`.
    ///
    /// # Errors
    /// When the device cannot be opened or does not suffice.
    pub fn new(network: &Network, device: &Device) -> Result<Self> {
        let mut plan = Plan { buffers: network.plan.buffers.clone(), programs: Vec::new() };
        for buffer in &mut plan.buffers {
            buffer.lifetime = Lifetime::Run;
        }
        let mut calls = Vec::new();
        for call in &network.plan.programs[network.train.0].calls {
            let program = plan.program(call.place.clone());
            plan.programs[program.0].calls.push(call.clone());
            calls.push((call.clone(), program));
        }
        let backend = device.open(&plan)?;
        Ok(Self { backend, calls, plan })
    }

    /// The backend, to be fed.
    pub fn backend(&mut self) -> &mut dyn Backend {
        self.backend.as_mut()
    }

    /// Runs step number `step` (from 1, for the report) and compares every call with the reference. `seen` is told of each
    /// call and the largest error in it, as a share of what is allowed; the first wrong call ends the step.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step(&mut self, step: usize, mut seen: impl FnMut(&Call, f64)) -> Result<Option<WrongCall>> {
        for index in 0..self.calls.len() {
            let (call, program) = self.calls[index].clone();
            let before = call.buffers.iter().map(|&id| self.read(id)).collect::<Result<Vec<_>>>()?;
            let expected = reference(call.op, &call.params, &before);
            self.backend.run(program, 1)?;
            let mut worst = 0.0;
            for ((binding, &id), expected) in call.op.bindings().iter().zip(&call.buffers).zip(&expected) {
                if binding.access == Access::Read {
                    continue;
                }
                let found = self.read(id)?;
                let comparison = match expected {
                    Expected::Numbers(expected) => compare::numbers(bytemuck::cast_slice(&found), expected),
                    Expected::Words(expected) => compare::words(&found, expected),
                };
                if let Some(first) = comparison.first {
                    return Ok(Some(WrongCall {
                        step,
                        call: index,
                        place: call.place.clone(),
                        op: call.op.name(),
                        params: describe(&call),
                        buffer: binding.name,
                        wrong: comparison.wrong,
                        first,
                    }));
                }
                worst = f64::max(worst, comparison.worst);
            }
            seen(&call, worst);
        }
        Ok(None)
    }

    fn read(&mut self, id: BufferId) -> Result<Vec<u32>> {
        let mut words = vec![0; self.plan.words(id)];
        self.backend.read(id, 0, &mut words)?;
        Ok(words)
    }
}

/// The parameters of a call by name.
fn describe(call: &Call) -> String {
    let value = |element, word| match element {
        Element::U32 => format!("{word}"),
        Element::F32 => format!("{}", f32::from_bits(word)),
    };
    let fields = call.op.fields().iter().zip(&call.params);
    fields
        .map(|(&(name, element), &word)| format!("{name}={}", value(element, word)))
        .collect::<Vec<_>>()
        .join(" ")
}
