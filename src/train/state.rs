//! Everything that changes while training, and the checkpoint that holds it.

use super::engine::{Engine, Weights};
use super::event::EpochRecord;
use super::tensors::{self, Tensor, Tensors};
use crate::error::{Error, reason};
use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The format that this program writes.
const FORMAT: u32 = 1;

/// How far training is, and what it decided on the way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished steps of the epoch after those.
    pub step: usize,
    /// Finished steps.
    pub global_step: usize,
    /// Seconds of training in the unfinished epoch.
    pub seconds: f64,
    /// The figures of the finished epochs.
    pub history: Vec<EpochRecord>,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Epochs since then.
    pub waited: u64,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// From 1.
    pub epoch: usize,
    /// The monitored figure.
    pub value: f64,
}

/// All that a run needs to go on as if it had never stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far it is.
    pub progress: Progress,
    /// The network.
    pub weights: Weights,
    /// The optimiser's moments.
    pub moments: Vec<Vec<f32>>,
    /// Right answers of the steps of the unfinished epoch.
    pub hits: Vec<u32>,
    /// Losses of all steps so far: sums over the batch.
    pub losses: Vec<f32>,
    /// The weights of the best epoch, where they are kept.
    pub best_weights: Option<Weights>,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    format: u32,
    version: String,
    progress: Progress,
}

impl Checkpoint {
    /// Takes the state of a network out of the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn take(
        engine: &mut Engine,
        progress: &Progress,
        losses: &[f32],
        best_weights: Option<&Weights>,
    ) -> Result<Self> {
        let (epoch_losses, hits) = engine.step_results(0..progress.step)?;
        let mut all_losses = losses.to_vec();
        all_losses.extend(epoch_losses);
        let weights = engine.weights()?;
        let mut moments = Vec::new();
        for buffer in engine.network.moments.clone() {
            let mut values = vec![0.0; weights.parameters.len()];
            engine.read_f32(buffer, &mut values)?;
            moments.push(values);
        }
        let best_weights = best_weights.cloned();
        Ok(Self { progress: progress.clone(), weights, moments, hits, losses: all_losses, best_weights })
    }

    /// Puts the state into a device; [`Engine::start_epoch`] does the rest.
    ///
    /// # Errors
    /// When it does not belong to this network, or the device fails.
    pub fn restore(&self, engine: &mut Engine) -> Result<()> {
        let places = &engine.network.parameters;
        let expected = Weights::zeros(places);
        let fits = self.weights.parameters.len() == expected.parameters.len()
            && self.weights.statistics.len() == expected.statistics.len()
            && self.moments.len() == engine.network.moments.len();
        if !fits {
            bail!(Error::BadFile(
                "the checkpoint is of another network than the run's recipe; was a file exchanged?".into()
            ));
        }
        engine.set_weights(&self.weights)?;
        for (buffer, values) in engine.network.moments.clone().into_iter().zip(&self.moments) {
            engine.write_f32(buffer, values)?;
        }
        engine.set_step_results(&self.losses[self.losses.len() - self.progress.step..], &self.hits)
    }

    /// Whether it can be of a run with so many steps.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it cannot.
    pub fn check_place(&self, steps_per_epoch: usize, total_steps: usize) -> Result<()> {
        let Progress { epoch, step, global_step, .. } = self.progress;
        // The last epoch of a recipe that counts steps may be a part of one.
        let expected = epoch.saturating_mul(steps_per_epoch).saturating_add(step).min(total_steps);
        if step >= steps_per_epoch || global_step != expected {
            bail!(Error::BadFile(format!(
                "the checkpoint stands at step {step} of epoch {}, {global_step} steps in all, and the run has {total_steps} \
                 steps, {steps_per_epoch} an epoch; was a file exchanged?",
                epoch.saturating_add(1)
            )));
        }
        Ok(())
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// None for a checkpoint that was taken.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = vec![
            vector("parameters", self.weights.parameters.clone()),
            vector("statistics", self.weights.statistics.clone()),
            vector("losses", self.losses.clone()),
            // Counts below 2^24, so exact.
            vector("hits", self.hits.iter().map(|&hits| hits as f32).collect()),
        ];
        for (i, values) in self.moments.iter().enumerate() {
            tensors.push(vector(&format!("moment.{i}"), values.clone()));
        }
        if let Some(best) = &self.best_weights {
            tensors.push(vector("best.parameters", best.parameters.clone()));
            tensors.push(vector("best.statistics", best.statistics.clone()));
        }
        let metadata = Metadata {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            progress: self.progress.clone(),
        };
        tensors::to_bytes(&metadata, &tensors)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it is not one.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&path.display().to_string(), &tensors::read_file(path)?)
    }

    /// [`Checkpoint::load`] from memory; `name` begins every message.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let (metadata, tensors) = tensors::parse::<Metadata>(name, bytes)?;
        Self::rebuild(metadata, tensors).map_err(|error| {
            let advice = "bring the run's own file back, or remove it to train the run from its beginning";
            Error::BadFile(format!("{name}: {}; {advice}", reason(&error))).into()
        })
    }

    fn rebuild(metadata: Metadata, mut tensors: Tensors) -> Result<Self> {
        if metadata.format != FORMAT {
            bail!(
                "the checkpoint has format {}, expected {FORMAT}; use version {}",
                metadata.format,
                metadata.version
            );
        }
        let mut find = |name: &str| tensors.remove(name).map(|tensor| tensor.values);
        let missing = |name: &str| anyhow!("the tensor {name} is missing");
        let best_weights = match (find("best.parameters"), find("best.statistics")) {
            (Some(parameters), Some(statistics)) => Some(Weights { parameters, statistics }),
            _ => None,
        };
        let moments: Vec<Vec<f32>> = (0..).map_while(|i| find(&format!("moment.{i}"))).collect();
        let mut need = |name: &str| find(name).ok_or_else(|| missing(name));
        let checkpoint = Self {
            progress: metadata.progress,
            weights: Weights { parameters: need("parameters")?, statistics: need("statistics")? },
            hits: need("hits")?.iter().map(|&hits| hits as u32).collect(),
            losses: need("losses")?,
            moments,
            best_weights,
        };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// Whether the parts belong together.
    fn check(&self) -> Result<()> {
        let Progress { epoch, step, global_step, ref history, .. } = self.progress;
        let same = |other: &Weights| {
            other.parameters.len() == self.weights.parameters.len()
                && other.statistics.len() == self.weights.statistics.len()
        };
        let whole = self.moments.iter().all(|m| m.len() == self.weights.parameters.len())
            && self.best_weights.as_ref().is_none_or(same);
        let counted = self.losses.len() == global_step
            && self.hits.len() == step
            && step <= global_step
            && history.len() == epoch
            && history.iter().enumerate().all(|(i, record)| record.epoch == i + 1)
            && self.progress.best.is_none_or(|best| (1..=epoch).contains(&best.epoch));
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        if !finite(&self.weights.parameters) || !finite(&self.losses) {
            bail!("it holds numbers that are not finite");
        }
        if !whole || !counted {
            bail!("its parts do not fit together: was the file changed?");
        }
        Ok(())
    }
}

fn vector(name: &str, values: Vec<f32>) -> Tensor {
    Tensor { name: name.into(), shape: vec![values.len()], values }
}
