//! Histograms of a run: right, the same on every device, and without any effect on the training.

mod common;

use common::devices;
use gpu_mnist::backend::device::Device;
use gpu_mnist::data::DataSet;
use gpu_mnist::plan::inspect::{BINS, Kind};
use gpu_mnist::plan::network::place_parameters;
use gpu_mnist::recipe::Recipe;
use gpu_mnist::train::engine::Weights;
use gpu_mnist::train::event::{Event, Observer};
use gpu_mnist::train::folder::{self, Folder};
use gpu_mnist::train::histograms::{self, LayerHistogram};
use gpu_mnist::train::run::{Job, Outcome, run};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes histograms, and may stop the training after an epoch.
struct Watcher<'a> {
    wants: bool,
    found: Vec<LayerHistogram>,
    stop_after: Option<usize>,
    stop: &'a AtomicBool,
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if let Event::Epoch(record) = event
            && Some(record.epoch) == self.stop_after
        {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn wants_histograms(&self) -> bool {
        self.wants
    }

    fn histograms(&mut self, found: &[LayerHistogram]) -> anyhow::Result<()> {
        self.found.extend_from_slice(found);
        Ok(())
    }
}

fn data(train: usize, test: usize) -> DataSet {
    let mut data = DataSet::embedded().unwrap();
    data.limit(train).unwrap();
    data.test.images.count = test;
    data.test.images.pixels.truncate(test * 784);
    data.test.labels.truncate(test);
    data
}

fn recipe(text: &str) -> Recipe {
    Recipe::from_toml(&format!("name = 'test'\n{text}"), "test").unwrap()
}

/// Every kind of layer, with a batch that does not divide the images.
const EVERYTHING: &str = "
training = { epochs = 2, batch_size = 48 }
data = { validation = 'none' }
optimizer = { name = 'adam' }
layers = [
    { type = 'conv2d', filters = 5, kernel = 3, padding = 'same', activation = 'relu' },
    { type = 'max_pool', size = 2 },
    { type = 'batch_norm' },
    { type = 'dropout', rate = 0.25 },
    { type = 'flatten' },
    { type = 'dense', units = 19, activation = 'tanh' },
    { type = 'batch_norm' },
    { type = 'activation', function = 'selu' },
    { type = 'dense', units = 'classes' },
]";

fn job<'a>(recipe: &'a Recipe, data: &'a DataSet, device: &'a Device, stop: &'a AtomicBool) -> Job<'a> {
    Job {
        recipe,
        data,
        device,
        seed: 3,
        initial: None,
        checkpoint: None,
        folder: None,
        log_every: 0,
        checkpoint_steps: 0,
        checkpoint_seconds: f64::INFINITY,
        stop,
    }
}

fn train(recipe: &Recipe, data: &DataSet, device: &Device, wants: bool) -> (Outcome, Vec<LayerHistogram>) {
    let stop = AtomicBool::new(false);
    let mut watcher = Watcher { wants, found: Vec::new(), stop_after: None, stop: &stop };
    let outcome = run(job(recipe, data, device, &stop), &mut watcher).unwrap();
    (outcome, watcher.found)
}

#[test]
fn training_is_the_same_to_the_bit_with_and_without() {
    let (recipe, data) = (recipe(EVERYTHING), data(300, 40));
    for (name, device) in devices() {
        let ((with, found), (without, none)) =
            (train(&recipe, &data, &device, true), train(&recipe, &data, &device, false));
        assert_eq!(with.summary.weights_sha256, without.summary.weights_sha256, "{name}");
        assert_eq!((&with.losses, &with.evaluation), (&without.losses, &without.evaluation), "{name}");
        assert!(none.is_empty() && !found.is_empty(), "{name}");
    }
}

#[test]
fn the_lines_are_those_of_every_layer_and_epoch() {
    let (recipe, data) = (recipe(EVERYTHING), data(300, 40));
    let (_, found) = train(&recipe, &data, &Device::Cpu { threads: 2 }, true);
    let names = |kind: Kind, epoch: usize| -> Vec<String> {
        let these = found.iter().filter(|one| one.kind == kind && one.epoch == epoch);
        these
            .map(|one| {
                if kind == Kind::Activation {
                    one.layer.clone()
                } else {
                    format!("{}.{}", one.layer, one.tensor)
                }
            })
            .collect()
    };
    let outputs = [
        "input",
        "conv2d",
        "max_pooling2d",
        "batch_normalization",
        "dense",
        "batch_normalization_1",
        "dense_1",
    ];
    let weights = [
        "conv2d.weight",
        "conv2d.bias",
        "batch_normalization.gamma",
        "batch_normalization.beta",
        "dense.weight",
        "dense.bias",
        "batch_normalization_1.gamma",
        "batch_normalization_1.beta",
        "dense_1.weight",
        "dense_1.bias",
    ];
    for epoch in 0..=2 {
        assert_eq!(names(Kind::Activation, epoch), outputs);
        assert_eq!(names(Kind::Weight, epoch), weights);
        assert_eq!(names(Kind::Gradient, epoch), weights);
    }
    for one in &found {
        let histogram = &one.histogram;
        let values = match (one.kind, one.layer.as_str()) {
            (Kind::Activation, "input") => 300 * 784,
            (Kind::Activation, "conv2d") => 300 * 5 * 784,
            (Kind::Activation, "dense") => 300 * 19,
            _ => histogram.total(),
        };
        // Every value is in a bin, padding and the images past the end are not.
        assert_eq!(
            (histogram.total(), histogram.not_finite, histogram.counts.len()),
            (values, 0, BINS),
            "{one:?}"
        );
        assert!(
            histogram.counts[0] > 0 && histogram.counts[BINS - 1] > 0
                || histogram.high - histogram.low == 1.0
        );
        assert_eq!(one.dead.is_some(), one.kind == Kind::Activation && one.layer != "input");
    }
    let first = &found[0].histogram;
    let pixels: Vec<f32> = data.train.images.pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let expected = histograms::expected(&pixels);
    assert_eq!((first.low, first.high), (expected.low, expected.high));
    // 784 pixels of 16 images are 49 sums of 256 numbers that are not negative, and there are 19 blocks: no number goes
    // through more roundings of an addition than that, and then there are a difference, a product and a quotient.
    let roundings = f64::from(256 + 49 * 19 + 3) * f64::from(f32::EPSILON) / 2.0;
    assert!(
        (first.mean - expected.mean).abs() <= roundings * expected.mean,
        "{} {}",
        first.mean,
        expected.mean
    );
    let error = (first.deviation - expected.deviation).abs();
    assert!(error <= roundings * expected.deviation, "{} {}", first.deviation, expected.deviation);
}

/// The values of a layer's weights, from the model at the end.
fn weights_of(outcome: &Outcome, layer: &str) -> Vec<f32> {
    let places = place_parameters(&outcome.model.layers().unwrap());
    let place = places.iter().find(|place| place.layer == layer && place.name == "weight").unwrap();
    outcome.model.weights.of(place).to_vec()
}

#[test]
fn weights_are_counted_between_the_edges_on_every_device() {
    let (recipe, data) = (recipe(EVERYTHING), data(300, 40));
    for (name, device) in devices() {
        let (outcome, found) = train(&recipe, &data, &device, true);
        for layer in ["conv2d", "dense", "dense_1"] {
            let values = weights_of(&outcome, layer);
            let (low, high) =
                values.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
            let edge = |i: usize| {
                let share = i as f64 / BINS as f64;
                (f64::from(low) * (1.0 - share) + f64::from(high) * share) as f32
            };
            let in_bin = |bin: usize, x: f32| edge(bin) <= x && (x < edge(bin + 1) || bin + 1 == BINS);
            let counts: Vec<u64> =
                (0..BINS).map(|bin| values.iter().filter(|&&x| in_bin(bin, x)).count() as u64).collect();
            let one = found
                .iter()
                .rfind(|one| one.kind == Kind::Weight && one.layer == layer && one.tensor == "weight");
            let histogram = &one.unwrap().histogram;
            assert_eq!((histogram.low, histogram.high), (f64::from(low), f64::from(high)), "{name} {layer}");
            assert_eq!(histogram.counts, counts, "{name} {layer}");
        }
    }
}

/// One step of gradient descent at rate 1 over all images: what the weights lose is the gradient of those images.
#[test]
fn gradients_are_those_that_training_follows() {
    let recipe = recipe(
        "training = { epochs = 1, batch_size = 300 }
         data = { validation = 'none' }
         optimizer = { name = 'sgd', learning_rate = 1.0 }
         layers = [{ type = 'conv2d', filters = 3, kernel = 3, activation = 'tanh' }, { type = 'max_pool', size = 2 },
             { type = 'flatten' }, { type = 'dense', units = 12, activation = 'tanh' },
             { type = 'batch_norm' }, { type = 'dense', units = 'classes' }]",
    );
    let data = data(300, 40);
    for (name, device) in devices() {
        let (_, found) = train(&recipe, &data, &device, true);
        let mean = |kind: Kind, epoch: usize, layer: &str, tensor: &str| {
            let one = found.iter().find(|one| {
                (one.kind, one.epoch, one.layer.as_str(), one.tensor.as_str()) == (kind, epoch, layer, tensor)
            });
            let histogram = &one.unwrap().histogram;
            (histogram.mean, histogram.low.abs().max(histogram.high.abs()))
        };
        for (layer, tensor) in [
            ("conv2d", "weight"),
            ("conv2d", "bias"),
            ("dense", "weight"),
            ("dense", "bias"),
            ("batch_normalization", "gamma"),
            ("dense_1", "weight"),
        ] {
            let (before, largest) = mean(Kind::Weight, 0, layer, tensor);
            let (after, _) = mean(Kind::Weight, 1, layer, tensor);
            let (gradient, steepest) = mean(Kind::Gradient, 0, layer, tensor);
            // Each of the three is rounded to f32, and so are the sums that means are made of.
            let allowed = 64.0 * f64::from(f32::EPSILON) * (largest + steepest);
            let error = (before - after - gradient).abs();
            assert!(
                error <= allowed,
                "{name} {layer}.{tensor}: {before} - {after} is not {gradient}: {error} > {allowed}"
            );
            assert!(steepest > 0.0, "{name} {layer}.{tensor}");
        }
    }
}

#[test]
fn dead_units_are_those_that_are_zero_for_every_image() {
    let recipe = recipe(
        "training = { epochs = 1, batch_size = 300 }
         data = { validation = 'none' }
         optimizer = { name = 'sgd', learning_rate = 0.0 }
         layers = [{ type = 'flatten' }, { type = 'dense', units = 16, activation = 'relu' }, { type = 'dense', units = 'classes' }]",
    );
    let data = data(300, 40);
    let layers = gpu_mnist::layers::resolve(
        &recipe,
        gpu_mnist::layers::Shape { channels: 1, height: 28, width: 28 },
        data.classes,
    )
    .unwrap();
    let places = place_parameters(&layers);
    let mut weights = Weights::zeros(&places);
    // Unit u puts out its bias: below zero for four units, above for the others.
    for place in places.iter().filter(|place| place.layer == "dense" && place.name == "bias") {
        for (unit, bias) in weights.of_mut(place).iter_mut().enumerate() {
            *bias = if unit < 4 { -1.0 } else { 0.5 };
        }
    }
    for (name, device) in devices() {
        let stop = AtomicBool::new(false);
        let mut watcher = Watcher { wants: true, found: Vec::new(), stop_after: None, stop: &stop };
        let job = Job { initial: Some(weights.clone()), ..job(&recipe, &data, &device, &stop) };
        run(job, &mut watcher).unwrap();
        let one =
            watcher.found.iter().find(|one| one.kind == Kind::Activation && one.layer == "dense").unwrap();
        assert_eq!(one.dead, Some(0.25), "{name}");
        assert!((one.histogram.mean - 0.375).abs() < 1e-7, "{name}: {}", one.histogram.mean);
    }
}

#[test]
fn a_run_that_is_taken_up_again_has_the_same_lines() {
    let (recipe, data) = (recipe(&EVERYTHING.replace("epochs = 2", "epochs = 4")), data(300, 40));
    let device = Device::Cpu { threads: 2 };
    let parent = tempfile::tempdir().unwrap();
    let text =
        |name: &str| std::fs::read_to_string(parent.path().join(name).join(histograms::HISTOGRAMS)).unwrap();
    let make = |name: &str| {
        let event = gpu_mnist::train::event::DeviceEvent::from(&device.info());
        let record = folder::record(&data, "mnist", Some(300), None, 3, event);
        Folder::create(&parent.path().join(name), &recipe, &record).unwrap()
    };
    let stop = AtomicBool::new(false);
    let watch = |folder: &Folder, checkpoint, stop_after| {
        stop.store(false, Ordering::Relaxed);
        let mut watcher = Watcher { wants: true, found: Vec::new(), stop_after, stop: &stop };
        run(Job { folder: Some(folder), checkpoint, ..job(&recipe, &data, &device, &stop) }, &mut watcher)
    };
    watch(&make("whole"), None, None).unwrap();
    let folder = make("stopped");
    let Err(error) = watch(&folder, None, Some(2)) else { panic!("was not stopped") };
    assert_eq!(gpu_mnist::error::exit_code(&error), 130);
    // As if it had been killed in the middle of a line of an epoch that it had no checkpoint of.
    let kept = text("stopped");
    let line = kept.lines().last().unwrap().replace("\"epoch\":2", "\"epoch\":3");
    std::fs::write(folder.path().join(histograms::HISTOGRAMS), format!("{kept}{line}\n{}", &line[..40]))
        .unwrap();
    watch(&folder, folder.checkpoint().unwrap(), None).unwrap();
    assert!(text("whole") == text("stopped"), "the lines differ");
    let epochs: Vec<usize> = histograms::read(folder.path()).unwrap().iter().map(|one| one.epoch).collect();
    assert!(epochs.is_sorted() && epochs.last() == Some(&4));
}

#[test]
fn a_line_that_is_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(histograms::read(Path::new("/nonexistent")).unwrap().is_empty());
    std::fs::write(folder.path().join(histograms::HISTOGRAMS), "{\"schema\":1}\n").unwrap();
    let error = histograms::read(folder.path()).unwrap_err();
    assert_eq!(gpu_mnist::error::exit_code(&error), 4);
    assert!(error.to_string().contains("line 1 is no histogram"), "{error}");
}
