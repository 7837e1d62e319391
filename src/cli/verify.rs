//! `verify`

use super::args::{DataArgs, DeviceArgs, RecipeArgs};
use crate::backend::device::Device;
use crate::error::Error;
use crate::layers;
use crate::ops::control;
use crate::plan::network::{Description, build};
use crate::plan::optimizer::corrected_rate;
use crate::train::engine::{DeviceData, Weights};
use crate::verify::{ops, steps};
use anyhow::{Result, bail};
use clap::Args;

/// Images of a verified training step: two blocks and a ragged third, so that the reference keeps up.
const IMAGES: usize = 40;

/// Flags of `verify`.
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Only this op, and no training steps
    #[arg(long, value_name = "OP")]
    op: Option<String>,
    /// Training steps of the recipe, after the ops
    #[arg(long, value_name = "N", default_value_t = 2)]
    steps: usize,
    /// Decides the first weights of the training steps
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// One JSON object for each case and call
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(&self) -> Result<()> {
        let (device, line) = self.device.find()?;
        if !self.json {
            super::print(&format!("{line}\nshare of the allowed error against the f64 reference\n"))?;
        }
        self.ops(&device)?;
        if self.op.is_none() && self.steps > 0 {
            self.steps(&device)?;
        }
        Ok(())
    }

    fn steps(&self, device: &Device) -> Result<()> {
        let (recipe, mut data) = (self.recipe.load()?, self.data.load()?);
        data.limit(IMAGES)?;
        let device_data = DeviceData::of_images(&data.train.images, &data.train.labels);
        let layers = layers::resolve(&recipe, device_data.shape(), data.classes)?;
        let transform = recipe.data.scaling.transform(&data.train.images, 0..IMAGES);
        let network = build(&Description {
            layers: &layers,
            input: device_data.shape(),
            classes: data.classes,
            batch_size: IMAGES,
            evaluation_batch_size: IMAGES,
            images: IMAGES,
            rows: IMAGES,
            transform,
            augment: &recipe.augment,
            loss: recipe.training.loss,
            optimizer: &recipe.optimizer,
            clip_norm: recipe.training.clip_norm,
            fuse_updates: true,
            target: device.target(),
        });
        let mut stepper = steps::Stepper::new(&network, device)?;
        let weights = Weights::initial(&layers, &network.parameters, self.seed);
        let order: Vec<u32> = (0..IMAGES as u32).collect();
        let backend = stepper.backend();
        backend.write(network.images, 0, device_data.words())?;
        backend.write(network.labels, 0, device_data.labels())?;
        backend.write(network.train_feed.order, 0, &order)?;
        backend.write(network.shared.parameters, 0, bytemuck::cast_slice(&weights.parameters))?;
        backend.write(network.shared.statistics, 0, bytemuck::cast_slice(&weights.statistics))?;
        for step in 0..self.steps {
            let rate = recipe.optimizer.learning_rate();
            let rates = [rate as f32, corrected_rate(&recipe.optimizer, rate, step as u64) as f32];
            let control = control::start(0, step, IMAGES, IMAGES, step, self.seed);
            let backend = stepper.backend();
            backend.write(network.schedule, 0, bytemuck::cast_slice(&rates))?;
            backend.write(network.train_feed.control, 0, &control)?;
            let mut lines = String::new();
            let wrong = stepper.step(step + 1, |call, worst| {
                lines.push_str(&self.line(
                    &format!("step {} {}", step + 1, call.place),
                    call.op.name(),
                    worst,
                ));
            })?;
            super::print(&lines)?;
            if let Some(wrong) = wrong {
                bail!(Error::Threshold(format!(
                    "step {}, call {}: {} of {} ({}) is wrong in {} numbers of {}; the first: {:?}. Do not train on this \
                     device: use another --adapter or --backend cpu",
                    wrong.step,
                    wrong.call,
                    wrong.op,
                    wrong.place,
                    wrong.params,
                    wrong.wrong,
                    wrong.buffer,
                    wrong.first
                )));
            }
        }
        Ok(())
    }

    fn line(&self, place: &str, op: &str, worst: f64) -> String {
        if self.json {
            format!("{}\n", serde_json::json!({ "schema": 1, "place": place, "op": op, "share": worst }))
        } else {
            format!("{place:<26} {op:<44} {worst:>9.4}  ok\n")
        }
    }

    fn ops(&self, device: &Device) -> Result<()> {
        let (plan, cases) = ops::plan(self.op.as_deref());
        if cases.is_empty() {
            let names: Vec<&str> = crate::ops::ALL.iter().map(|op| op.name()).collect();
            bail!(Error::Usage(format!(
                "there is no op {:?}; there are {}",
                self.op.as_deref().unwrap_or_default(),
                names.join(", ")
            )));
        }
        let mut backend = device.open(&plan)?;
        let mut wrong = Vec::new();
        for case in &cases {
            let report = ops::check(backend.as_mut(), case)?;
            super::print(&if self.json {
                let found = report.wrong.as_ref().map(|(buffer, d)| {
                    serde_json::json!({
                        "buffer": buffer, "index": d.index, "found": d.found, "expected": d.expected, "allowed": d.allowed,
                    })
                });
                let line = serde_json::json!({
                    "schema": 1, "op": report.op, "case": report.case, "share": report.worst, "wrong": found,
                });
                format!("{line}\n")
            } else {
                let verdict = if report.wrong.is_none() { "ok" } else { "WRONG" };
                format!("{:<26} {:<44} {:>9.4}  {verdict}\n", report.op, report.case, report.worst)
            })?;
            if let Some((buffer, difference)) = report.wrong {
                wrong.push(format!("{} ({}): {buffer}, {difference:?}", report.op, report.case));
            }
        }
        match wrong.first() {
            None => Ok(()),
            Some(first) => bail!(Error::Threshold(format!(
                "{} of {} cases are wrong; the first: {first}. Do not train on this device: use another --adapter or --backend cpu",
                wrong.len(),
                cases.len()
            ))),
        }
    }
}
