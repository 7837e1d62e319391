//! A network with a few images, run step by step on the reference or on a device.

use gpu_mnist::backend::Backend;
use gpu_mnist::backend::device::Device;
use gpu_mnist::data::Images;
use gpu_mnist::layers::{ResolvedLayer, Shape, resolve};
use gpu_mnist::ops::{DeviceClass, control};
use gpu_mnist::plan::emit::ParameterPlace;
use gpu_mnist::plan::network::{Description, Feed, Network, Target, build};
use gpu_mnist::plan::optimizer::corrected_rate;
use gpu_mnist::plan::{BufferId, Plan, ProgramId};
use gpu_mnist::recipe::Recipe;
use gpu_mnist::rng::{Purpose, Stream};
use gpu_mnist::verify::reference::ReferenceBackend;

/// The targets that plans are made for.
pub(crate) const TARGETS: [Target; 3] =
    [Target::Cpu, Target::Gpu(DeviceClass::Gpu), Target::Gpu(DeviceClass::Software)];

/// What runs programs, seen through f64.
pub(crate) trait Machine {
    fn write(&mut self, buffer: BufferId, numbers: &[f64]);
    fn write_words(&mut self, buffer: BufferId, words: &[u32]);
    fn read(&mut self, buffer: BufferId) -> Vec<f64>;
    fn run(&mut self, program: ProgramId);
}

impl Machine for ReferenceBackend<f64> {
    fn write(&mut self, buffer: BufferId, numbers: &[f64]) {
        self.numbers(buffer)[..numbers.len()].copy_from_slice(numbers);
    }

    fn write_words(&mut self, buffer: BufferId, words: &[u32]) {
        self.words(buffer)[..words.len()].copy_from_slice(words);
    }

    fn read(&mut self, buffer: BufferId) -> Vec<f64> {
        self.numbers(buffer).to_vec()
    }

    fn run(&mut self, program: ProgramId) {
        Self::run(self, program);
    }
}

/// A backend, whose numbers are f32.
pub(crate) struct OnDevice {
    backend: Box<dyn Backend>,
    plan: Plan,
}

impl OnDevice {
    pub(crate) fn open(device: &Device, plan: &Plan) -> Self {
        Self { backend: device.open(plan).unwrap(), plan: plan.clone() }
    }
}

impl Machine for OnDevice {
    fn write(&mut self, buffer: BufferId, numbers: &[f64]) {
        let words: Vec<u32> = numbers.iter().map(|&x| (x as f32).to_bits()).collect();
        self.backend.write(buffer, 0, &words).unwrap();
    }

    fn write_words(&mut self, buffer: BufferId, words: &[u32]) {
        self.backend.write(buffer, 0, words).unwrap();
    }

    fn read(&mut self, buffer: BufferId) -> Vec<f64> {
        let mut words = vec![0; self.plan.words(buffer)];
        self.backend.read(buffer, 0, &mut words).unwrap();
        words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect()
    }

    fn run(&mut self, program: ProgramId) {
        self.backend.run(program, 1).unwrap();
    }
}

/// The plan of a recipe for MNIST, at a batch size of its own.
pub(crate) fn plan_of(recipe: &Recipe, batch_size: usize, target: Target, fuse_updates: bool) -> Network {
    let input = Shape { channels: 1, height: 28, width: 28 };
    let blank = Images::new("blank", 1, 28, 28, vec![0; 784]).unwrap();
    build(&Description {
        layers: &resolve(recipe, input, 10).unwrap(),
        input,
        classes: 10,
        batch_size,
        evaluation_batch_size: batch_size,
        images: 70_000,
        rows: 70_000,
        transform: recipe.data.scaling.transform(&blank, 0..1),
        augment: &recipe.augment,
        loss: recipe.training.loss,
        optimizer: &recipe.optimizer,
        clip_norm: recipe.training.clip_norm,
        fuse_updates,
        target,
    })
}

/// A network and its data: all images are one epoch, in their order.
pub(crate) struct Net {
    pub(crate) recipe: Recipe,
    pub(crate) layers: Vec<ResolvedLayer>,
    pub(crate) network: Network,
    pub(crate) classes: usize,
    /// Whether some gradients are nowhere to be read.
    pub(crate) fused: bool,
    images: Images,
    labels: Vec<u8>,
}

impl Net {
    /// The recipe's batch size must not be larger than the data. Gradients can be read if updates are not fused.
    pub(crate) fn new(
        recipe: Recipe,
        (images, labels): (Images, Vec<u8>),
        classes: usize,
        target: Target,
        fuse_updates: bool,
    ) -> Self {
        let input = Shape { channels: 1, height: images.height, width: images.width };
        let layers = resolve(&recipe, input, classes).unwrap();
        assert!(recipe.training.batch_size <= images.count);
        let network = build(&Description {
            layers: &layers,
            input,
            classes,
            batch_size: recipe.training.batch_size,
            evaluation_batch_size: recipe.training.batch_size,
            images: images.count,
            rows: images.count,
            transform: recipe.data.scaling.transform(&images, 0..images.count),
            augment: &recipe.augment,
            loss: recipe.training.loss,
            optimizer: &recipe.optimizer,
            clip_norm: recipe.training.clip_norm,
            fuse_updates,
            target,
        });
        Self { recipe, layers, network, classes, fused: fuse_updates, images, labels }
    }

    /// A network on random pictures of `height` x `width`; `text` is a recipe without `name` and `training.epochs`.
    pub(crate) fn on_noise(
        text: &str,
        (count, height, width): (usize, usize, usize),
        classes: usize,
    ) -> Self {
        let stream = Stream::new(77, Purpose::Test, 0, 0);
        let pixels = (0..(count * height * width) as u32).map(|i| stream.below(i, 256) as u8).collect();
        let labels = (0..count as u32).map(|i| stream.below(1_000_000 + i, classes as u32) as u8).collect();
        let recipe = Recipe::from_toml(&format!("name = 'test'\ntraining.epochs = 1\n{text}"), "test");
        let images = Images::new("noise", count, height, width, pixels).unwrap();
        Self::new(recipe.unwrap(), (images, labels), classes, Target::Gpu(DeviceClass::Gpu), false)
    }

    pub(crate) fn reference(&self) -> ReferenceBackend<f64> {
        ReferenceBackend::new(&self.network.plan)
    }

    /// Images of an epoch.
    pub(crate) fn images(&self) -> usize {
        self.images.count
    }

    /// Images of a step.
    pub(crate) fn batch(&self) -> usize {
        self.recipe.training.batch_size
    }

    /// Puts the data and the learning rates in.
    pub(crate) fn load(&self, machine: &mut dyn Machine) {
        let mut bytes = self.images.pixels.clone();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        machine.write_words(self.network.images, bytemuck::cast_slice(&bytes));
        let labels: Vec<u32> = self.labels.iter().map(|&label| u32::from(label)).collect();
        machine.write_words(self.network.labels, &labels);
        let steps = self.images.count.div_ceil(self.batch()) as u64;
        let rates = (0..steps).flat_map(|step| {
            let base = self.recipe.optimizer.learning_rate();
            let rate = self.recipe.schedule.learning_rate(base, step, steps, steps);
            [rate, corrected_rate(&self.recipe.optimizer, rate, step)]
        });
        machine.write(self.network.schedule, &rates.collect::<Vec<_>>());
    }

    /// Prepares a feed for step `step` of the epoch.
    pub(crate) fn start(&self, machine: &mut dyn Machine, feed: &Feed, step: usize) {
        let rows = self.images.count;
        machine.write_words(feed.order, &(0..rows as u32).collect::<Vec<_>>());
        machine.write_words(feed.control, &control::start(step, step, rows, self.batch(), 0, 9));
    }

    /// Every tensor, with the number of its layer.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (usize, &ParameterPlace)> {
        let layers = self.layers.iter().flat_map(|layer| layer.parameters.iter().map(|_| layer.index));
        layers.zip(&self.network.parameters)
    }

    /// The loss of a step, reduced as the recipe says.
    pub(crate) fn loss(&self, machine: &mut dyn Machine, step: usize) -> f64 {
        let rows = self.batch().min(self.images.count - step * self.batch());
        let sum = machine.read(self.network.train_feed.losses)[step];
        sum / self.recipe.training.loss.divisor(rows, self.batch()) as f64
    }

    /// The logits of the first batch in evaluation, image by image.
    pub(crate) fn logits(&self, machine: &mut dyn Machine) -> Vec<f64> {
        use gpu_mnist::ops::LANES;
        self.start(machine, &self.network.evaluate_feed, 0);
        machine.run(self.network.evaluate);
        let raw = machine.read(self.network.logits);
        let of_image = |n: usize| {
            let first = n / LANES * self.classes * LANES + n % LANES;
            (0..self.classes).map(move |c| first + c * LANES)
        };
        (0..self.batch()).flat_map(of_image).map(|at| raw[at]).collect()
    }
}

/// The first images of MNIST's training set.
pub(crate) fn first_images(count: usize) -> (Images, Vec<u8>) {
    let mut data = gpu_mnist::data::DataSet::embedded().unwrap();
    data.limit(count).unwrap();
    (data.train.images, data.train.labels)
}
