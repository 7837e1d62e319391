//! An activation as a layer of its own, where something stands between it and the product (batch norm).

use super::{Layer, Shape};
use crate::ops::activation::Activation;
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
