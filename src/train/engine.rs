//! A network on a device: the plan, the backend that runs it, and the data that it holds.

use super::evaluation::Evaluation;
use super::finite::FiniteCheck;
use super::room;
use crate::backend::device::Device;
use crate::backend::{Backend, DeviceInfo, HostWork};
use crate::data::{DataSet, Images, PixelTransform};
use crate::layers::{ResolvedLayer, Shape};
use crate::ops::control;
use crate::plan::emit::ParameterPlace;
use crate::plan::network::{self, Description, Feed, Network};
use crate::plan::{BufferId, ProgramId};
use crate::recipe::Recipe;
use crate::rng::{Purpose, Stream};
use crate::verify::self_test::SelfTest;
use anyhow::Result;

/// All values of a network: those that are trained, and running statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Trained, in the order of the layers.
    pub parameters: Vec<f32>,
    /// Not trained, in the order of the layers.
    pub statistics: Vec<f32>,
}

impl Weights {
    /// Zeros for these tensors.
    pub fn zeros(places: &[ParameterPlace]) -> Self {
        let size =
            |trainable| places.iter().filter(|p| p.trainable == trainable).map(ParameterPlace::len).sum();
        Self { parameters: vec![0.0; size(true)], statistics: vec![0.0; size(false)] }
    }

    /// The first values of a network: each tensor from its initialiser and a stream of its own.
    pub fn initial(layers: &[ResolvedLayer], places: &[ParameterPlace], seed: u64) -> Self {
        let mut weights = Self::zeros(places);
        let specs = layers.iter().flat_map(|layer| {
            layer.parameters.iter().enumerate().map(move |(tensor, spec)| (layer.index, tensor, spec))
        });
        for ((layer, tensor, spec), place) in specs.zip(places) {
            let stream = Stream::new(seed, Purpose::Init, layer as u32, tensor as u32);
            let values = spec.initializer.sample(&stream, spec.fan_in, spec.fan_out, spec.len());
            weights.of_mut(place).copy_from_slice(&values);
        }
        weights
    }

    /// The values of one tensor.
    pub fn of(&self, place: &ParameterPlace) -> &[f32] {
        let all = if place.trainable { &self.parameters } else { &self.statistics };
        &all[place.range()]
    }

    /// The values of one tensor, to be changed.
    pub fn of_mut(&mut self, place: &ParameterPlace) -> &mut [f32] {
        let all = if place.trainable { &mut self.parameters } else { &mut self.statistics };
        &mut all[place.range()]
    }
}

/// Images and labels that a device holds: the training set, then the test set.
pub struct DeviceData {
    words: Vec<u32>,
    labels: Vec<u32>,
    train: usize,
    size: (usize, usize),
}

impl DeviceData {
    /// Training and test images of a data set.
    pub fn of(data: &DataSet) -> Self {
        let (train, test) = (&data.train, &data.test);
        let labels = train.labels.iter().chain(&test.labels).map(|&label| u32::from(label)).collect();
        Self::new(&[&train.images, &test.images], labels, train.images.count)
    }

    /// Images that are only looked at; missing labels are zero.
    pub fn of_images(images: &Images, labels: &[u8]) -> Self {
        let labels = labels.iter().map(|&label| u32::from(label)).chain(std::iter::repeat(0));
        Self::new(&[images], labels.take(images.count).collect(), 0)
    }

    fn new(parts: &[&Images], labels: Vec<u32>, train: usize) -> Self {
        let bytes: usize = parts.iter().map(|images| images.pixels.len()).sum();
        let mut words = vec![0_u32; bytes.div_ceil(4).max(1)];
        let target: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let mut end = 0;
        for images in parts {
            target[end..end + images.pixels.len()].copy_from_slice(&images.pixels);
            end += images.pixels.len();
        }
        let size = parts.first().map_or((1, 1), |images| (images.height, images.width));
        Self { words, labels, train, size }
    }

    /// One image.
    pub fn shape(&self) -> Shape {
        Shape { channels: 1, height: self.size.0, width: self.size.1 }
    }

    /// Images.
    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// The images' bytes, four to a word.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// A label for each image.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Training images come first.
    pub fn train_count(&self) -> usize {
        self.train
    }
}

/// A network on a device.
pub struct Engine {
    /// The plan and its buffers.
    pub network: Network,
    backend: Box<dyn Backend>,
    batch_size: usize,
    evaluation_batch_size: usize,
    rows: usize,
    /// The learning rates that the device holds, so that equal ones are not sent again.
    schedule: Vec<f32>,
    finite: FiniteCheck,
}

impl Engine {
    /// Builds the plan for `recipe` and opens a backend for it with the data on it. A GPU has to pass a self-test first.
    ///
    /// # Errors
    /// When the device cannot be opened, does not suffice or computes wrongly.
    pub fn new(
        recipe: &Recipe,
        layers: &[ResolvedLayer],
        classes: usize,
        transform: PixelTransform,
        data: &DeviceData,
        device: &Device,
    ) -> Result<Self> {
        Self::with_plan(recipe, layers, classes, transform, data, device, |_, _| {})
    }

    /// The same with whatever `add` does to the plan, such as further programs; it is told what the plan was made from.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_plan(
        recipe: &Recipe,
        layers: &[ResolvedLayer],
        classes: usize,
        transform: PixelTransform,
        data: &DeviceData,
        device: &Device,
        add: impl FnOnce(&mut Network, &Description<'_>),
    ) -> Result<Self> {
        let rows = data.count();
        let batch_size = recipe.training.batch_size.min(data.train.max(1));
        let (input, target) = (data.shape(), device.target());
        let describe = |batch_size, evaluation_batch_size| Description {
            batch_size,
            evaluation_batch_size,
            ..Description::of_recipe(recipe, layers, input, classes, transform, rows, target)
        };
        let build =
            |batch_size, evaluation_batch_size| network::build(&describe(batch_size, evaluation_batch_size));
        let fit = |batch_size| room::fit_evaluation(batch_size, rows, device.largest_binding(), build);
        let test = |network: &mut Network| {
            matches!(device, Device::Gpu { .. }).then(|| SelfTest::add(&mut network.plan))
        };
        let (mut network, evaluation_batch_size) = fit(batch_size);
        let finite = FiniteCheck::add(&mut network);
        add(&mut network, &describe(batch_size, evaluation_batch_size));
        let self_test = test(&mut network);
        let plan_of = |batch_size| {
            let (mut network, _) = fit(batch_size);
            FiniteCheck::add(&mut network);
            test(&mut network);
            device.stored(network.plan)
        };
        let opened = device.open(&network.plan);
        let mut backend = opened.map_err(|error| room::advise(error, batch_size, plan_of))?;
        if let Some(test) = self_test {
            test.run(backend.as_mut())?;
        }
        backend.write(network.images, 0, &data.words)?;
        backend.write(network.labels, 0, &data.labels)?;
        let schedule = Vec::new();
        Ok(Self { network, backend, batch_size, evaluation_batch_size, rows, schedule, finite })
    }

    /// Puts other images in place of those it was opened with.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// If they are not as many, or not of the same size.
    pub fn set_images(&mut self, data: &DeviceData) -> Result<()> {
        assert_eq!(
            (data.words.len(), data.count()),
            (self.network.plan.words(self.network.images), self.rows)
        );
        self.backend.write(self.network.images, 0, &data.words)
    }

    /// What runs it.
    pub fn device(&self) -> &DeviceInfo {
        self.backend.device()
    }

    /// The backend, for programs of one's own.
    pub fn backend(&mut self) -> &mut dyn Backend {
        self.backend.as_mut()
    }

    /// What the host has done for the device.
    pub fn host_work(&self) -> HostWork {
        self.backend.host_work()
    }

    /// Images of a training step.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Puts weights in.
    ///
    /// # Errors
    /// When the device fails.
    pub fn set_weights(&mut self, weights: &Weights) -> Result<()> {
        self.write_f32(self.network.shared.parameters, &weights.parameters)?;
        self.write_f32(self.network.shared.statistics, &weights.statistics)
    }

    /// Takes the weights out.
    ///
    /// # Errors
    /// When the device fails.
    pub fn weights(&mut self) -> Result<Weights> {
        let mut weights = Weights::zeros(&self.network.parameters);
        self.read_f32(self.network.shared.parameters, &mut weights.parameters)?;
        self.read_f32(self.network.shared.statistics, &mut weights.statistics)?;
        Ok(weights)
    }

    /// Reads numbers of a buffer from its start.
    ///
    /// # Errors
    /// When the device fails.
    pub fn read_f32(&mut self, buffer: BufferId, values: &mut [f32]) -> Result<()> {
        self.backend.read(buffer, 0, bytemuck::cast_slice_mut(values))
    }

    /// Writes numbers to a buffer from its start.
    ///
    /// # Errors
    /// When the device fails.
    pub fn write_f32(&mut self, buffer: BufferId, values: &[f32]) -> Result<()> {
        self.backend.write(buffer, 0, bytemuck::cast_slice(values))
    }

    /// Prepares an epoch (or the rest of it, from `step` on): the order of its images, and the learning rates of its steps,
    /// two numbers each.
    ///
    /// # Errors
    /// When the device fails.
    pub fn start_epoch(
        &mut self,
        place: EpochPlace,
        seed: u64,
        order: &[u32],
        schedule: &[f32],
    ) -> Result<()> {
        let feed = self.network.train_feed;
        let EpochPlace { epoch, step, global_step } = place;
        let control = control::start(step, global_step, order.len(), self.batch_size, epoch, seed);
        self.backend.write(feed.order, 0, order)?;
        self.backend.write(feed.control, 0, &control)?;
        if self.schedule != schedule {
            self.write_f32(self.network.schedule, schedule)?;
            self.schedule = schedule.to_vec();
        }
        Ok(())
    }

    /// Training steps that the device had better be given at once.
    pub fn steps_at_once(&self) -> usize {
        self.backend.runs_at_once()
    }

    /// Runs training steps. May return before the device is done.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run_steps(&mut self, steps: usize) -> Result<()> {
        self.backend.run(self.network.train, steps)
    }

    /// Waits until the device has done everything.
    ///
    /// # Errors
    /// When the device fails.
    pub fn wait(&mut self) -> Result<()> {
        self.backend.wait()
    }

    /// The first tensor that holds NaN or infinity, and where, if there is one: found by the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn not_finite(&mut self) -> Result<Option<String>> {
        self.finite.run(&self.network, self.backend.as_mut())
    }

    /// Losses (sums over the batch) and right answers of steps of this epoch.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step_results(&mut self, steps: std::ops::Range<usize>) -> Result<(Vec<f32>, Vec<u32>)> {
        let feed = self.network.train_feed;
        let mut losses = vec![0; steps.len()];
        let mut hits = vec![0; steps.len()];
        self.backend.read(feed.losses, steps.start, &mut losses)?;
        self.backend.read(feed.hits, steps.start, &mut hits)?;
        Ok((losses.into_iter().map(f32::from_bits).collect(), hits))
    }

    /// Writes back what [`Engine::step_results`] read, when an epoch is taken up in its middle.
    ///
    /// # Errors
    /// When the device fails.
    pub fn set_step_results(&mut self, losses: &[f32], hits: &[u32]) -> Result<()> {
        let feed = self.network.train_feed;
        self.write_f32(feed.losses, losses)?;
        self.backend.write(feed.hits, 0, hits)
    }

    /// Loss and answer of each of these images, by their index in the data.
    ///
    /// # Errors
    /// When the device fails.
    pub fn evaluate(&mut self, rows: &[u32]) -> Result<Evaluation> {
        let feed = self.network.evaluate_feed;
        let mut losses = vec![0.0_f32; rows.len()];
        let mut outcomes = vec![0_u32; rows.len()];
        self.start_evaluation(&feed, rows)?;
        self.backend.run(self.network.evaluate, rows.len().div_ceil(self.evaluation_batch_size))?;
        self.backend.read(feed.image_loss, 0, bytemuck::cast_slice_mut(&mut losses))?;
        self.backend.read(feed.outcome, 0, &mut outcomes)?;
        Ok(Evaluation::new(losses, &outcomes))
    }

    fn start_evaluation(&mut self, feed: &Feed, rows: &[u32]) -> Result<()> {
        debug_assert!(rows.len() <= self.rows);
        let control = control::start(0, 0, rows.len(), self.evaluation_batch_size, 0, 0);
        self.backend.write(feed.order, 0, rows)?;
        self.backend.write(feed.control, 0, &control)
    }

    /// The logits of these images, `classes` each.
    ///
    /// # Errors
    /// When the device fails.
    pub fn logits(&mut self, rows: &[u32], classes: usize) -> Result<Vec<Vec<f32>>> {
        use crate::ops::LANES;
        let feed = self.network.evaluate_feed;
        let mut all = Vec::with_capacity(rows.len());
        let mut raw = vec![0.0_f32; self.network.plan.words(self.network.logits)];
        for batch in rows.chunks(self.evaluation_batch_size) {
            self.start_evaluation(&feed, batch)?;
            self.backend.run(self.network.evaluate, 1)?;
            self.read_f32(self.network.logits, &mut raw)?;
            for n in 0..batch.len() {
                let first = n / LANES * classes * LANES + n % LANES;
                all.push((0..classes).map(|c| raw[first + c * LANES]).collect());
            }
        }
        Ok(all)
    }

    /// The programs, by name.
    pub fn programs(&self) -> [(&'static str, ProgramId); 2] {
        [("train", self.network.train), ("evaluate", self.network.evaluate)]
    }
}

/// Where an epoch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochPlace {
    /// From 0.
    pub epoch: usize,
    /// Step within the epoch, from 0.
    pub step: usize,
    /// Steps since training began.
    pub global_step: usize,
}
