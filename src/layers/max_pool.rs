//! The greatest value of each window of `size` x `size`; windows do not overlap, and rows or columns left over are dropped.

use super::{Layer, Shape};
use crate::recipe::{Problem, problem};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Settings of a pooling layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaxPool {
    /// Side of the window, and the stride.
    pub size: usize,
}

impl Default for MaxPool {
    fn default() -> Self {
        Self { size: 2 }
    }
}

impl Layer for MaxPool {
    fn kind(&self) -> &'static str {
        "max_pool"
    }

    fn keras_class(&self) -> &'static str {
        "MaxPooling2D"
    }

    fn describe(&self) -> String {
        format!("max_pool {}", self.size)
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        let size = self.size;
        if input.height < size || input.width < size {
            bail!(
                "input {}x{}x{} has a side shorter than the window {size}; remove this pooling layer or use \
                 padding = \"same\" before it",
                input.channels,
                input.height,
                input.width
            );
        }
        Ok(Shape { channels: input.channels, height: input.height / size, width: input.width / size })
    }

    fn check(&self) -> Result<(), Problem> {
        problem::at_least("size", self.size as u64, 1)
    }
}
