//! Programs that look at a network and change nothing: range, mean, spread and histogram of what each layer puts out, of the
//! weights and of their gradients.
//!
//! There are two, because the bins of a histogram lie between the least and the greatest value, which the host learns from
//! the first: `ranges` measures, `counts` counts. Both run over the same images, so both see the same numbers.
//!
//! **Invariant:** nothing that training reads is written. Gradients, running statistics and the feed are copies of their own.

use super::emit::{Mode, ParameterPlace, Shared, Tensor};
use super::network::{self, Builder, Description, Feed, Network};
use super::{BufferId, Lifetime, ProgramId};
use crate::layers::Shape;
use crate::ops::activation::Activation;
use crate::ops::count_bins::{self, CountBins};
use crate::ops::tensor_moments::{self, MOMENTS, TensorMoments};
use crate::ops::{LANES, blocks};

/// Bins of a histogram.
pub const BINS: usize = 100;
/// Pieces that a tensor is counted in, and that weights are measured in.
const PARTS: usize = 32;

/// What kind of numbers a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What a layer puts out in evaluation; the images themselves come first, as the layer `input`.
    Activation,
    /// What is trained.
    Weight,
    /// The loss by what is trained.
    Gradient,
}

/// A tensor that is looked at, and where its figures are.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it holds.
    pub kind: Kind,
    /// The layer's name.
    pub layer: String,
    /// `output`, or the name of the parameter.
    pub tensor: String,
    /// The function that made it.
    pub function: Activation,
    /// Values that count.
    pub values: usize,
    /// First word of its moments.
    pub moments: usize,
    /// Channels of its moments.
    pub channels: usize,
    /// First word of its edges; there are [`BINS`] + 1.
    pub edges: usize,
    /// First word of its counts.
    pub counts: usize,
    /// Pieces of its counts, [`BINS`] each.
    pub parts: usize,
}

/// The programs and their buffers.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Measures.
    pub ranges: ProgramId,
    /// Counts.
    pub counts: ProgramId,
    /// Feeds both; its order has as many images as the batch.
    pub feed: Feed,
    /// Images that are looked at.
    pub images: usize,
    /// Low, high, count, sum and squared deviations of each channel.
    pub moments: BufferId,
    /// Written by the host.
    pub edges: BufferId,
    /// The histograms.
    pub bins: BufferId,
    /// Every tensor: the input and the outputs, then weights, then gradients.
    pub subjects: Vec<Subject>,
}

/// Adds the programs to a network. `d` describes it, with the number of images to look at as `batch_size` and
/// `rows`.
pub fn add(network: &mut Network, d: &Description<'_>) -> Inspection {
    // What pooling drops is looked at too.
    let units = network::units(d.layers, &network.parameters, false);
    let plan = &mut network.plan;
    let feed = network::feed(plan, "inspect", d.batch_size, d.batch_size);
    let (ranges, counts) = (plan.program("inspect ranges"), plan.program("inspect counts"));
    let gradients = plan.words(network.shared.gradients);
    let statistics = plan.words(network.shared.statistics);
    // Training steps change the running statistics; these steps change a copy that nobody reads.
    let scratch = Shared {
        parameters: network.shared.parameters,
        gradients: plan.buffer("inspect.gradients", gradients, Lifetime::Run),
        statistics: plan.buffer("inspect.statistics", statistics, Lifetime::Run),
    };
    let buffers =
        ["moments", "edges", "bins"].map(|name| plan.buffer(format!("inspect.{name}"), 0, Lifetime::Run));
    let [moments, edges, bins] = buffers;
    let mut inspection =
        Inspection { ranges, counts, feed, images: d.batch_size, moments, edges, bins, subjects: Vec::new() };
    let partials = network::partials(plan, d);
    let mut builder = Builder {
        d,
        plan,
        shared: network.shared,
        images: network.images,
        labels: network.labels,
        units: &units,
        fused_update: None,
        partials,
    };
    for program in [ranges, counts] {
        inspection.subjects.clear();
        inspection.outputs(&mut builder, program);
        if program == ranges {
            builder.shared = scratch;
            builder.train(program, &feed);
            builder.shared = network.shared;
        }
        for (kind, buffer) in [(Kind::Weight, scratch.parameters), (Kind::Gradient, scratch.gradients)] {
            for place in network.parameters.iter().filter(|place| place.trainable) {
                inspection.parameter(&mut builder, program, kind, place, buffer);
            }
        }
    }
    let end = |end: fn(&Subject) -> usize| inspection.subjects.last().map_or(0, end).max(1);
    plan_words(network, moments, end(|last| last.moments + last.channels * MOMENTS));
    plan_words(network, edges, end(|last| last.edges + BINS + 1));
    plan_words(network, bins, end(|last| last.counts + last.parts * BINS));
    inspection
}

fn plan_words(network: &mut Network, buffer: BufferId, words: usize) {
    network.plan.buffers[buffer.0].words = words;
}

impl Inspection {
    /// The evaluation pass, with a look at the images and at each output.
    fn outputs(&mut self, builder: &mut Builder<'_>, program: ProgramId) {
        let (feed, mut later) = (self.feed, Vec::new());
        let blocks = blocks(builder.d.batch_size);
        let mut tensor = builder.gather(program, &feed, Mode::Evaluate, blocks);
        self.activation(builder, program, "input", &tensor);
        let mut names: Vec<&str> = Vec::new();
        for unit in builder.units {
            let before = tensor.buffer;
            let mut emitter = builder.emitter(unit, program, &feed, Mode::Evaluate, blocks, &mut later);
            tensor = unit.layer.forward(&mut emitter, tensor).y;
            // Flatten and, outside of training, dropout pass on what they get.
            if tensor.buffer != before {
                // A function that cannot be fused is a unit of its own with the name of its layer.
                let again = names.contains(&unit.name);
                let name = if again { format!("{} activation", unit.name) } else { unit.name.to_owned() };
                names.push(unit.name);
                self.activation(builder, program, &name, &tensor);
            }
        }
    }

    fn activation(&mut self, builder: &mut Builder<'_>, program: ProgramId, layer: &str, tensor: &Tensor) {
        let Shape { channels, .. } = tensor.shape;
        let (each, blocks) = (tensor.shape.pixels() * LANES, blocks(self.images));
        let layout = Layout {
            buffer: tensor.buffer,
            first: 0,
            len: blocks * channels * each,
            channels,
            blocks,
            each,
            features: tensor.shape.features(),
            images: self.images as u32,
        };
        let values = self.images * tensor.shape.features();
        self.look(builder, program, &layout, Kind::Activation, layer, "output", tensor.activation, values);
    }

    fn parameter(
        &mut self,
        builder: &mut Builder<'_>,
        program: ProgramId,
        kind: Kind,
        place: &ParameterPlace,
        buffer: BufferId,
    ) {
        let channels = PARTS.min(place.len());
        let layout = Layout {
            buffer,
            first: place.offset,
            len: place.len(),
            channels,
            blocks: 1,
            each: place.len().div_ceil(channels.max(1)),
            features: 1,
            images: u32::MAX,
        };
        self.look(builder, program, &layout, kind, &place.layer, place.name, Activation::Linear, place.len());
    }

    /// Emits the call of `program` for one tensor, and notes where its figures will be.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of a subject")]
    fn look(
        &mut self,
        builder: &mut Builder<'_>,
        program: ProgramId,
        layout: &Layout,
        kind: Kind,
        layer: &str,
        tensor: &str,
        function: Activation,
        values: usize,
    ) {
        if values == 0 {
            return;
        }
        let last = self.subjects.last();
        let subject = Subject {
            kind,
            layer: layer.to_owned(),
            tensor: tensor.to_owned(),
            function,
            values,
            moments: last.map_or(0, |last| last.moments + last.channels * MOMENTS),
            channels: layout.channels,
            edges: last.map_or(0, |last| last.edges + BINS + 1),
            counts: last.map_or(0, |last| last.counts + last.parts * BINS),
            parts: PARTS,
        };
        let (plan, place) = (&mut *builder.plan, format!("inspect {layer}"));
        if program == self.ranges {
            let params = layout.moments(&subject);
            plan.call(program, &place, &TensorMoments, &params, &[layout.buffer, self.moments]);
        } else {
            let params = layout.counts(&subject);
            plan.call(program, &place, &CountBins, &params, &[layout.buffer, self.edges, self.bins]);
        }
        self.subjects.push(subject);
    }
}

/// Where the values of a tensor lie.
struct Layout {
    buffer: BufferId,
    first: usize,
    len: usize,
    channels: usize,
    blocks: usize,
    /// Words of a channel in a block.
    each: usize,
    /// Words of an image.
    features: usize,
    images: u32,
}

impl Layout {
    fn moments(&self, subject: &Subject) -> tensor_moments::Params {
        tensor_moments::Params {
            first: self.first as u32,
            len: self.len as u32,
            channels: self.channels as u32,
            blocks: self.blocks as u32,
            each: self.each as u32,
            images: self.images,
            to: subject.moments as u32,
        }
    }

    fn counts(&self, subject: &Subject) -> count_bins::Params {
        count_bins::Params {
            first: self.first as u32,
            len: self.len as u32,
            features: self.features as u32,
            images: self.images,
            bins: BINS as u32,
            parts: subject.parts as u32,
            first_edge: subject.edges as u32,
            to: subject.counts as u32,
        }
    }
}
