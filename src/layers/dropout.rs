//! Inverted dropout: while training, y = x / (1 - rate) with probability 1 - rate, else 0; in evaluation y = x.

use super::{Layer, Shape};
use crate::recipe::{Problem, problem};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Settings of a dropout layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// The share of values that become 0.
    pub rate: f64,
}

impl Layer for Dropout {
    fn kind(&self) -> &'static str {
        "dropout"
    }

    fn keras_class(&self) -> &'static str {
        "Dropout"
    }

    fn describe(&self) -> String {
        format!("dropout {}", self.rate)
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn check(&self) -> Result<(), Problem> {
        problem::fraction("rate", self.rate)
    }
}
