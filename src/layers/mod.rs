//! Layers: settings, shapes and parameters. They never touch a number of the training.
//!
//! A new layer is one file with its settings struct and `impl Layer`, its `mod` line and its line in the list below.
//! A weight is stored with the output innermost: `[fan-in index][output]`.

pub mod activation;
pub mod batch_norm;
pub mod conv2d;
pub mod dense;
pub mod dropout;
pub mod flatten;
pub mod max_pool;
mod repeat;
mod resolve;
pub mod summary;

pub use repeat::Repeat;
pub(crate) use repeat::check;
pub use resolve::{MAX_VALUES, ResolvedLayer, resolve};

use crate::export::{onnx, pytorch};
use crate::ops::activation::Activation;
use crate::plan::BufferId;
use crate::plan::emit::{Emitter, Tensor, Trace};
use crate::recipe::{Initializer, Problem, tagged};
use anyhow::Result;
use std::fmt;

/// The form of one image's values between two layers. A dense layer's vector is `channels` of 1x1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Feature maps, or features of a vector.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Values in one channel.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// A vector of `features`.
    pub fn vector(features: usize) -> Self {
        Self { channels: features, height: 1, width: 1 }
    }

    /// Values per image.
    pub fn features(&self) -> usize {
        self.channels.saturating_mul(self.height).saturating_mul(self.width)
    }

    /// Whether there is nothing but channels.
    pub fn is_vector(&self) -> bool {
        self.height == 1 && self.width == 1
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_vector() {
            true => write!(f, "{}", self.channels),
            false => write!(f, "{}x{}x{}", self.channels, self.height, self.width),
        }
    }
}

/// One tensor that a layer owns.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// weight, bias, gamma, beta, `running_mean` or `running_variance`.
    pub name: &'static str,
    /// Row-major; a dense weight is [inputs, units], a convolution's [in channels, kernel, kernel, filters].
    pub shape: Vec<usize>,
    /// Where its first values come from.
    pub initializer: Initializer,
    /// Inputs that one output sums over, as Keras counts them.
    pub fan_in: usize,
    /// Outputs that one input reaches.
    pub fan_out: usize,
    /// Whether the optimiser changes it.
    pub trainable: bool,
}

impl ParameterSpec {
    /// Values in it.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |product, side| product.saturating_mul(*side))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One value a channel; Keras takes the length of a vector for both fans.
    fn vector(name: &'static str, len: usize, initializer: &Initializer, trainable: bool) -> Self {
        Self {
            name,
            shape: vec![len],
            initializer: initializer.clone(),
            fan_in: len,
            fan_out: len,
            trainable,
        }
    }
}

/// What every layer knows about itself.
pub trait Layer: fmt::Debug {
    /// The name of its type in recipes.
    fn kind(&self) -> &'static str;

    /// Keras's class, from which layers get their names (`Conv2D`: conv2d, conv2d_1, ...).
    fn keras_class(&self) -> &'static str;

    /// Type and settings in a few words, for messages and tables.
    fn describe(&self) -> String;

    /// The form of its output.
    ///
    /// # Errors
    /// An input that it cannot take, with the sizes and the cure.
    fn output_shape(&self, input: Shape) -> Result<Shape>;

    /// The tensors that it owns, for an input that [`Layer::output_shape`] takes.
    fn parameters(&self, _input: Shape) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The function that it applies to its output.
    fn activation(&self) -> Activation {
        Activation::Linear
    }

    /// Whether its op applies a function to the output at no cost: its own, or that of an activation layer behind it.
    fn takes_epilogue(&self) -> bool {
        false
    }

    /// Whether its op can keep only the greatest of each window of its output; see [`Emitter::pooling`]. That has no gradient with
    /// respect to the input.
    fn takes_pooling(&self) -> bool {
        false
    }

    /// Rows and columns of the windows of which it keeps the greatest value, if that is what it does.
    fn pools(&self) -> Option<usize> {
        None
    }

    /// Whether its op can apply dropout to its output; see [`Emitter::dropout`].
    fn takes_dropout(&self) -> bool {
        false
    }

    /// Whether its weights can be updated in the call that makes their gradients; see [`Emitter::fused_update`].
    fn fuses_update(&self) -> bool {
        false
    }

    /// Whether its gradients are partial sums over slices of the batch, left in [`Emitter::partials`] at the places of
    /// its parameters: all of them are added by one call.
    fn sums_partials(&self) -> bool {
        false
    }

    /// Emits the calls from `x` to the output. The function to apply is [`Emitter::epilogue`].
    fn forward(&self, emitter: &mut Emitter<'_>, x: Tensor) -> Trace;

    /// Emits the calls from the gradient of the output to those of the parameters and, where `wants_input_grad`, of the
    /// input, which it returns. Gradients are with respect to the values before the activation of the [`Tensor`].
    fn backward(
        &self,
        emitter: &mut Emitter<'_>,
        trace: &Trace,
        y_grad: BufferId,
        wants_input_grad: bool,
    ) -> Option<BufferId>;

    /// Adds what it is in evaluation to an ONNX graph.
    fn onnx(&self, chain: &mut onnx::Chain);

    /// Adds the PyTorch modules that do the same in evaluation, for an input of this shape.
    fn pytorch(&self, modules: &mut pytorch::Modules, input: Shape);

    /// Whether its settings make sense by themselves.
    ///
    /// # Errors
    /// The key and the allowed values.
    fn check(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// Puts the number of classes where the recipe says `"classes"`.
    fn set_classes(&mut self, _classes: usize) {}

    /// Gives up a softmax at its end to the loss, which computes it from the logits; says whether there was one.
    fn absorb_softmax(&mut self) -> bool {
        false
    }
}

/// Makes the two enums: `Entry`, what a recipe writes, and `LayerConfig`, what is left without repeats.
macro_rules! layers {
    ($($(#[$doc:meta])* $variant:ident($config:ty),)*) => {
        tagged! {
            /// One entry of `[[layers]]`; `type` chooses.
            pub enum Entry by "type" in "snake_case" {
                $($(#[$doc])* $variant($config),)*
                /// Layers, several times.
                Repeat(Repeat),
            }
        }

        /// A layer's settings.
        #[derive(Clone, Debug, PartialEq)]
        pub enum LayerConfig {
            $($(#[$doc])* $variant($config),)*
        }

        impl LayerConfig {
            /// The layer behind the settings.
            pub fn as_layer(&self) -> &dyn Layer {
                match self {
                    $(Self::$variant(layer) => layer,)*
                }
            }

            fn as_layer_mut(&mut self) -> &mut dyn Layer {
                match self {
                    $(Self::$variant(layer) => layer,)*
                }
            }
        }

        impl Entry {
            /// The entry as a layer, or else as a repetition.
            fn single(&self) -> Result<LayerConfig, &Repeat> {
                match self {
                    $(Self::$variant(layer) => Ok(LayerConfig::$variant(layer.clone())),)*
                    Self::Repeat(repeat) => Err(repeat),
                }
            }
        }
    };
}

layers! {
    /// A product with weights.
    Dense(dense::Dense),
    /// A convolution.
    Conv2d(conv2d::Conv2d),
    /// The greatest of each window.
    MaxPool(max_pool::MaxPool),
    /// A vector of everything.
    Flatten(flatten::Flatten),
    /// Random zeros while training.
    Dropout(dropout::Dropout),
    /// Mean 0 and deviation 1 over the batch.
    BatchNorm(batch_norm::BatchNorm),
    /// A function of each value.
    Activation(activation::ActivationLayer),
}
