//! Convolution of stride 1: y(f) = act(sum over c, i, j of w(c, i, j, f) x(c, row + i, column + j) + b(f)).

use super::{Layer, ParameterSpec, Shape};
use crate::export::{onnx, pytorch};
use crate::ops::LANES;
use crate::ops::activation::Activation;
use crate::ops::conv2d::{self, Conv2d as Convolution};
use crate::ops::conv2d_input_grad::{self, Conv2dInputGrad};
use crate::ops::conv2d_max_pool::{Conv2dMaxPool, WINDOW};
use crate::ops::conv2d_max_pool_weight_grad::Conv2dMaxPoolWeightGrad;
use crate::ops::conv2d_weight_grad::{self, Conv2dWeightGrad};
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Tensor, Trace};
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

impl Conv2d {
    /// Rows and columns of zeros before the first, as TensorFlow pads.
    fn pad(&self) -> u32 {
        match self.padding {
            Padding::Valid => 0,
            Padding::Same => (self.kernel as u32 - 1) / 2,
        }
    }

    /// The output's form for an input that was checked.
    fn placed(&self, input: Shape) -> Shape {
        match self.padding {
            Padding::Same => Shape { channels: self.filters, ..input },
            Padding::Valid => Shape {
                channels: self.filters,
                height: input.height - self.kernel + 1,
                width: input.width - self.kernel + 1,
            },
        }
    }
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
        if self.padding == Padding::Valid && (input.height < kernel || input.width < kernel) {
            bail!(
                "input {input} has a side shorter than the kernel {kernel}; use padding = \"same\", a smaller kernel, \
                 or less pooling before it"
            );
        }
        Ok(self.placed(input))
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

    fn activation(&self) -> Activation {
        self.activation
    }

    fn takes_epilogue(&self) -> bool {
        true
    }

    fn takes_pooling(&self) -> bool {
        true
    }

    fn sums_partials(&self) -> bool {
        true
    }

    fn forward(&self, e: &mut Emitter<'_>, x: Tensor) -> Trace {
        let placed = self.placed(x.shape);
        let params = conv2d::Params {
            blocks: e.blocks as u32,
            channels: x.shape.channels as u32,
            height: x.shape.height as u32,
            width: x.shape.width as u32,
            filters: self.filters as u32,
            kernel: self.kernel as u32,
            pad: self.pad(),
            out_height: placed.height as u32,
            out_width: placed.width as u32,
            weight: e.offset("weight"),
            bias: e.offset("bias"),
            activation: e.epilogue as u32,
        };
        if e.pooling {
            let shape = Shape { height: placed.height / WINDOW, width: placed.width / WINDOW, ..placed };
            // The op differentiates relu by its winners.
            let activation = if e.epilogue == Activation::Relu { Activation::Linear } else { e.epilogue };
            let y = e.tensor("output", shape, activation);
            let winners = e.scratch("winners", e.blocks * shape.features() * LANES);
            e.call(&Conv2dMaxPool, &params, &[x.buffer, e.shared.parameters, y.buffer, winners]);
            return Trace { x, y, saved: vec![winners] };
        }
        let y = e.tensor("output", placed, e.epilogue);
        e.call(&Convolution, &params, &[x.buffer, e.shared.parameters, y.buffer]);
        Trace { x, y, saved: vec![] }
    }

    fn backward(
        &self,
        e: &mut Emitter<'_>,
        trace: &Trace,
        y_grad: BufferId,
        wants: bool,
    ) -> Option<BufferId> {
        let x = &trace.x;
        let placed = self.placed(x.shape);
        let partials = e.partials.expect("the plan has partial sums where a layer makes them");
        let weight_grad = conv2d_weight_grad::Params {
            blocks: e.blocks as u32,
            channels: x.shape.channels as u32,
            height: x.shape.height as u32,
            width: x.shape.width as u32,
            filters: self.filters as u32,
            kernel: self.kernel as u32,
            pad: self.pad(),
            out_height: placed.height as u32,
            out_width: placed.width as u32,
            blocks_per_slice: partials.blocks_per_slice as u32,
            first: e.offset("weight"),
            slice_words: partials.words as u32,
        };
        if let [winners] = trace.saved[..] {
            assert!(!wants, "only the first layer is pooled");
            e.call(&Conv2dMaxPoolWeightGrad, &weight_grad, &[x.buffer, y_grad, winners, partials.buffer]);
            return None;
        }
        e.call(&Conv2dWeightGrad, &weight_grad, &[x.buffer, y_grad, partials.buffer]);
        wants.then(|| {
            let x_grad = e.gradient_of(x);
            let params = conv2d_input_grad::Params {
                blocks: weight_grad.blocks,
                channels: weight_grad.channels,
                height: weight_grad.height,
                width: weight_grad.width,
                filters: weight_grad.filters,
                kernel: weight_grad.kernel,
                pad: weight_grad.pad,
                out_height: weight_grad.out_height,
                out_width: weight_grad.out_width,
                weight: e.offset("weight"),
                activation: x.activation as u32,
            };
            e.call(&Conv2dInputGrad, &params, &[y_grad, e.shared.parameters, x.buffer, x_grad]);
            x_grad
        })
    }

    fn onnx(&self, chain: &mut onnx::Chain) {
        let before = self.pad() as usize;
        let after = if self.padding == Padding::Same { self.kernel - 1 - before } else { 0 };
        let kernel = onnx::ints("kernel_shape", &[self.kernel; 2]);
        chain.then(
            "Conv",
            &["weight", "bias"],
            vec![kernel, onnx::ints("pads", &[before, before, after, after])],
        );
        chain.activation(self.activation);
    }

    fn pytorch(&self, modules: &mut pytorch::Modules, input: Shape) {
        let Self { filters, kernel, .. } = self;
        let padding = if self.padding == Padding::Same { ", padding=\"same\"" } else { "" };
        modules.owner(&format!("Conv2d({}, {filters}, {kernel}{padding})", input.channels));
        modules.activation(self.activation);
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
