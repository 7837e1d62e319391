//! Whole training steps in which every call runs on the device and in the f64 reference, from the same inputs.

use super::compare::{Comparison, Difference};
use super::ops::{Expected, References, read, storage};
use crate::backend::Backend;
use crate::backend::device::Device;
use crate::data::DataSet;
use crate::layers;
use crate::ops::{Access, Element, control};
use crate::plan::network::{Description, Network, build};
use crate::plan::optimizer::corrected_rate;
use crate::plan::{BufferId, Call, Lifetime, Plan, ProgramId};
use crate::recipe::Recipe;
use crate::train::engine::{DeviceData, Weights};
use anyhow::Result;

/// Images of a verified training step: two blocks and a ragged third, so that the reference keeps up.
const IMAGES: usize = 40;

/// The training step of a network, one program for each call, so that it can be stopped between any two.
pub struct Stepper {
    network: Network,
    recipe: Recipe,
    seed: u64,
    backend: Box<dyn Backend>,
    /// Runs every call too, from the same inputs, where the device is not the CPU already.
    cpu: Option<Box<dyn Backend>>,
    calls: Vec<(Call, ProgramId)>,
    plan: Plan,
}

/// A call whose outputs are not the reference's.
#[derive(Clone, Debug)]
pub struct WrongCall {
    /// `cpu`, `vulkan`, ...: the backend that is wrong.
    pub backend: String,
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

/// The largest errors of a call.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// Of the device.
    pub device: Comparison,
    /// Of the CPU backend beside it.
    pub cpu: Option<Comparison>,
}

impl Stepper {
    /// Opens the device for training steps of a recipe on the first images of a data set; `seed` decides the first weights.
    ///
    /// # Errors
    /// When the recipe does not fit the data, or the device cannot be opened or does not suffice.
    pub fn new(recipe: Recipe, mut data: DataSet, seed: u64, device: &Device) -> Result<Self> {
        data.limit(IMAGES)?;
        let device_data = DeviceData::of_images(&data.train.images, &data.train.labels);
        let (input, classes, target) = (device_data.shape(), data.classes, device.target());
        let layers = layers::resolve(&recipe, input, classes)?;
        let transform = recipe.data.scaling.transform(&data.train.images, 0..IMAGES);
        let network = build(&Description {
            batch_size: IMAGES,
            evaluation_batch_size: IMAGES,
            ..Description::of_recipe(&recipe, &layers, input, classes, transform, IMAGES, target)
        });
        let weights = Weights::initial(&layers, &network.parameters, seed);
        let mut stepper = Self::open(network, recipe, seed, device)?;
        let Self { network, backend, .. } = &mut stepper;
        let order: Vec<u32> = (0..IMAGES as u32).collect();
        backend.write(network.images, 0, device_data.words())?;
        backend.write(network.labels, 0, device_data.labels())?;
        backend.write(network.train_feed.order, 0, &order)?;
        backend.write(network.shared.parameters, 0, bytemuck::cast_slice(&weights.parameters))?;
        backend.write(network.shared.statistics, 0, bytemuck::cast_slice(&weights.statistics))?;
        Ok(stepper)
    }

    fn open(network: Network, recipe: Recipe, seed: u64, device: &Device) -> Result<Self> {
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
        let beside = Device::Cpu { threads: 2 };
        let cpu = match device {
            Device::Cpu { .. } => None,
            Device::Gpu { .. } => Some(beside.open(&plan)?),
        };
        Ok(Self { network, recipe, seed, backend, cpu, calls, plan })
    }

    /// Says where the training stands: at step number `step`, from 0.
    fn feed(&mut self, step: usize) -> Result<()> {
        let rate = self.recipe.optimizer.learning_rate();
        let rates = [rate as f32, corrected_rate(&self.recipe.optimizer, rate, step as u64) as f32];
        let control = control::start(0, step, IMAGES, IMAGES, step, self.seed);
        self.backend.write(self.network.schedule, 0, bytemuck::cast_slice(&rates))?;
        self.backend.write(self.network.train_feed.control, 0, &control)
    }

    /// Runs step number `step` (from 1, one after the other) and compares every call with the reference. `seen` is told of each
    /// call and the largest errors in it; the first wrong call ends the step.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step(
        &mut self,
        step: usize,
        mut seen: impl FnMut(&Call, &CallReport),
    ) -> Result<Option<WrongCall>> {
        self.feed(step - 1)?;
        for index in 0..self.calls.len() {
            let (call, program) = self.calls[index].clone();
            let before = call.buffers.iter().map(|&id| self.read(id)).collect::<Result<Vec<_>>>()?;
            let expected = References::new(call.op, &call.params, &before);
            let wrong = |backend: &dyn Backend, buffer, comparison: &Comparison| {
                let first = comparison.first.clone()?;
                Some(WrongCall {
                    backend: backend.device().backend.clone(),
                    step,
                    call: index,
                    place: call.place.clone(),
                    op: call.op.name(),
                    params: describe(&call),
                    buffer,
                    wrong: comparison.wrong,
                    first,
                })
            };
            self.backend.run(program, 1)?;
            let on_device = expected.of(self.backend.as_ref());
            let (buffer, device) = compare_outputs(self.backend.as_mut(), &call, on_device)?;
            let mut found = wrong(self.backend.as_ref(), buffer, &device);
            let mut report = CallReport { device, cpu: None };
            if let Some(cpu) = &mut self.cpu {
                call.buffers.iter().zip(&before).try_for_each(|(&id, words)| cpu.write(id, 0, words))?;
                cpu.run(program, 1)?;
                let on_cpu = expected.of(cpu.as_ref());
                let (buffer, comparison) = compare_outputs(cpu.as_mut(), &call, on_cpu)?;
                found = found.or_else(|| wrong(cpu.as_ref(), buffer, &comparison));
                report.cpu = Some(comparison);
            }
            seen(&call, &report);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn read(&mut self, id: BufferId) -> Result<Vec<u32>> {
        read(self.backend.as_mut(), id, self.plan.words(id))
    }
}

/// The largest error in the outputs of a call, or the first output that is wrong, and its name.
fn compare_outputs(
    backend: &mut dyn Backend,
    call: &Call,
    expected: &[Expected],
) -> Result<(&'static str, Comparison)> {
    let mut worst = ("", Comparison::default());
    for ((binding, &id), expected) in call.op.bindings().iter().zip(&call.buffers).zip(expected) {
        if binding.access == Access::Read {
            continue;
        }
        let words = match expected {
            Expected::Numbers(numbers) => numbers.len(),
            Expected::Words(words) => words.len(),
        };
        let found = read(backend, id, words)?;
        let comparison = expected.compare(&found, storage(backend, id));
        if comparison.first.is_some() {
            return Ok((binding.name, comparison));
        }
        if comparison.worst >= worst.1.worst {
            worst = (binding.name, comparison);
        }
    }
    Ok(worst)
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
