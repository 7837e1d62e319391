//! An activation as a layer of its own, where something stands between it and the product (batch norm).

use super::{Layer, Shape};
use crate::export::{onnx, pytorch};
use crate::ops::LANES;
use crate::ops::activate::{self, Activate};
use crate::ops::activate_grad::{self, ActivateGrad};
use crate::ops::activation::Activation;
use crate::ops::softmax::{self, Softmax};
use crate::ops::softmax_grad::{self, SoftmaxGrad};
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Tensor, Trace};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Settings of an activation layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationLayer {
    /// The function.
    pub function: Activation,
}

impl Layer for ActivationLayer {
    fn kind(&self) -> &'static str {
        "activation"
    }

    fn keras_class(&self) -> &'static str {
        "Activation"
    }

    fn describe(&self) -> String {
        format!("activation {}", name(self.function))
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(input)
    }

    fn forward(&self, e: &mut Emitter<'_>, x: Tensor) -> Trace {
        let y = e.tensor("activation", x.shape, Activation::Linear);
        let blocks = e.blocks as u32;
        if self.function == Activation::Softmax {
            let (channels, pixels) = (x.shape.channels as u32, x.shape.pixels() as u32);
            e.call(&Softmax, &softmax::Params { blocks, channels, pixels }, &[x.buffer, y.buffer]);
        } else {
            let len = (e.blocks * x.shape.features() * LANES) as u32;
            let params = activate::Params { blocks, len, activation: self.function as u32 };
            e.call(&Activate, &params, &[x.buffer, y.buffer]);
        }
        Trace { x, y, saved: vec![] }
    }

    fn backward(
        &self,
        e: &mut Emitter<'_>,
        trace: &Trace,
        y_grad: BufferId,
        wants: bool,
    ) -> Option<BufferId> {
        let (x, y) = (&trace.x, &trace.y);
        let blocks = e.blocks as u32;
        wants.then(|| {
            let x_grad = e.gradient_of(x);
            if self.function == Activation::Softmax {
                let (channels, pixels) = (x.shape.channels as u32, x.shape.pixels() as u32);
                let params =
                    softmax_grad::Params { blocks, channels, pixels, activation: x.activation as u32 };
                e.call(&SoftmaxGrad, &params, &[y_grad, y.buffer, x.buffer, x_grad]);
            } else {
                let len = (e.blocks * x.shape.features() * LANES) as u32;
                let activation = self.function as u32;
                let input_activation = x.activation as u32;
                let params = activate_grad::Params { blocks, len, activation, input_activation };
                e.call(&ActivateGrad, &params, &[y_grad, x.buffer, x_grad]);
            }
            x_grad
        })
    }

    fn onnx(&self, chain: &mut onnx::Chain) {
        chain.activation(self.function);
    }

    fn pytorch(&self, modules: &mut pytorch::Modules, _: Shape) {
        modules.activation(self.function);
    }

    fn absorb_softmax(&mut self) -> bool {
        take_softmax(&mut self.function)
    }
}

/// The function's name in recipes.
pub fn name(function: Activation) -> String {
    format!("{function:?}").to_lowercase()
}

/// ` relu`, or nothing for a linear layer.
pub(super) fn suffix(function: Activation) -> String {
    match function {
        Activation::Linear => String::new(),
        function => format!(" {}", name(function)),
    }
}

/// Makes a softmax linear, and says whether it was one.
pub(super) fn take_softmax(function: &mut Activation) -> bool {
    let was_softmax = *function == Activation::Softmax;
    if was_softmax {
        *function = Activation::Linear;
    }
    was_softmax
}
