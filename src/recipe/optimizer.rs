//! `[optimizer]`: which one, and its settings, with the defaults of Keras 3.

use super::problem::{Problem, fraction, not_negative, positive};
use super::tagged::tagged;
use serde::{Deserialize, Serialize};

tagged! {
    /// The `[optimizer]` table; `name` chooses.
    pub enum Optimizer by "name" in "lowercase" {
        /// Gradient descent.
        Sgd(Sgd),
        /// Adam.
        Adam(Adam),
        /// Adam with decoupled weight decay.
        AdamW(AdamW),
        /// RMSprop, not centred.
        RmsProp(RmsProp),
    }
}

/// v = momentum v - learning_rate g; w += v, or with Nesterov w += momentum v - learning_rate g.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the last step that is kept.
    pub momentum: f64,
    /// Whether the gradient is taken as if after the momentum's step.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0, nesterov: false }
    }
}

/// Kingma and Ba 2015; epsilon is Keras's "epsilon hat", added after the bias correction is folded into the rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the root.
    pub epsilon: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }
    }
}

/// Loshchilov and Hutter 2019: before Adam's step, w -= learning_rate weight_decay w.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Share of a weight that a step of size 1 removes.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { learning_rate, beta_1, beta_2, epsilon } = Adam::default();
        Self { learning_rate, beta_1, beta_2, epsilon, weight_decay: 0.004 }
    }
}

/// s = rho s + (1 - rho) g²; the step is learning_rate g / sqrt(s + epsilon), with momentum if that is not 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean of squared gradients.
    pub rho: f64,
    /// Share of the last step that is kept.
    pub momentum: f64,
    /// Added under the root.
    pub epsilon: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { learning_rate: 0.001, rho: 0.9, momentum: 0.0, epsilon: 1e-7 }
    }
}

impl Optimizer {
    /// The base rate, which the schedule scales.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(settings) => settings.learning_rate,
            Self::Adam(settings) => settings.learning_rate,
            Self::AdamW(settings) => settings.learning_rate,
            Self::RmsProp(settings) => settings.learning_rate,
        }
    }

    /// # Errors
    /// Settings out of range, or without effect.
    pub(super) fn check(&self) -> Result<(), Problem> {
        not_negative("learning_rate", self.learning_rate())?;
        match self {
            Self::Sgd(sgd) => sgd.check(),
            Self::Adam(Adam { beta_1, beta_2, epsilon, .. }) => check_adam(*beta_1, *beta_2, *epsilon),
            Self::AdamW(AdamW { beta_1, beta_2, epsilon, weight_decay, .. }) => {
                not_negative("weight_decay", *weight_decay)?;
                check_adam(*beta_1, *beta_2, *epsilon)
            }
            Self::RmsProp(RmsProp { rho, momentum, epsilon, .. }) => {
                fraction("rho", *rho)?;
                fraction("momentum", *momentum)?;
                positive("epsilon", *epsilon)
            }
        }
    }
}

impl Sgd {
    fn check(&self) -> Result<(), Problem> {
        fraction("momentum", self.momentum)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(Problem::at(
                "nesterov",
                "has no effect while momentum is 0; set momentum, for example to 0.9",
            ));
        }
        Ok(())
    }
}

fn check_adam(beta_1: f64, beta_2: f64, epsilon: f64) -> Result<(), Problem> {
    fraction("beta_1", beta_1)?;
    fraction("beta_2", beta_2)?;
    positive("epsilon", epsilon)
}
