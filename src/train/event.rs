//! What training tells while it runs: the lines of `--json` and of `events.jsonl`.

use super::histograms::LayerHistogram;
use crate::backend::{DeviceInfo, count_threads};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The schema of the events.
pub const SCHEMA: u32 = 1;

/// One event.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Before the first step.
    Start(Start),
    /// Every `--log-every` steps.
    Step {
        /// Steps since training began, from 1.
        step: usize,
        /// The loss of this step's batch, reduced as the recipe says.
        loss: f64,
    },
    /// After each epoch.
    Epoch(EpochRecord),
    /// At the end.
    Result(Summary),
}

/// What is trained on what.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// The recipe's name.
    pub recipe: String,
    /// Values of the network, running statistics included.
    pub parameters: usize,
    /// The device.
    #[serde(flatten)]
    pub device: DeviceEvent,
    /// The seed.
    pub seed: u64,
    /// Training images.
    pub rows: usize,
    /// Validation images.
    pub validation_rows: usize,
    /// Images of a step.
    pub batch_size: usize,
    /// Steps of the whole training.
    pub steps: usize,
    /// The step that training starts or is taken up at.
    pub first_step: usize,
}

/// The device in events.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct DeviceEvent {
    /// `cpu`, `vulkan`, ...
    pub backend: String,
    /// Its name.
    pub adapter: String,
    /// Its driver.
    pub driver: String,
    /// Threads of the CPU backend; 0 for GPUs.
    pub threads: usize,
}

impl From<&DeviceInfo> for DeviceEvent {
    fn from(info: &DeviceInfo) -> Self {
        Self {
            backend: info.backend.clone(),
            adapter: info.name.clone(),
            driver: info.driver.clone(),
            threads: info.threads,
        }
    }
}

impl fmt::Display for DeviceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.threads {
            0 => write!(f, "{}, {}", self.adapter, self.backend),
            threads => write!(f, "{}, {}", self.backend, count_threads(threads)),
        }
    }
}

/// The figures of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss of an image, while training.
    pub loss: f64,
    /// Training accuracy, while training.
    pub accuracy: f64,
    /// Mean validation loss after the epoch.
    pub val_loss: Option<f64>,
    /// Validation accuracy after the epoch.
    pub val_accuracy: Option<f64>,
    /// Seconds of training, without validation.
    pub seconds: f64,
    /// Training images a second.
    pub images_per_second: f64,
}

/// The figures at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean loss on the test set.
    pub test_loss: f64,
    /// Accuracy on the test set.
    pub test_accuracy: f64,
    /// Seconds of training alone.
    pub train_seconds: f64,
    /// Median over the epochs after the first (of all, where there is one).
    pub images_per_second: f64,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch whose weights are the result, from 1.
    pub best_epoch: Option<usize>,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// The run folder.
    pub run_dir: Option<String>,
}

/// How far an epoch is.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// From 1.
    pub epoch: usize,
    /// Of the recipe; as many as the steps fill, where it counts steps.
    pub epochs: usize,
    /// Done in this epoch.
    pub step: usize,
    /// Of this epoch.
    pub steps: usize,
    /// Images a second in this epoch so far.
    pub images_per_second: f64,
    /// Seconds of training left.
    pub seconds_left: f64,
}

/// Who wants to know.
pub trait Observer {
    /// An event.
    ///
    /// # Errors
    /// When it cannot be passed on.
    fn event(&mut self, event: &Event) -> Result<()>;

    /// Progress within an epoch, some times a second.
    fn tick(&mut self, _tick: &Tick) {}

    /// Whether histograms are to be taken, before the first epoch and after each.
    fn wants_histograms(&self) -> bool {
        false
    }

    /// The histograms of an epoch.
    ///
    /// # Errors
    /// When they cannot be passed on.
    fn histograms(&mut self, _found: &[LayerHistogram]) -> Result<()> {
        Ok(())
    }
}

/// Nobody watches.
impl Observer for () {
    fn event(&mut self, _: &Event) -> Result<()> {
        Ok(())
    }
}

/// The JSON of an event, one line.
///
/// # Errors
/// None for events of this program.
pub fn to_json(event: &Event) -> Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        schema: u32,
        #[serde(flatten)]
        event: &'a Event,
    }
    Ok(serde_json::to_string(&Line { schema: SCHEMA, event })?)
}
