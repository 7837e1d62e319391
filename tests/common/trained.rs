//! Small trainings for tests that need a network which knows something.

use gpu_mnist::backend::device::Device;
use gpu_mnist::data::{DataSet, Images};
use gpu_mnist::recipe::{Overrides, Recipe};
use gpu_mnist::train::engine::{DeviceData, Engine};
use gpu_mnist::train::event::{Event, Observer};
use gpu_mnist::train::model::Model;
use gpu_mnist::train::run::{Job, run};
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

struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event) -> anyhow::Result<()> {
        Ok(())
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
    let model = run(job, &mut Silent).unwrap().model;
    Trained { model, data }
}
