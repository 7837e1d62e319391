//! `[training]`: batches, length, the loss, and when to stop.

use super::data::Validation;
use super::problem::{Problem, at_least, not_negative};
use serde::{Deserialize, Serialize};

/// How the losses of a batch's images become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Their mean, as Keras does: the images of a smaller last batch weigh more than the others.
    #[default]
    Mean,
    /// Their sum: gradients grow with the batch.
    Sum,
    /// Their sum divided by the size of a full batch: every image of an epoch weighs the same, also in a smaller last
    /// batch.
    FullBatchMean,
}

impl Reduction {
    /// What the sum over a step's `rows` images is divided by, where a full batch has `batch`.
    pub fn divisor(self, rows: usize, batch: usize) -> usize {
        match self {
            Self::Mean => rows,
            Self::Sum => 1,
            Self::FullBatchMean => batch,
        }
    }
}

/// A figure of an epoch that stopping and keeping the best weights go by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// Loss on the validation set.
    #[default]
    ValLoss,
    /// Accuracy on the validation set.
    ValAccuracy,
    /// Training loss.
    Loss,
    /// Training accuracy.
    Accuracy,
}

impl Monitor {
    /// Whether `value` improves on `best` by more than `min_delta`. Nothing improves by being NaN.
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::ValLoss | Self::Loss => value < best - min_delta,
            Self::ValAccuracy | Self::Accuracy => value > best + min_delta,
        }
    }

    /// Whether a validation set is needed for it.
    pub fn needs_validation(self) -> bool {
        matches!(self, Self::ValLoss | Self::ValAccuracy)
    }
}

/// The `[training.early_stopping]` table: stop when the monitored figure no longer improves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EarlyStopping {
    /// The figure to go by.
    pub monitor: Monitor,
    /// How many epochs in a row may pass without improvement.
    pub patience: u64,
    /// The least change that counts.
    pub min_delta: f64,
    /// Whether the weights of the best epoch are put back when training stops.
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { monitor: Monitor::ValLoss, patience: 3, min_delta: 0.0, restore_best: true }
    }
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Times through the training set.
    Epochs(u64),
    /// Batches.
    Steps(u64),
}

impl Length {
    /// The whole number of steps.
    pub fn total_steps(self, steps_per_epoch: u64) -> u64 {
        match self {
            Self::Epochs(epochs) => epochs.saturating_mul(steps_per_epoch),
            Self::Steps(steps) => steps,
        }
    }
}

/// The `[training]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Images a step.
    pub batch_size: usize,
    /// Length in epochs; exactly one of this and `steps` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Length in steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Reduction of the softmax cross-entropy over a batch.
    pub loss: Reduction,
    /// Whether every epoch has an order of its own.
    pub shuffle: bool,
    /// Whether the weights of the best epoch are the result, by [`Training::best_monitor`].
    pub keep_best: bool,
    /// Gradients are scaled down to this global L2 norm where it is greater; 0 is off.
    pub clip_norm: f64,
    /// Stop early, if given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            batch_size: 32,
            epochs: None,
            steps: None,
            loss: Reduction::Mean,
            shuffle: true,
            keep_best: false,
            clip_norm: 0.0,
            early_stopping: None,
        }
    }
}

impl Training {
    /// How long to train; a checked recipe has exactly one of the two.
    pub fn length(&self) -> Length {
        match (self.epochs, self.steps) {
            (None, Some(steps)) => Length::Steps(steps),
            (epochs, _) => Length::Epochs(epochs.unwrap_or(1)),
        }
    }

    /// The figure that decides which epoch was best: early stopping's, else the loss, on the validation set if there is one.
    pub fn best_monitor(&self, validation: Validation) -> Monitor {
        match &self.early_stopping {
            Some(stopping) => stopping.monitor,
            None if validation == Validation::None => Monitor::Loss,
            None => Monitor::ValLoss,
        }
    }

    /// # Errors
    /// Lengths that are missing, doubled or zero, values out of range, a monitor of a validation set that is not there.
    pub(super) fn check(&self, validation: Validation) -> Result<(), Problem> {
        at_least("batch_size", self.batch_size as u64, 1)?;
        not_negative("clip_norm", self.clip_norm)?;
        match (self.epochs, self.steps) {
            (None, None) => {
                return Err(Problem::at("epochs", "this key is missing; give either epochs or steps"));
            }
            (Some(_), Some(_)) => {
                return Err(Problem::at("steps", "given together with epochs; remove one of the two"));
            }
            (Some(epochs), None) => at_least("epochs", epochs, 1)?,
            (None, Some(steps)) => at_least("steps", steps, 1)?,
        }
        let Some(stopping) = &self.early_stopping else { return Ok(()) };
        stopping.check(validation).map_err(|problem| problem.inside("early_stopping"))
    }
}

impl EarlyStopping {
    fn check(&self, validation: Validation) -> Result<(), Problem> {
        at_least("patience", self.patience, 1)?;
        not_negative("min_delta", self.min_delta)?;
        if self.monitor.needs_validation() && validation == Validation::None {
            let message = "there is no validation to monitor; set data.validation to \"split\" or \"test\", \
                           or monitor \"loss\" or \"accuracy\"";
            return Err(Problem::at("monitor", message));
        }
        Ok(())
    }
}
