//! Small trainings for tests that need a network which knows something.
#![allow(dead_code, reason = "no test uses everything")]

use gpu_mnist::backend::device::Device;
use gpu_mnist::data::{DataSet, Images};
use gpu_mnist::ops::{LANES, control};
use gpu_mnist::plan::network::{self, Description, Target};
use gpu_mnist::recipe::{Overrides, Recipe};
use gpu_mnist::train::engine::{DeviceData, Engine};
use gpu_mnist::train::model::Model;
use gpu_mnist::train::run::{Job, run};
use gpu_mnist::verify::reference::ReferenceBackend;
use std::sync::atomic::AtomicBool;

/// A network, and what it was trained on.
pub(crate) struct Trained {
    pub(crate) model: Model,
    pub(crate) data: DataSet,
}

impl Trained {
    /// Logits of the first test images, on the CPU backend.
    pub(crate) fn logits(&self, images: usize) -> Vec<Vec<f32>> {
        let test = &self.data.test.images;
        let rows =
            Images::new("rows", images, test.height, test.width, test.rows(0..images).to_vec()).unwrap();
        let (layers, device) = (self.model.layers().unwrap(), Device::Cpu { threads: 2 });
        let data = DeviceData::of_images(&rows, &[]);
        let Model { recipe, classes, transform, weights, .. } = &self.model;
        let mut engine = Engine::new(recipe, &layers, *classes, *transform, &data, &device).unwrap();
        engine.set_weights(weights).unwrap();
        engine.logits(&(0..images as u32).collect::<Vec<_>>(), *classes).unwrap()
    }
}

impl Trained {
    /// The same by the formulas in f64.
    pub(crate) fn exact_logits(&self, images: usize) -> Vec<f64> {
        let Model { recipe, classes, transform, weights, input, .. } = &self.model;
        let layers = self.model.layers().unwrap();
        let network = network::build(&Description {
            layers: &layers,
            input: *input,
            classes: *classes,
            batch_size: images,
            evaluation_batch_size: images,
            images,
            rows: images,
            transform: *transform,
            augment: &recipe.augment,
            loss: recipe.training.loss,
            optimizer: &recipe.optimizer,
            clip_norm: 0.0,
            fuse_updates: true,
            target: Target::Cpu,
        });
        let mut exact = ReferenceBackend::<f64>::new(&network.plan);
        let bytes = self.data.test.images.rows(0..images);
        let words = bytes.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word));
        exact.words(network.images).iter_mut().zip(words).for_each(|(to, word)| *to = word);
        exact.words(network.evaluate_feed.order).copy_from_slice(&(0..images as u32).collect::<Vec<_>>());
        let control = control::start(0, 0, images, images, 0, 0);
        exact.words(network.evaluate_feed.control).copy_from_slice(&control);
        let shared = network.shared;
        for (buffer, values) in
            [(shared.parameters, &weights.parameters), (shared.statistics, &weights.statistics)]
        {
            exact.numbers(buffer).iter_mut().zip(values).for_each(|(to, &value)| *to = f64::from(value));
        }
        exact.run(network.evaluate);
        let raw = exact.numbers(network.logits);
        let place = |n: usize, c: usize| (n / LANES * classes + c) * LANES + n % LANES;
        (0..images * classes).map(|i| raw[place(i / classes, i % classes)]).collect()
    }
}

/// One epoch on 3,000 images, on the CPU.
pub(crate) fn trained(recipe: &str, changes: Overrides) -> Trained {
    trained_on(3000, recipe, changes)
}

/// One epoch on the first training images, on the CPU.
pub(crate) fn trained_on(images: usize, recipe: &str, changes: Overrides) -> Trained {
    let mut recipe = Recipe::preset(recipe).unwrap();
    recipe.apply(&Overrides { epochs: Some(1), ..changes }).unwrap();
    let mut data = DataSet::load("mnist").unwrap();
    data.limit(images).unwrap();
    let device = Device::Cpu { threads: 2 };
    let job = Job {
        recipe: &recipe,
        data: &data,
        device: &device,
        seed: 1,
        initial: None,
        checkpoint: None,
        folder: None,
        log_every: 0,
        checkpoint_steps: 0,
        checkpoint_seconds: 1e9,
        stop: &AtomicBool::new(false),
    };
    let model = run(job, &mut ()).unwrap().model;
    Trained { model, data }
}
