//! The greatest value of each window of `size` x `size`; windows do not overlap, and rows or columns left over are dropped.

use super::{Layer, Shape};
use crate::export::{onnx, pytorch};
use crate::ops::activation::Activation;
use crate::ops::max_pool::{self, MaxPool as Pooling};
use crate::ops::max_pool_grad::{self, MaxPoolGrad};
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Tensor, Trace};
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

    fn pools(&self) -> Option<usize> {
        Some(self.size)
    }

    fn takes_dropout(&self) -> bool {
        true
    }

    fn forward(&self, e: &mut Emitter<'_>, x: Tensor) -> Trace {
        let (height, width) = (x.shape.height / self.size, x.shape.width / self.size);
        // The largest of what ReLU made is what ReLU makes of the largest; so dropout shows in its slope.
        let is_relu = e.dropout.rate > 0.0 && x.activation == Activation::Relu;
        let activation = if is_relu { Activation::Relu } else { Activation::Linear };
        let mut y = e.tensor("output", Shape { height, width, ..x.shape }, activation);
        y.dropout = e.dropout;
        let params = max_pool::Params {
            blocks: e.blocks as u32,
            channels: x.shape.channels as u32,
            height: x.shape.height as u32,
            width: x.shape.width as u32,
            size: self.size as u32,
            out_height: height as u32,
            out_width: width as u32,
            dropout_layer: e.dropout.layer,
            dropout_rate: e.dropout.rate,
        };
        e.call(&Pooling, &params, &[x.buffer, e.control, y.buffer]);
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
        wants.then(|| {
            let x_grad = e.gradient_of(x);
            let params = max_pool_grad::Params {
                blocks: e.blocks as u32,
                channels: x.shape.channels as u32,
                height: x.shape.height as u32,
                width: x.shape.width as u32,
                size: self.size as u32,
                out_height: y.shape.height as u32,
                out_width: y.shape.width as u32,
                activation: x.activation as u32,
            };
            e.call(&MaxPoolGrad, &params, &[y_grad, x.buffer, x_grad]);
            x_grad
        })
    }

    fn onnx(&self, chain: &mut onnx::Chain) {
        let window = [self.size; 2];
        let attributes = vec![onnx::ints("kernel_shape", &window), onnx::ints("strides", &window)];
        chain.then("MaxPool", &[], attributes);
    }

    fn pytorch(&self, modules: &mut pytorch::Modules, _: Shape) {
        modules.owner(&format!("MaxPool2d({})", self.size));
    }

    fn check(&self) -> Result<(), Problem> {
        problem::at_least("size", self.size as u64, 1)
    }
}
