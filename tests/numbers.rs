//! Numbers that are not finite are found within one logging interval, by step and layer, on every backend.

mod common;

use common::devices;
use gpu_mnist::data::DataSet;
use gpu_mnist::error::{Error, exit_code};
use gpu_mnist::layers::{self, Shape};
use gpu_mnist::plan::network::place_parameters;
use gpu_mnist::recipe::Recipe;
use gpu_mnist::train::engine::Weights;
use gpu_mnist::train::event::{DeviceEvent, Event, Observer};
use gpu_mnist::train::folder::{CHECKPOINT, Folder, record};
use gpu_mnist::train::run::{Job, Outcome, run};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Remembers the last step that was reported.
#[derive(Default)]
struct LastStep(usize);

impl Observer for LastStep {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if let Event::Step { step, .. } = event {
            self.0 = *step;
        }
        Ok(())
    }
}

fn mnist(limit: usize) -> DataSet {
    let mut data = DataSet::embedded().unwrap();
    data.limit(limit).unwrap();
    data
}

fn recipe(name: &str, changes: &[&str]) -> Recipe {
    let mut recipe = Recipe::preset(name).unwrap();
    changes.iter().for_each(|change| recipe.apply_set(change).unwrap());
    recipe
}

/// Trains in a folder with a `step` event every 5 steps.
fn train(
    recipe: &Recipe,
    data: &DataSet,
    device: &gpu_mnist::backend::device::Device,
    initial: Option<Weights>,
    path: &Path,
) -> (anyhow::Result<Outcome>, usize) {
    let info = DeviceEvent::from(&device.info());
    let folder = Folder::create(path, recipe, &record(data, "mnist", None, None, 1, info)).unwrap();
    let (stop, mut last) = (AtomicBool::new(false), LastStep::default());
    let job = Job {
        recipe,
        data,
        device,
        seed: 1,
        initial,
        checkpoint: None,
        folder: Some(&folder),
        log_every: 5,
        checkpoint_steps: 5,
        checkpoint_seconds: f64::INFINITY,
        stop: &stop,
    };
    (run(job, &mut last), last.0)
}

/// The number behind these words.
fn number_after(text: &str, words: &str) -> usize {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("{text:?} lacks {words:?}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_huge_learning_rate_ends_the_run_within_an_interval() {
    let data = mnist(1600);
    for (name, device) in devices() {
        for (preset, rate) in [("mlp-128-128", "1e30"), ("mlp-50x100", "1e20"), ("cnn-16-36", "1e25")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run");
            let rate = format!("optimizer.learning_rate={rate}");
            let recipe = recipe(
                preset,
                &[&rate, "training.epochs=2", "training.batch_size=32", "data.scaling=\"unit\""],
            );
            let (outcome, last) = train(&recipe, &data, &device, None, &path);
            let error = outcome.err().unwrap_or_else(|| panic!("{name}, {preset}: did not diverge"));
            let message = format!("{error:#}");
            println!("{name}, {preset}: {message}");
            assert_eq!(exit_code(&error), 5, "{message}");
            assert!(message.contains("of layer "), "{message}");
            let step = number_after(&message, "step ");
            assert!(step > last && step <= last + 5, "reported after step {last}: {message}");
            // What is kept, if anything was before, is finite.
            if path.join(CHECKPOINT).exists() {
                let checkpoint = Folder::open(&path).unwrap().0.checkpoint().unwrap().unwrap();
                assert!(
                    checkpoint.weights.parameters.iter().chain(&checkpoint.losses).all(|x| x.is_finite())
                );
                assert!(message.contains("checkpoint is kept"), "{message}");
            }
        }
    }
}

/// A rate that grows from a good one: the run diverges after checkpoints, the last of which is kept and finite.
#[test]
fn the_last_finite_checkpoint_is_kept() {
    let data = mnist(1600);
    for (name, device) in devices() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let changes = [
            "optimizer.learning_rate=0.001",
            "training.epochs=4",
            "training.batch_size=32",
            "schedule={ kind = \"exponential\", decay = 1e30 }",
        ];
        let recipe = recipe("mlp-128-128", &changes);
        let (outcome, _) = train(&recipe, &data, &device, None, &path);
        let message = format!("{:#}", outcome.err().unwrap_or_else(|| panic!("{name}: did not diverge")));
        println!("{name}: {message}");
        assert!(message.contains("The last finite checkpoint is kept in"), "{message}");
        let checkpoint = Folder::open(&path).unwrap().0.checkpoint().unwrap().unwrap();
        let step = number_after(&message, "step ");
        assert!(
            checkpoint.progress.global_step < step && checkpoint.progress.global_step + 5 >= step,
            "{message}"
        );
        assert!(checkpoint.moments.iter().flatten().all(|x| x.is_finite()));
    }
}

/// Training does not read running statistics, so its losses stay finite whatever they hold.
#[test]
fn a_number_that_no_loss_shows_is_found() {
    let data = mnist(320);
    let recipe = recipe("mlp-50x100", &["layers.1.times=2", "training.epochs=1", "training.batch_size=32"]);
    let layers = layers::resolve(&recipe, Shape { channels: 1, height: 28, width: 28 }, 10).unwrap();
    let places = place_parameters(&layers);
    for (name, device) in devices() {
        let folder = tempfile::tempdir().unwrap();
        let mut weights = Weights::initial(&layers, &places, 1);
        let mean = places.iter().rfind(|place| place.name == "running_mean").unwrap();
        weights.of_mut(mean)[3] = f32::INFINITY;
        let (outcome, _) = train(&recipe, &data, &device, Some(weights), &folder.path().join("run"));
        let error = outcome.err().unwrap_or_else(|| panic!("{name}: did not notice"));
        assert!(matches!(error.downcast_ref(), Some(Error::Diverged(_))), "{error:#}");
        let message = format!("{error:#}");
        println!("{name}: {message}");
        let says = format!(
            "after step 5 the network is not finite: the running_mean of layer {}: number 3 is inf",
            mean.layer
        );
        assert!(message.contains(&says), "{message}");
    }
}

#[test]
fn clipping_by_norm_keeps_a_run_finite_that_would_diverge() {
    let data = mnist(640);
    let base = [
        "optimizer.name=\"sgd\"",
        "optimizer.learning_rate=1000.0",
        "training.epochs=1",
        "data.scaling=\"raw\"",
    ];
    for (name, device) in devices() {
        for (clip, diverges) in [("training.clip_norm=0.0", true), ("training.clip_norm=1e-6", false)] {
            let folder = tempfile::tempdir().unwrap();
            let recipe = recipe("mlp-128-128", &[&base[..], &[clip]].concat());
            let (outcome, _) = train(&recipe, &data, &device, None, &folder.path().join("run"));
            assert_eq!(outcome.is_err(), diverges, "{name}, {clip}");
        }
    }
}
