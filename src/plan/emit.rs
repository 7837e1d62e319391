//! What layers emit calls through: where they are in the network, and the buffers that all share.

use super::{BufferId, Call, Lifetime, Plan, ProgramId};
use crate::layers::Shape;
use crate::ops::activation::Activation;
use crate::ops::dropout::Epilogue as Dropout;
use crate::ops::{LANES, Op, Params, words};
use crate::recipe::Optimizer;

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout and batch statistics; gradients follow.
    Train,
    /// Neither.
    Evaluate,
}

/// Activations between two layers.
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    /// Where they are.
    pub buffer: BufferId,
    /// One image's values.
    pub shape: Shape,
    /// The function that made them, as the epilogue of the op that did. A gradient with respect to this tensor is
    /// always one with respect to that function's input: the op that makes the gradient differentiates it.
    pub activation: Activation,
    /// Dropout after that function, by the same op; differentiated in the same way.
    pub dropout: Dropout,
}

/// A layer's tensor and where it lies in the flat buffer of its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterPlace {
    /// The layer's name.
    pub layer: String,
    /// `weight`, `bias`, `gamma`, `beta`, `running_mean` or `running_variance`.
    pub name: &'static str,
    /// Row-major.
    pub shape: Vec<usize>,
    /// First word in the parameters, or for what is not trained in the statistics.
    pub offset: usize,
    /// Whether it lies in the parameters.
    pub trainable: bool,
}

impl ParameterPlace {
    /// Its size in words.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its words in the buffer of its kind.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// The buffers that all layers share.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// Everything that is trained, one after the other.
    pub parameters: BufferId,
    /// Their gradients, in the same places.
    pub gradients: BufferId,
    /// Running means and variances.
    pub statistics: BufferId,
}

/// What an op needs that makes gradients and applies them at once.
#[derive(Clone, Copy)]
pub struct FusedUpdate<'a> {
    /// The optimiser.
    pub optimizer: &'a Optimizer,
    /// The learning rates.
    pub schedule: BufferId,
    /// The optimiser's moments.
    pub moments: &'a [BufferId],
}

/// Where convolutions leave the partial sums of their gradients.
#[derive(Clone, Copy, Debug)]
pub struct Partials {
    /// `[slices][words]`, the words in the order of the parameters.
    pub buffer: BufferId,
    /// Blocks whose gradients are added in one slice.
    pub blocks_per_slice: usize,
    /// Words of a slice.
    pub words: usize,
}

/// A layer's way to the plan.
pub struct Emitter<'a> {
    /// The plan.
    pub plan: &'a mut Plan,
    /// The program that calls go to.
    pub program: ProgramId,
    /// What it is for.
    pub mode: Mode,
    /// Blocks of 16 images in a batch.
    pub blocks: usize,
    /// Where the step stands.
    pub control: BufferId,
    /// Parameters, gradients and statistics.
    pub shared: Shared,
    /// The layer's name.
    pub place: String,
    /// The layer's number: its stream of random numbers.
    pub index: usize,
    /// The function to be applied to the layer's output.
    pub epilogue: Activation,
    /// Whether only the greatest of each window of 2x2 of the layer's output is wanted.
    pub pooling: bool,
    /// Dropout to be applied to the layer's output after that, in training.
    pub dropout: Dropout,
    /// The layer's tensors.
    pub parameters: &'a [ParameterPlace],
    /// How to update weights in the call that makes their gradients, where the plan does that.
    pub fused_update: Option<FusedUpdate<'a>>,
    /// Where layers of [`Layer::sums_partials`](crate::layers::Layer::sums_partials) leave their gradients.
    pub partials: Option<Partials>,
    /// Calls that may come any time before the optimiser, kept back where that lets others run together.
    pub later: &'a mut Vec<Call>,
    /// Whether to keep them back.
    pub keep_back: bool,
}

impl Emitter<'_> {
    /// A new tensor for this batch, made by an op with this activation.
    pub fn tensor(&mut self, name: &str, shape: Shape, activation: Activation) -> Tensor {
        let buffer = self.scratch(name, self.blocks * shape.features() * LANES);
        Tensor { buffer, shape, activation, dropout: Dropout::NONE }
    }

    /// A new buffer that lives for this step.
    pub fn scratch(&mut self, name: &str, words: usize) -> BufferId {
        self.plan.buffer(format!("{}.{name}", self.place), words, Lifetime::Step)
    }

    /// A gradient with respect to `x`.
    pub fn gradient_of(&mut self, x: &Tensor) -> BufferId {
        self.scratch("input_grad", self.blocks * x.shape.features() * LANES)
    }

    /// Appends a call.
    pub fn call<P: Params>(&mut self, op: &'static dyn Op, params: &P, buffers: &[BufferId]) {
        self.plan.call(self.program, &self.place, op, params, buffers);
    }

    /// Appends a call whose result is only needed by the optimiser.
    pub fn call_later<P: Params>(&mut self, op: &'static dyn Op, params: &P, buffers: &[BufferId]) {
        if self.keep_back {
            let place = self.place.clone();
            self.later.push(Call { op, params: words(params), buffers: buffers.to_vec(), place });
        } else {
            self.call(op, params, buffers);
        }
    }

    /// The first word of the layer's tensor called `name`.
    ///
    /// # Panics
    /// When the layer has none of that name, which is a mistake in the layer.
    pub fn offset(&self, name: &str) -> u32 {
        let place = self.parameters.iter().find(|place| place.name == name);
        let Some(place) = place else { panic!("the layer {} has no tensor {name}", self.place) };
        place.offset as u32
    }
}

/// What a layer's forward pass leaves for its backward pass.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What came in.
    pub x: Tensor,
    /// What went out.
    pub y: Tensor,
    /// Buffers of the layer's own.
    pub saved: Vec<BufferId>,
}
