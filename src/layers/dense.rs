//! Dense: y = act(x W + b), with W of [inputs, units].
//!
//! An input of more than 1x1 is flattened first, in the order channel, row, column.

use super::{Layer, ParameterSpec, Shape};
use crate::export::{onnx, pytorch};
use crate::ops::activation::Activation;
use crate::ops::dense::{self, Dense as Product};
use crate::ops::dense_input_grad::{self, DenseInputGrad};
use crate::ops::dense_weight_grad::{self, DenseWeightGrad};
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Tensor, Trace};
use crate::plan::optimizer;
use crate::recipe::{Initializer, Problem, problem};
use anyhow::Result;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Settings of a dense layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Outputs.
    pub units: Units,
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

/// How many outputs: a number, or `"classes"` for as many as the data set has classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// This many.
    Count(usize),
    /// As many as classes.
    Classes,
}

impl Dense {
    /// Outputs; 0 while `"classes"` is not replaced.
    pub fn outputs(&self) -> usize {
        match self.units {
            Units::Count(count) => count,
            Units::Classes => 0,
        }
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn keras_class(&self) -> &'static str {
        "Dense"
    }

    fn describe(&self) -> String {
        let units = match self.units {
            Units::Count(count) => count.to_string(),
            Units::Classes => "classes".to_string(),
        };
        format!("dense {units}{}", super::activation::suffix(self.activation))
    }

    fn output_shape(&self, _input: Shape) -> Result<Shape> {
        Ok(Shape::vector(self.outputs()))
    }

    fn parameters(&self, input: Shape) -> Vec<ParameterSpec> {
        let (inputs, units) = (input.features(), self.outputs());
        let weight = ParameterSpec {
            name: "weight",
            shape: vec![inputs, units],
            initializer: self.initializer.clone(),
            fan_in: inputs,
            fan_out: units,
            trainable: true,
        };
        vec![weight, ParameterSpec::vector("bias", units, &self.bias_initializer, true)]
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn takes_epilogue(&self) -> bool {
        true
    }

    fn fuses_update(&self) -> bool {
        true
    }

    fn takes_dropout(&self) -> bool {
        true
    }

    fn forward(&self, e: &mut Emitter<'_>, x: Tensor) -> Trace {
        let mut y = e.tensor("output", Shape::vector(self.outputs()), e.epilogue);
        y.dropout = e.dropout;
        let params = dense::Params {
            blocks: e.blocks as u32,
            inputs: x.shape.features() as u32,
            units: self.outputs() as u32,
            weight: e.offset("weight"),
            bias: e.offset("bias"),
            activation: e.epilogue as u32,
            dropout_layer: e.dropout.layer,
            dropout_rate: e.dropout.rate,
        };
        e.call(&Product, &params, &[x.buffer, e.shared.parameters, e.control, y.buffer]);
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
        let (blocks, inputs, units) = (e.blocks as u32, x.shape.features() as u32, self.outputs() as u32);
        let (weight, bias) = (e.offset("weight"), e.offset("bias"));
        let x_grad = wants.then(|| {
            let x_grad = e.gradient_of(x);
            let params = dense_input_grad::Params {
                blocks,
                inputs,
                units,
                weight,
                activation: x.activation as u32,
                dropout_layer: x.dropout.layer,
                dropout_rate: x.dropout.rate,
            };
            let buffers = [y_grad, e.shared.parameters, x.buffer, e.control, x_grad];
            e.call(&DenseInputGrad, &params, &buffers);
            x_grad
        });
        // After the input's gradient, which needs the weights before their update.
        let params = dense_weight_grad::Params { blocks, inputs, units, weight, bias };
        match e.fused_update {
            Some(update) => optimizer::emit_dense_update(e, &update, &params, x.buffer, y_grad),
            None => e.call_later(&DenseWeightGrad, &params, &[x.buffer, y_grad, e.shared.gradients]),
        }
        x_grad
    }

    fn onnx(&self, chain: &mut onnx::Chain) {
        chain.flatten();
        chain.then("Gemm", &["weight", "bias"], vec![onnx::int("transB", 1)]);
        chain.activation(self.activation);
    }

    fn pytorch(&self, modules: &mut pytorch::Modules, input: Shape) {
        modules.flatten();
        modules.owner(&format!("Linear({}, {})", input.features(), self.outputs()));
        modules.activation(self.activation);
    }

    fn check(&self) -> Result<(), Problem> {
        if let Units::Count(units) = self.units {
            problem::at_least("units", units as u64, 1)?;
        }
        self.initializer.check().map_err(|problem| problem.inside("initializer"))?;
        self.bias_initializer.check().map_err(|problem| problem.inside("bias_initializer"))
    }

    fn set_classes(&mut self, classes: usize) {
        if self.units == Units::Classes {
            self.units = Units::Count(classes);
        }
    }

    fn absorb_softmax(&mut self) -> bool {
        super::activation::take_softmax(&mut self.activation)
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count as u64),
            Self::Classes => serializer.serialize_str("classes"),
        }
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnitsVisitor;

        impl Visitor<'_> for UnitsVisitor {
            type Value = Units;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, 1 or more, or \"classes\"")
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<Units, E> {
                let unexpected = serde::de::Unexpected::Signed(count);
                usize::try_from(count).map(Units::Count).map_err(|_| E::invalid_value(unexpected, &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Units, E> {
                match text {
                    "classes" => Ok(Units::Classes),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(UnitsVisitor)
    }
}
