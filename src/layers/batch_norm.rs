//! Batch norm (Ioffe and Szegedy 2015): y = gamma (x - mean) / sqrt(variance + epsilon) + beta, over the channels.
//!
//! While training, mean and biased variance are those of the batch (and of all positions), and
//! running = momentum running + (1 - momentum) batch; evaluation uses the running ones.

use super::{Layer, ParameterSpec, Shape};
use crate::recipe::{Initializer, Problem, problem};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Settings of a batch norm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNorm {
    /// The share of the running mean and variance that a batch leaves.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: 0.99, epsilon: 1e-3 }
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn keras_class(&self) -> &'static str {
        "BatchNormalization"
    }

    fn describe(&self) -> String {
        "batch_norm".to_string()
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn parameters(&self, input: Shape) -> Vec<ParameterSpec> {
        let channel = |name, initializer, trainable| {
            ParameterSpec::vector(name, input.channels, &initializer, trainable)
        };
        vec![
            channel("gamma", Initializer::Ones, true),
            channel("beta", Initializer::Zeros, true),
            channel("running_mean", Initializer::Zeros, false),
            channel("running_variance", Initializer::Ones, false),
        ]
    }

    fn check(&self) -> Result<(), Problem> {
        problem::fraction("momentum", self.momentum)?;
        problem::positive("epsilon", self.epsilon)
    }
}
