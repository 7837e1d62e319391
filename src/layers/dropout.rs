//! Inverted dropout: while training, y = x / (1 - rate) with probability 1 - rate, else 0; in evaluation y = x.

use super::{Layer, Shape};
use crate::export::{onnx, pytorch};
use crate::ops::activation::Activation;
use crate::ops::dropout_grad::{self, DropoutGrad};
use crate::ops::{LANES, dropout};
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Mode, Tensor, Trace};
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

    fn forward(&self, e: &mut Emitter<'_>, x: Tensor) -> Trace {
        if self.rate == 0.0 || e.mode == Mode::Evaluate {
            return Trace { x, y: x, saved: vec![] };
        }
        let y = e.tensor("output", x.shape, Activation::Linear);
        let params = dropout::Params {
            blocks: e.blocks as u32,
            len: (e.blocks * x.shape.features() * LANES) as u32,
            layer: e.index as u32,
            rate: self.rate as f32,
        };
        e.call(&dropout::Dropout, &params, &[x.buffer, e.control, y.buffer]);
        Trace { x, y, saved: vec![] }
    }

    fn backward(
        &self,
        e: &mut Emitter<'_>,
        trace: &Trace,
        y_grad: BufferId,
        wants: bool,
    ) -> Option<BufferId> {
        if self.rate == 0.0 {
            return Some(y_grad);
        }
        let x = &trace.x;
        wants.then(|| {
            let x_grad = e.gradient_of(x);
            let params = dropout_grad::Params {
                blocks: e.blocks as u32,
                len: (e.blocks * x.shape.features() * LANES) as u32,
                layer: e.index as u32,
                activation: x.activation as u32,
                rate: self.rate as f32,
            };
            e.call(&DropoutGrad, &params, &[y_grad, x.buffer, e.control, x_grad]);
            x_grad
        })
    }

    fn onnx(&self, _: &mut onnx::Chain) {}

    fn pytorch(&self, _: &mut pytorch::Modules, _: Shape) {}

    fn check(&self) -> Result<(), Problem> {
        problem::fraction("rate", self.rate)
    }
}
