//! A network as an ONNX graph of evaluation.
//!
//! ```text
//! images        uint8    [batch, 1, height, width]   bytes as in the data set: 0 paper, 255 ink
//! logits        float32  [batch, classes]
//! probabilities float32  [batch, classes]            softmax of the logits
//! ```
//! The scaling of pixels is part of the graph: an input of another type is refused by every runtime, where scaled
//! numbers scaled once more would be wrong without a word. The batch size is free. Operators are those of opset 17
//! (ONNX 1.12), <https://onnx.ai/onnx/operators/>.

use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, Attribute, Dimension, FLOAT, Graph, Node, OperatorSet,
    Tensor, TensorShape, TensorType, Type, UINT8, ValueInfo,
};
use crate::data::PixelTransform;
use crate::layers::{ResolvedLayer, Shape};
use crate::ops::activation::{Activation, SELU_ALPHA, SELU_SCALE};
use crate::train::model::Model;
use anyhow::Result;
use prost::Message;

/// ONNX's format of files of that time.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;

/// A whole number as an attribute.
pub(crate) fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.into(), i: Some(value as i64), r#type: ATTRIBUTE_INT, ..Default::default() }
}

/// Whole numbers as an attribute.
pub(crate) fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|&value| value as i64).collect();
    Attribute { name: name.into(), ints, r#type: ATTRIBUTE_INTS, ..Default::default() }
}

/// A number as an attribute.
pub(crate) fn float(name: &str, value: f64) -> Attribute {
    Attribute { name: name.into(), f: Some(value as f32), r#type: ATTRIBUTE_FLOAT, ..Default::default() }
}

/// A chain of nodes that grows at its end. Layers add themselves through it.
pub struct Chain {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
    /// The layer whose nodes are being added.
    layer: String,
    /// What the last node makes.
    end: String,
    /// Whether that is `[n, features]` already.
    flat: bool,
}

impl Chain {
    /// Adds a node that reads the chain's end and these tensors of the layer, in PyTorch's names.
    pub(crate) fn then(&mut self, op: &str, tensors: &[&str], attributes: Vec<Attribute>) {
        let mut input = vec![self.end.clone()];
        input.extend(tensors.iter().map(|tensor| format!("{}.{tensor}", self.layer)));
        self.node(op, input, attributes);
    }

    /// From `[n, channels, height, width]` to `[n, features]`.
    pub(crate) fn flatten(&mut self) {
        if !std::mem::replace(&mut self.flat, true) {
            self.then("Flatten", &[], vec![int("axis", 1)]);
        }
    }

    /// Adds the nodes of a function of each value (of each row, for softmax).
    pub(crate) fn activation(&mut self, function: Activation) {
        match function {
            Activation::Linear => {}
            Activation::Sigmoid => self.then("Sigmoid", &[], vec![]),
            Activation::Tanh => self.then("Tanh", &[], vec![]),
            Activation::Relu => self.then("Relu", &[], vec![]),
            Activation::Elu => self.then("Elu", &[], vec![float("alpha", 1.0)]),
            Activation::Selu => {
                self.then("Selu", &[], vec![float("alpha", SELU_ALPHA), float("gamma", SELU_SCALE)]);
            }
            Activation::Swish => {
                let x = self.end.clone();
                self.then("Sigmoid", &[], vec![]);
                self.node("Mul", vec![x, self.end.clone()], vec![]);
            }
            Activation::Softmax => self.then("Softmax", &[], vec![int("axis", 1)]),
        }
    }

    fn node(&mut self, op: &str, input: Vec<String>, attribute: Vec<Attribute>) {
        let name = format!("{}/{}_{}", self.layer, op.to_lowercase(), self.nodes.len());
        self.end.clone_from(&name);
        let output = vec![name.clone()];
        self.nodes.push(Node { input, output, name, op_type: op.into(), attribute });
    }

    /// A node whose second operand is a number.
    fn with_number(&mut self, op: &str, number: f32) {
        let name = format!("{}/number_{}", self.layer, self.constants.len());
        self.constants.push(tensor(&name, &[], &[number]));
        self.node(op, vec![self.end.clone(), name], vec![]);
    }

    /// x = (p - mean) / divisor, or p divided by its column's norm, of which the least but zero is 1.
    fn scaling(&mut self, transform: PixelTransform) {
        self.then("Cast", &[], vec![int("to", FLOAT as usize)]);
        if transform.l2_columns {
            let pixels = self.end.clone();
            self.then("ReduceL2", &[], vec![ints("axes", &[2]), int("keepdims", 1)]);
            self.with_number("Max", 1.0);
            self.node("Div", vec![pixels, self.end.clone()], vec![]);
            return;
        }
        if transform.mean != 0.0 {
            self.with_number("Sub", transform.mean);
        }
        if transform.divisor != 1.0 {
            self.with_number("Div", transform.divisor);
        }
    }

    /// Gives the end a name for the world.
    fn name_end(&mut self, name: &str) {
        self.layer = String::from("output");
        self.node("Identity", vec![self.end.clone()], vec![]);
        self.rename_last(name);
    }

    fn rename_last(&mut self, name: &str) {
        if let Some(last) = self.nodes.last_mut() {
            last.output = vec![name.to_owned()];
            name.clone_into(&mut self.end);
        }
    }
}

/// The bytes of the ONNX file.
///
/// # Errors
/// As [`Model::layers`].
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    let layers = model.layers()?;
    let chain = chain(&layers, model.transform);
    let tensors = model.tensors()?;
    let mut initializer: Vec<Tensor> = tensors.iter().map(|t| tensor(&t.name, &t.shape, &t.values)).collect();
    initializer.extend(chain.constants);
    let Shape { channels, height, width } = model.input;
    let output = |name: &str, what: &str| value(name, FLOAT, &[model.classes], what);
    let graph = Graph {
        node: chain.nodes,
        name: model.recipe.name.clone(),
        initializer,
        input: vec![value("images", UINT8, &[channels, height, width], "bytes, 0 is paper and 255 is ink")],
        output: vec![output("logits", "before softmax"), output("probabilities", "softmax of the logits")],
    };
    let model = super::proto::Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: model.recipe.description.clone(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
    };
    Ok(model.encode_to_vec())
}

fn chain(layers: &[ResolvedLayer], transform: PixelTransform) -> Chain {
    let (nodes, constants) = (Vec::new(), Vec::new());
    let mut chain = Chain { nodes, constants, layer: "data".into(), end: "images".into(), flat: false };
    chain.scaling(transform);
    for resolved in layers {
        chain.layer.clone_from(&resolved.name);
        resolved.layer.as_layer().onnx(&mut chain);
    }
    chain.flatten();
    chain.name_end("logits");
    chain.activation(Activation::Softmax);
    chain.rename_last("probabilities");
    chain
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    Tensor {
        dims: shape.iter().map(|&side| side as i64).collect(),
        data_type: FLOAT,
        name: name.into(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

/// A tensor with a row for each image.
fn value(name: &str, elem_type: i32, sides: &[usize], what: &str) -> ValueInfo {
    let mut dim = vec![Dimension { dim_value: None, dim_param: Some("batch".into()) }];
    dim.extend(sides.iter().map(|&side| Dimension { dim_value: Some(side as i64), dim_param: None }));
    let tensor_type = Some(TensorType { elem_type, shape: Some(TensorShape { dim }) });
    ValueInfo { name: name.into(), r#type: Some(Type { tensor_type }), doc_string: what.into() }
}
