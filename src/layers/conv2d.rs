//! Convolution of stride 1: y(f) = act(sum over c, i, j of w(c, i, j, f) x(c, row + i, column + j) + b(f)).

use super::{Layer, ParameterSpec, Shape};
use crate::ops::activation::Activation;
use crate::recipe::{Initializer, Problem, problem};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// What happens at the edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Only windows inside the image: the output is smaller by kernel - 1.
    #[default]
    Valid,
    /// Zeros around the image, so that the output is as large; an even kernel has the odd zero after, as in Keras.
    Same,
}

/// Settings of a convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub filters: usize,
    /// Side of the square window.
    pub kernel: usize,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the outputs.
    #[serde(default)]
    pub activation: Activation,
    /// Of the weights.
    #[serde(default)]
    pub initializer: Initializer,
    /// Of the biases.
    #[serde(default = "Initializer::zeros")]
    pub bias_initializer: Initializer,
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn keras_class(&self) -> &'static str {
        "Conv2D"
    }

    fn describe(&self) -> String {
        let Self { filters, kernel, padding, activation, .. } = self;
        let padding = match padding {
            Padding::Valid => "valid",
            Padding::Same => "same",
        };
        format!("conv2d {filters} {kernel}x{kernel} {padding}{}", super::activation::suffix(*activation))
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        let kernel = self.kernel;
        if self.padding == Padding::Same {
            return Ok(Shape { channels: self.filters, ..input });
        }
        if input.height < kernel || input.width < kernel {
            bail!(
                "input {input} has a side shorter than the kernel {kernel}; use padding = \"same\", a smaller kernel, \
                 or less pooling before it"
            );
        }
        Ok(Shape {
            channels: self.filters,
            height: input.height - kernel + 1,
            width: input.width - kernel + 1,
        })
    }

    fn parameters(&self, input: Shape) -> Vec<ParameterSpec> {
        let Self { filters, kernel, .. } = *self;
        let window = kernel.saturating_mul(kernel);
        let weight = ParameterSpec {
            name: "weight",
            shape: vec![input.channels, kernel, kernel, filters],
            initializer: self.initializer.clone(),
            fan_in: window.saturating_mul(input.channels),
            fan_out: window.saturating_mul(filters),
            trainable: true,
        };
        vec![weight, ParameterSpec::vector("bias", filters, &self.bias_initializer, true)]
    }

    fn check(&self) -> Result<(), Problem> {
        problem::at_least("filters", self.filters as u64, 1)?;
        problem::at_least("kernel", self.kernel as u64, 1)?;
        self.initializer.check().map_err(|problem| problem.inside("initializer"))?;
        self.bias_initializer.check().map_err(|problem| problem.inside("bias_initializer"))
    }

    fn absorb_softmax(&mut self) -> bool {
        super::activation::take_softmax(&mut self.activation)
    }
}
