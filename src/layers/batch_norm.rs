//! Batch norm (Ioffe and Szegedy 2015): y = gamma (x - mean) / sqrt(variance + epsilon) + beta, over the channels.
//!
//! While training, mean and biased variance are those of the batch (and of all positions), and
//! running = momentum running + (1 - momentum) batch; evaluation uses the running ones.

use super::{Layer, ParameterSpec, Shape};
use crate::export::{onnx, pytorch};
use crate::ops::batch_norm;
use crate::ops::batch_norm_grad::{self, BatchNormGrad};
use crate::ops::batch_norm_inference::{self, BatchNormInference};
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Mode, Shared, Tensor, Trace};
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

    fn takes_epilogue(&self) -> bool {
        true
    }

    fn forward(&self, e: &mut Emitter<'_>, x: Tensor) -> Trace {
        let y = e.tensor("output", x.shape, e.epilogue);
        let (blocks, channels, pixels) = (e.blocks as u32, x.shape.channels as u32, x.shape.pixels() as u32);
        let (gamma, beta) = (e.offset("gamma"), e.offset("beta"));
        let (running_mean, running_variance) = (e.offset("running_mean"), e.offset("running_variance"));
        let (activation, epsilon) = (e.epilogue as u32, self.epsilon as f32);
        let Shared { parameters, statistics, .. } = e.shared;
        if e.mode == Mode::Evaluate {
            let params = batch_norm_inference::Params {
                blocks,
                channels,
                pixels,
                gamma,
                beta,
                running_mean,
                running_variance,
                activation,
                epsilon,
            };
            e.call(&BatchNormInference, &params, &[x.buffer, parameters, statistics, y.buffer]);
            return Trace { x, y, saved: vec![] };
        }
        let params = batch_norm::Params {
            blocks,
            channels,
            pixels,
            gamma,
            beta,
            running_mean,
            running_variance,
            activation,
            momentum: self.momentum as f32,
            one_minus_momentum: (1.0 - self.momentum) as f32,
            epsilon,
        };
        let saved = e.scratch("mean_and_inverse_deviation", 2 * x.shape.channels);
        let buffers = [x.buffer, parameters, e.control, statistics, saved, y.buffer];
        e.call(&batch_norm::BatchNorm, &params, &buffers);
        Trace { x, y, saved: vec![saved] }
    }

    fn backward(&self, e: &mut Emitter<'_>, trace: &Trace, y_grad: BufferId, _: bool) -> Option<BufferId> {
        let x = &trace.x;
        let x_grad = e.gradient_of(x);
        let params = batch_norm_grad::Params {
            blocks: e.blocks as u32,
            channels: x.shape.channels as u32,
            pixels: x.shape.pixels() as u32,
            gamma: e.offset("gamma"),
            gamma_grad: e.offset("gamma"),
            beta_grad: e.offset("beta"),
            activation: x.activation as u32,
        };
        let Shared { parameters, gradients, .. } = e.shared;
        let buffers = [y_grad, x.buffer, parameters, trace.saved[0], e.control, gradients, x_grad];
        e.call(&BatchNormGrad, &params, &buffers);
        Some(x_grad)
    }

    fn onnx(&self, chain: &mut onnx::Chain) {
        let tensors = ["weight", "bias", "running_mean", "running_var"];
        chain.then("BatchNormalization", &tensors, vec![onnx::float("epsilon", self.epsilon)]);
    }

    fn pytorch(&self, modules: &mut pytorch::Modules, input: Shape) {
        let dimensions = if modules.is_flat() { 1 } else { 2 };
        modules.owner(&format!("BatchNorm{dimensions}d({}, eps={})", input.channels, self.epsilon));
    }

    fn check(&self) -> Result<(), Problem> {
        problem::fraction("momentum", self.momentum)?;
        problem::positive("epsilon", self.epsilon)
    }
}
