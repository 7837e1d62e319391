//! Flatten: the same values as one vector, in the order channel, row, column.

use super::{Layer, Shape};
use crate::export::{onnx, pytorch};
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Tensor, Trace};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Flatten has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn keras_class(&self) -> &'static str {
        "Flatten"
    }

    fn describe(&self) -> String {
        "flatten".to_string()
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(Shape::vector(input.features()))
    }

    fn forward(&self, _: &mut Emitter<'_>, x: Tensor) -> Trace {
        // The order in memory is already that of the vector.
        let y = Tensor { shape: Shape::vector(x.shape.features()), ..x };
        Trace { x, y, saved: vec![] }
    }

    fn backward(&self, _: &mut Emitter<'_>, _: &Trace, y_grad: BufferId, _: bool) -> Option<BufferId> {
        Some(y_grad)
    }

    fn onnx(&self, chain: &mut onnx::Chain) {
        chain.flatten();
    }

    fn pytorch(&self, modules: &mut pytorch::Modules, _: Shape) {
        modules.flatten();
    }
}
