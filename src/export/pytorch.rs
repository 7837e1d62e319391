//! A network for PyTorch: the weights as a safetensors file with the names and layouts of modules, and the lines of Python
//! that build those modules and load them.

use crate::data::PixelTransform;
use crate::layers::Shape;
use crate::ops::activation::Activation;
use crate::train::model::Model;
use crate::train::tensors;
use anyhow::Result;
use std::fmt::Write;

/// The modules of a network, in order. Layers add themselves through it.
pub struct Modules {
    /// For each layer that is anything, its modules: name and constructor.
    layers: Vec<Vec<(String, String)>>,
    /// The layer whose modules are being added.
    layer: String,
    /// Whether the end is `[n, features]` already.
    flat: bool,
}

impl Modules {
    /// Whether what comes in is `[n, features]` rather than `[n, channels, height, width]`.
    pub(crate) fn is_flat(&self) -> bool {
        self.flat
    }

    /// Adds the module that owns the layer's tensors, or is the layer.
    pub(crate) fn owner(&mut self, module: &str) {
        let name = self.layer.clone();
        self.add(name, module);
    }

    /// From `[n, channels, height, width]` to `[n, features]`, in the order that this program uses too.
    pub(crate) fn flatten(&mut self) {
        if !std::mem::replace(&mut self.flat, true) {
            let name = if self.layer.starts_with("flatten") {
                self.layer.clone()
            } else {
                format!("{}_flatten", self.layer)
            };
            self.add(name, "Flatten()");
        }
    }

    /// Adds a function of each value (of each row, for softmax).
    pub(crate) fn activation(&mut self, function: Activation) {
        let module = match function {
            Activation::Linear => return,
            Activation::Sigmoid => "Sigmoid()",
            Activation::Tanh => "Tanh()",
            Activation::Relu => "ReLU()",
            Activation::Elu => "ELU()",
            Activation::Selu => "SELU()",
            Activation::Swish => "SiLU()",
            Activation::Softmax => "Softmax(1)",
        };
        let function = crate::layers::activation::name(function);
        self.add(format!("{}_{function}", self.layer), module);
    }

    fn add(&mut self, name: String, module: &str) {
        if let Some(last) = self.layers.last_mut() {
            last.push((name, module.to_owned()));
        }
    }
}

/// The bytes of a file with the weights alone, marked as PyTorch's.
///
/// # Errors
/// As [`Model::layers`].
pub fn weights(model: &Model) -> Result<Vec<u8>> {
    tensors::serialize(("format", "pt".to_owned()), &model.tensors()?)
}

/// The lines of Python that build the network and load `file` into it.
///
/// # Errors
/// As [`Model::layers`].
pub fn script(model: &Model, file: &str) -> Result<String> {
    let mut modules = Modules { layers: Vec::new(), layer: String::new(), flat: false };
    for resolved in &model.layers()? {
        modules.layers.push(Vec::new());
        modules.layer.clone_from(&resolved.name);
        resolved.layer.as_layer().pytorch(&mut modules, resolved.input);
    }
    let mut text = String::from(
        "from collections import OrderedDict\n\nfrom safetensors.torch import load_file\nfrom torch import nn\n\n\
         net = nn.Sequential(OrderedDict([\n",
    );
    for layer in modules.layers.iter().filter(|layer| !layer.is_empty()) {
        let items: Vec<String> =
            layer.iter().map(|(name, module)| format!("(\"{name}\", nn.{module})")).collect();
        let _ = writeln!(text, "    {},", items.join(", "));
    }
    let Shape { channels, height, width } = model.input;
    let _ = write!(
        text,
        "]))\nnet.load_state_dict(load_file({}))\nnet.eval()\n\n\n\
         def logits(images):  # [n, {channels}, {height}, {width}], 0 is paper and 255 is ink\n    return net({})\n",
        serde_json::to_string(file)?,
        scaled(model.transform)
    );
    Ok(text)
}

/// What to do to `images`.
fn scaled(transform: PixelTransform) -> String {
    let PixelTransform { mean, divisor, l2_columns } = transform;
    match (l2_columns, mean == 0.0, divisor == 1.0) {
        // Squares of whole numbers: a norm that is not zero is at least one.
        (true, _, _) => "images / images.float().norm(dim=2, keepdim=True).clamp(min=1)".to_owned(),
        (false, true, true) => "images.float()".to_owned(),
        (false, true, false) => format!("images / {divisor}"),
        (false, false, _) => format!("(images - {mean}) / {divisor}"),
    }
}
