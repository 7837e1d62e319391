//! From layers to the programs of a training step and of an evaluation step.

use super::emit::{Emitter, FusedUpdate, Mode, ParameterPlace, Partials, Shared, Tensor, Trace};
use super::optimizer::{self, Update};
use super::{BufferId, Call, Lifetime, Plan, ProgramId};
use crate::data::PixelTransform;
use crate::layers::activation::ActivationLayer;
use crate::layers::{Layer, LayerConfig, ParameterSpec, ResolvedLayer, Shape};
use crate::ops::activation::Activation;
use crate::ops::dropout::Epilogue as Dropout;
use crate::ops::{self, DeviceClass, LANES, blocks, control};
use crate::recipe::{Augment, Optimizer, Recipe, Reduction};

/// Most slices of a batch whose gradients are summed on their own; the number comes from the batch and never from the
/// device, so that sums have one order.
const MOST_SLICES: usize = 16;

/// What the plan will run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The CPU backend.
    Cpu,
    /// A GPU of this class.
    Gpu(DeviceClass),
}

/// Everything that decides a plan.
pub struct Description<'a> {
    /// The network.
    pub layers: &'a [ResolvedLayer],
    /// One image.
    pub input: Shape,
    /// Classes.
    pub classes: usize,
    /// Images of a training step.
    pub batch_size: usize,
    /// Images of an evaluation step.
    pub evaluation_batch_size: usize,
    /// Images in the data buffers.
    pub images: usize,
    /// Most images that one epoch or evaluation goes through.
    pub rows: usize,
    /// From bytes to numbers.
    pub transform: PixelTransform,
    /// How training images are changed.
    pub augment: &'a Augment,
    /// The reduction of the loss.
    pub loss: Reduction,
    /// The optimiser.
    pub optimizer: &'a Optimizer,
    /// Gradients are scaled down to this norm; 0 is off.
    pub clip_norm: f64,
    /// Whether weights may be updated in the call that makes their gradients, which are then nowhere to be read.
    pub fuse_updates: bool,
    /// What it will run on.
    pub target: Target,
}

impl<'a> Description<'a> {
    /// What a recipe makes of `rows` images: steps of its batch size, or of all images if they are fewer, in evaluation too.
    pub fn of_recipe(
        recipe: &'a Recipe,
        layers: &'a [ResolvedLayer],
        input: Shape,
        classes: usize,
        transform: PixelTransform,
        rows: usize,
        target: Target,
    ) -> Self {
        let batch_size = recipe.training.batch_size.min(rows.max(1));
        Self {
            layers,
            input,
            classes,
            batch_size,
            evaluation_batch_size: batch_size,
            images: rows,
            rows,
            transform,
            augment: &recipe.augment,
            loss: recipe.training.loss,
            optimizer: &recipe.optimizer,
            clip_norm: recipe.training.clip_norm,
            fuse_updates: true,
            target,
        }
    }
}

/// The buffers through which one program is fed and answers.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    /// Indices of images, in the order of the epoch: u32.
    pub order: BufferId,
    /// See [`ops::control`].
    pub control: BufferId,
    /// The loss of each image, by place in the order.
    pub image_loss: BufferId,
    /// The answer for each image, by place in the order; see [`ops::softmax_xent::RIGHT`].
    pub outcome: BufferId,
    /// The summed loss of each step.
    pub losses: BufferId,
    /// Right answers of each step.
    pub hits: BufferId,
}

/// A plan with the places of everything that the host reads and writes.
#[derive(Clone)]
pub struct Network {
    /// The calls.
    pub plan: Plan,
    /// One training step.
    pub train: ProgramId,
    /// One evaluation step.
    pub evaluate: ProgramId,
    /// Bytes of all images, four to a word.
    pub images: BufferId,
    /// Labels of all images.
    pub labels: BufferId,
    /// Feeds the training step.
    pub train_feed: Feed,
    /// Feeds the evaluation step.
    pub evaluate_feed: Feed,
    /// The learning rate of each step, and the rate with Adam's bias correction.
    pub schedule: BufferId,
    /// Parameters, gradients, statistics.
    pub shared: Shared,
    /// The optimiser's moments.
    pub moments: Vec<BufferId>,
    /// The logits of an evaluation step, `[blocks][classes][16]`.
    pub logits: BufferId,
    /// Every tensor of every layer.
    pub parameters: Vec<ParameterPlace>,
    /// The layers' outputs in training, by name.
    pub outputs: Vec<(String, Tensor)>,
}

/// A layer with the function and the dropout that are fused into it.
pub(super) struct Unit<'a> {
    pub(super) layer: &'a dyn Layer,
    epilogue: Activation,
    pooling: bool,
    dropout: Dropout,
    pub(super) name: &'a str,
    index: usize,
    parameters: &'a [ParameterPlace],
}

/// Stands in for the function of a layer that cannot have it as its epilogue.
static SEPARATE: [ActivationLayer; 8] = {
    let mut layers = [const { ActivationLayer { function: Activation::Linear } }; 8];
    let mut i = 0;
    while i < 8 {
        layers[i] = ActivationLayer { function: Activation::ALL[i] };
        i += 1;
    }
    layers
};

/// Makes the plan.
pub fn build(d: &Description<'_>) -> Network {
    let mut plan = Plan::default();
    let places = place_parameters(d.layers);
    let size = |trainable| {
        let ends = places.iter().filter(|place| place.trainable == trainable).map(|place| place.range().end);
        ends.max().unwrap_or(0)
    };
    let shared = Shared {
        parameters: plan.buffer("parameters", size(true), Lifetime::Run),
        gradients: plan.buffer("gradients", size(true), Lifetime::Run),
        statistics: plan.buffer("statistics", size(false), Lifetime::Run),
    };
    let pixels = d.input.features();
    let images = plan.buffer("images", (d.images * pixels).div_ceil(4), Lifetime::Run);
    let labels = plan.buffer("labels", d.images, Lifetime::Run);
    let steps = d.rows.div_ceil(d.batch_size.max(1));
    let schedule = plan.buffer("schedule", 2 * steps, Lifetime::Run);
    let moments = moments(&mut plan, d.optimizer, size(true));
    let train_feed = feed(&mut plan, "train", d.rows, d.batch_size);
    let evaluate_feed = feed(&mut plan, "evaluate", d.rows, d.evaluation_batch_size);
    let (train, evaluate) = (plan.program("train"), plan.program("evaluate"));
    let units = units(d.layers, &places, true);
    let fuse = d.fuse_updates && optimizer::can_fuse(d.optimizer, d.clip_norm);
    let fused_update = fuse.then_some(FusedUpdate { optimizer: d.optimizer, schedule, moments: &moments });

    let partials = partials(&mut plan, d);
    let mut builder =
        Builder { d, plan: &mut plan, shared, images, labels, units: &units, fused_update, partials };
    let outputs = builder.train(train, &train_feed);
    let update = Update {
        program: train,
        feed: &train_feed,
        gradients: shared.gradients,
        parameters: shared.parameters,
        schedule,
        moments: &moments,
        len: if fuse { unfused_len(d.layers) } else { size(true) },
    };
    update.clip(builder.plan, d.clip_norm);
    update.emit(builder.plan, d.optimizer);
    builder.end_step(train, &train_feed, d.batch_size);
    let logits = builder.evaluate(evaluate, &evaluate_feed);
    // The host reads them.
    builder.plan.buffers[logits.0].lifetime = Lifetime::Run;
    builder.end_step(evaluate, &evaluate_feed, d.evaluation_batch_size);
    Network {
        plan,
        train,
        evaluate,
        images,
        labels,
        train_feed,
        evaluate_feed,
        schedule,
        shared,
        moments,
        logits,
        parameters: places,
        outputs,
    }
}

/// Lays the tensors of all layers out, those that are trained in one buffer, the others in another. Those whose gradients
/// are partial sums come first, so that one call adds them; weights that can be updated where their gradients are made come
/// last, so that the optimiser's one call covers the rest.
pub fn place_parameters(layers: &[ResolvedLayer]) -> Vec<ParameterPlace> {
    let (mut partial, mut kept) = (0, 0);
    let (mut unfused, mut fused) = (partials_len(layers), unfused_len(layers));
    let mut places = Vec::new();
    for layer in layers {
        let kind = layer.layer.as_layer();
        for spec in &layer.parameters {
            let end = match (kind.sums_partials(), kind.fuses_update()) {
                _ if !spec.trainable => &mut kept,
                (true, _) => &mut partial,
                (false, false) => &mut unfused,
                (false, true) => &mut fused,
            };
            places.push(ParameterPlace {
                layer: layer.name.clone(),
                name: spec.name,
                shape: spec.shape.clone(),
                offset: *end,
                trainable: spec.trainable,
            });
            *end += spec.len();
        }
    }
    places
}

/// Trained values of layers whose updates cannot be fused.
fn unfused_len(layers: &[ResolvedLayer]) -> usize {
    trained_len(layers, |layer| !layer.fuses_update())
}

/// Trained values of layers whose gradients are partial sums.
fn partials_len(layers: &[ResolvedLayer]) -> usize {
    trained_len(layers, |layer| layer.sums_partials())
}

fn trained_len(layers: &[ResolvedLayer], which: impl Fn(&dyn Layer) -> bool) -> usize {
    let layers = layers.iter().filter(|layer| which(layer.layer.as_layer()));
    layers.flat_map(|layer| &layer.parameters).filter(|spec| spec.trainable).map(ParameterSpec::len).sum()
}

/// Layers with their epilogues: a function right after a layer that can apply it is fused, one that cannot be fused
/// becomes a unit of its own; so with dropout, where the layer behind it can differentiate it, and, where `pool`, with pooling
/// behind the first layer, which needs no gradient of its input.
pub(super) fn units<'a>(
    layers: &'a [ResolvedLayer],
    places: &'a [ParameterPlace],
    pool: bool,
) -> Vec<Unit<'a>> {
    let mut units: Vec<Unit<'a>> = Vec::new();
    let mut first = 0;
    for (position, resolved) in layers.iter().enumerate() {
        let layer = resolved.layer.as_layer();
        let parameters = &places[first..first + resolved.parameters.len()];
        first += resolved.parameters.len();
        if let (LayerConfig::Activation(activation), Some(last)) = (&resolved.layer, units.last_mut()) {
            let bare = last.epilogue == Activation::Linear && last.dropout == Dropout::NONE;
            let free = last.layer.takes_epilogue() && bare;
            if free && activation.function.fusible() {
                last.epilogue = activation.function;
                continue;
            }
        }
        if let [only] = &mut units[..]
            && pool
            && layer.pools() == Some(ops::conv2d_max_pool::WINDOW)
            && only.layer.takes_pooling()
            && !only.pooling
            && !matches!(layers.get(position + 1).map(|next| &next.layer), Some(LayerConfig::Dropout(_)))
        {
            only.pooling = true;
            continue;
        }
        if let (LayerConfig::Dropout(dropout), Some(last)) = (&resolved.layer, units.last_mut())
            && last.layer.takes_dropout()
            && last.dropout == Dropout::NONE
            && undoes_dropout(&layers[position + 1..])
        {
            last.dropout = Dropout { layer: resolved.index as u32, rate: dropout.rate as f32 };
            continue;
        }
        let function = layer.activation();
        let dropout = Dropout::NONE;
        let epilogue = if function.fusible() { function } else { Activation::Linear };
        units.push(Unit {
            layer,
            epilogue,
            pooling: false,
            dropout,
            name: &resolved.name,
            index: resolved.index,
            parameters,
        });
        if !function.fusible() {
            let layer = &SEPARATE[function as usize];
            let (name, index) = (&resolved.name, resolved.index);
            units.push(Unit {
                layer,
                epilogue: Activation::Linear,
                pooling: false,
                dropout,
                name,
                index,
                parameters: &[],
            });
        }
    }
    units
}

/// Whether the next layer that does anything differentiates dropout along with its own product.
fn undoes_dropout(next: &[ResolvedLayer]) -> bool {
    let mut working = next.iter().filter(|layer| !matches!(layer.layer, LayerConfig::Flatten(_)));
    matches!(working.next().map(|layer| &layer.layer), Some(LayerConfig::Dense(_)))
}

fn moments(plan: &mut Plan, optimizer: &Optimizer, len: usize) -> Vec<BufferId> {
    let names: &[&str] = match optimizer {
        Optimizer::Sgd(_) => &["velocity"],
        Optimizer::Adam(_) | Optimizer::AdamW(_) => &["first_moment", "second_moment"],
        Optimizer::RmsProp(_) => &["mean_square", "velocity"],
    };
    names.iter().map(|name| plan.buffer(*name, len, Lifetime::Run)).collect()
}

pub(super) fn partials(plan: &mut Plan, d: &Description<'_>) -> Option<Partials> {
    let words = partials_len(d.layers);
    if words == 0 {
        return None;
    }
    let blocks = blocks(d.batch_size);
    let blocks_per_slice = blocks.div_ceil(MOST_SLICES);
    let buffer = plan.buffer("partials", blocks.div_ceil(blocks_per_slice) * words, Lifetime::Step);
    Some(Partials { buffer, blocks_per_slice, words })
}

pub(super) fn feed(plan: &mut Plan, name: &str, rows: usize, batch: usize) -> Feed {
    let steps = rows.div_ceil(batch.max(1));
    let mut buffer = |what: &str, words| plan.buffer(format!("{name}.{what}"), words, Lifetime::Run);
    Feed {
        order: buffer("order", rows),
        control: buffer("control", control::WORDS),
        image_loss: buffer("image_loss", rows),
        outcome: buffer("outcome", rows),
        losses: buffer("losses", steps),
        hits: buffer("hits", steps),
    }
}

pub(super) struct Builder<'a> {
    pub(super) d: &'a Description<'a>,
    pub(super) plan: &'a mut Plan,
    pub(super) shared: Shared,
    pub(super) images: BufferId,
    pub(super) labels: BufferId,
    pub(super) units: &'a [Unit<'a>],
    pub(super) fused_update: Option<FusedUpdate<'a>>,
    pub(super) partials: Option<Partials>,
}

impl Builder<'_> {
    /// Gather, forward, loss and backward; returns the layers' outputs.
    pub(super) fn train(&mut self, program: ProgramId, feed: &Feed) -> Vec<(String, Tensor)> {
        let blocks = blocks(self.d.batch_size);
        let mut later = Vec::new();
        let x = self.gather(program, feed, Mode::Train, blocks);
        let mut traces: Vec<Trace> = Vec::new();
        let mut tensor = x;
        for unit in self.units {
            let mut emitter = self.emitter(unit, program, feed, Mode::Train, blocks, &mut later);
            let trace = unit.layer.forward(&mut emitter, tensor);
            tensor = trace.y;
            traces.push(trace);
        }
        let mut gradient = self.loss(program, feed, blocks, tensor);
        let first_trained = self.units.iter().position(|unit| !unit.parameters.is_empty()).unwrap_or(0);
        for (position, (unit, trace)) in self.units.iter().zip(&traces).enumerate().rev() {
            if position < first_trained {
                break;
            }
            let mut emitter = self.emitter(unit, program, feed, Mode::Train, blocks, &mut later);
            let wants_input_grad = position > first_trained;
            match unit.layer.backward(&mut emitter, trace, gradient, wants_input_grad) {
                Some(input_grad) => gradient = input_grad,
                None => break,
            }
        }
        self.plan.programs[program.0].calls.append(&mut later);
        self.sum_partials(program, blocks);
        self.units.iter().zip(traces).map(|(unit, trace)| (unit.name.to_owned(), trace.y)).collect()
    }

    /// Gather, forward and loss; returns the logits.
    fn evaluate(&mut self, program: ProgramId, feed: &Feed) -> BufferId {
        let blocks = blocks(self.d.evaluation_batch_size);
        let mut later = Vec::new();
        let mut tensor = self.gather(program, feed, Mode::Evaluate, blocks);
        for unit in self.units {
            let mut emitter = self.emitter(unit, program, feed, Mode::Evaluate, blocks, &mut later);
            tensor = unit.layer.forward(&mut emitter, tensor).y;
        }
        self.loss(program, feed, blocks, tensor);
        self.plan.buffers[tensor.buffer.0].lifetime = Lifetime::Run;
        tensor.buffer
    }

    pub(super) fn emitter<'b>(
        &'b mut self,
        unit: &'b Unit<'_>,
        program: ProgramId,
        feed: &Feed,
        mode: Mode,
        blocks: usize,
        later: &'b mut Vec<Call>,
    ) -> Emitter<'b> {
        Emitter {
            plan: self.plan,
            program,
            mode,
            blocks,
            control: feed.control,
            shared: self.shared,
            place: unit.name.to_owned(),
            index: unit.index,
            epilogue: unit.epilogue,
            pooling: unit.pooling,
            dropout: if mode == Mode::Train { unit.dropout } else { Dropout::NONE },
            parameters: unit.parameters,
            fused_update: self.fused_update,
            partials: self.partials,
            later,
            keep_back: self.d.target == Target::Cpu,
        }
    }

    pub(super) fn gather(&mut self, program: ProgramId, feed: &Feed, mode: Mode, blocks: usize) -> Tensor {
        let shape = self.d.input;
        let words = blocks * shape.features() * LANES;
        let buffer = self.plan.buffer("x", words, Lifetime::Step);
        let buffers = [self.images, feed.order, feed.control, buffer];
        let tensor = Tensor { buffer, shape, activation: Activation::Linear, dropout: Dropout::NONE };
        if mode == Mode::Train && !self.d.augment.is_off() {
            let size = (shape.height, shape.width);
            let params = super::augment::params(self.d.augment, &self.d.transform, blocks, size);
            self.plan.call(program, "data", &ops::gather_augmented::GatherAugmented, &params, &buffers);
            return tensor;
        }
        let params = ops::gather::Params {
            blocks: blocks as u32,
            height: shape.height as u32,
            width: shape.width as u32,
            l2_columns: u32::from(self.d.transform.l2_columns),
            mean: self.d.transform.mean,
            divisor: self.d.transform.divisor,
        };
        self.plan.call(program, "data", &ops::gather::Gather, &params, &buffers);
        tensor
    }

    /// Returns the gradient with respect to the logits.
    fn loss(&mut self, program: ProgramId, feed: &Feed, blocks: usize, logits: Tensor) -> BufferId {
        let gradient = self.plan.buffer("logits_grad", blocks * self.d.classes * LANES, Lifetime::Step);
        let params = ops::softmax_xent::Params {
            blocks: blocks as u32,
            classes: self.d.classes as u32,
            reduction: self.d.loss as u32,
            activation: logits.activation as u32,
        };
        let buffers =
            [logits.buffer, self.labels, feed.order, feed.control, gradient, feed.image_loss, feed.outcome];
        self.plan.call(program, "loss", &ops::softmax_xent::SoftmaxXent, &params, &buffers);
        gradient
    }

    fn sum_partials(&mut self, program: ProgramId, blocks: usize) {
        let Some(partials) = self.partials else { return };
        let slices = blocks.div_ceil(partials.blocks_per_slice) as u32;
        let params = ops::sum_partials::Params { slices, len: partials.words as u32 };
        let buffers = [partials.buffer, self.shared.gradients];
        self.plan.call(program, "gradients", &ops::sum_partials::SumPartials, &params, &buffers);
    }

    fn end_step(&mut self, program: ProgramId, feed: &Feed, batch: usize) {
        let params = ops::end_step::Params { batch: batch as u32 };
        let buffers = [feed.image_loss, feed.outcome, feed.control, feed.losses, feed.hits];
        self.plan.call(program, "step", &ops::end_step::EndStep, &params, &buffers);
    }
}
