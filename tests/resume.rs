//! A run that is stopped and taken up again is the run that was never stopped: weights, history and losses, bit for bit, after
//! a stop at any step.

mod common;

use common::devices;
use gpu_mnist::backend::device::Device;
use gpu_mnist::data::{DataSet, Images, Split};
use gpu_mnist::error::exit_code;
use gpu_mnist::recipe::Recipe;
use gpu_mnist::rng::{Purpose, Stream};
use gpu_mnist::train::event::{DeviceEvent, Event, Observer};
use gpu_mnist::train::folder::{CHECKPOINT, Folder, HISTORY, MODEL, STEPS, record};
use gpu_mnist::train::run::{Job, run};
use gpu_mnist::train::state::Checkpoint;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Random stops of each recipe on each device.
const STOPS: u32 = 20;
const SEED: u64 = 5;

/// 150 noisy pictures of 8x8 in 4 classes; with batches of 16, an epoch has 10 steps and the last is ragged.
fn data() -> DataSet {
    let stream = Stream::new(1, Purpose::Test, 0, 0);
    let split = |count: usize, first: u32| {
        let labels: Vec<u8> = (0..count as u32).map(|i| stream.below(first + i, 4) as u8).collect();
        let pixel = |i: u32| stream.below(first + 10_000 + i, 100) as u8 + 50 * labels[i as usize / 64];
        let pixels = (0..64 * count as u32).map(pixel).collect();
        Split::new("noise", Images::new("noise", count, 8, 8, pixels).unwrap(), labels).unwrap()
    };
    DataSet::new("noise", split(150, 0), split(40, 1_000_000), Vec::new()).unwrap()
}

/// Everything that keeps a state of its own: dropout, momentum or moments, running statistics, a schedule, early stopping,
/// and the best weights.
fn recipes() -> Vec<Recipe> {
    let tail = "data = { validation = 'split', validation_split = 0.1 }\n\
                schedule = { kind = 'cosine', warmup_steps = 4 }\n";
    let dense = "{ type = 'dense', units = 'classes' }]\n";
    let texts = [
        format!(
            "name = 'momentum'\nlayers = [{{ type = 'dense', units = 20, activation = 'relu' }}, {{ type = 'dropout', \
             rate = 0.3 }}, {{ type = 'batch_norm' }}, {dense}{tail}\
             optimizer = {{ name = 'sgd', learning_rate = 0.05, momentum = 0.9, nesterov = true }}\n\
             training = {{ batch_size = 16, epochs = 4, keep_best = true }}\n"
        ),
        format!(
            "name = 'moments'\nlayers = [{{ type = 'conv2d', filters = 5, kernel = 3, activation = 'relu' }}, \
             {{ type = 'max_pool', size = 2 }}, {{ type = 'flatten' }}, {{ type = 'dropout', rate = 0.4 }}, {dense}{tail}\
             optimizer = {{ name = 'adam', learning_rate = 0.02 }}\n\
             training = {{ batch_size = 16, steps = 33, clip_norm = 0.5, early_stopping = {{ patience = 3 }} }}\n"
        ),
    ];
    texts.iter().map(|text| Recipe::from_toml(text, "test").unwrap()).collect()
}

/// Stops the run when a step has been logged.
struct StopAt<'a> {
    step: usize,
    stop: &'a AtomicBool,
}

impl Observer for StopAt<'_> {
    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        if matches!(event, Event::Step { step, .. } if *step >= self.step) {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Trains in `folder`, from its checkpoint if it has one, and stops after `stop_at` steps. Returns whether it was stopped.
fn train(
    path: &Path,
    recipe: &Recipe,
    device: &Device,
    data: &DataSet,
    stop_at: usize,
    every: usize,
) -> bool {
    let stop = AtomicBool::new(stop_at == 0);
    let folder = if path.join(CHECKPOINT).exists() {
        let (folder, taken, _) = Folder::take_up(path).unwrap();
        assert_eq!(*taken, **recipe, "the folder has the whole recipe");
        folder
    } else {
        let record = record(data, "noise", None, None, SEED, DeviceEvent::from(&device.info()));
        Folder::create(path, recipe, &record).unwrap()
    };
    let job = Job {
        recipe,
        data,
        device,
        seed: SEED,
        initial: None,
        checkpoint: folder.checkpoint().unwrap(),
        folder: Some(&folder),
        log_every: usize::from(stop_at < usize::MAX),
        checkpoint_steps: every,
        checkpoint_seconds: f64::INFINITY,
        stop: &stop,
    };
    match run(job, &mut StopAt { step: stop_at, stop: &stop }) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(exit_code(&error), 130, "{error:#}");
            true
        }
    }
}

fn files(path: &Path) -> [Vec<u8>; 3] {
    [MODEL, HISTORY, STEPS].map(|file| std::fs::read(path.join(file)).unwrap())
}

#[test]
fn a_run_stopped_at_any_step_ends_with_the_same_bytes() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    for (name, device) in devices() {
        for recipe in recipes() {
            let path = |stop: &str| folder.path().join(format!("{name}-{}-{stop}", recipe.name));
            assert!(!train(&path("whole"), &recipe, &device, &data, usize::MAX, 0));
            let whole = files(&path("whole"));
            let steps = String::from_utf8_lossy(&whole[2]).lines().count() - 1;
            assert!(steps > 20, "{name}, {}: {steps} steps", recipe.name);
            let stream = Stream::new(2, Purpose::Test, 0, 0);
            let mut within = 0;
            for i in 0..STOPS {
                let first = stream.below(2 * i, steps as u32) as usize;
                // Sometimes it is stopped once more.
                let second = first + stream.below(2 * i + 1, 2 * (steps - first) as u32) as usize;
                let stopped = path(&format!("{i}"));
                assert!(train(&stopped, &recipe, &device, &data, first, 0), "stop at {first} of {steps}");
                let at = Checkpoint::load(&stopped.join(CHECKPOINT)).unwrap().progress;
                assert_eq!(at.global_step, first);
                within += usize::from(at.step > 0);
                if train(&stopped, &recipe, &device, &data, second, 3) {
                    assert!(!train(&stopped, &recipe, &device, &data, usize::MAX, 0));
                }
                let differs = files(&stopped) != whole;
                assert!(!differs, "{name}, {}: stopped at {first} and {second} of {steps}", recipe.name);
            }
            println!("{name}, {}: {STOPS} stops, {within} within an epoch, all the same", recipe.name);
            assert!(within >= 15, "{within} stops within an epoch");
        }
    }
}

/// The state must matter: a run that goes on from a changed one ends elsewhere.
#[test]
fn every_part_of_a_checkpoint_matters() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let device = Device::Cpu { threads: 1 };
    let recipe = &recipes()[0];
    assert!(!train(&folder.path().join("whole"), recipe, &device, &data, usize::MAX, 0));
    let whole = files(&folder.path().join("whole"));
    type Change = fn(&mut Checkpoint);
    let changes: [(&str, Change); 5] = [
        ("nothing", |_| ()),
        ("parameters", |c| c.weights.parameters[3] += 0.5),
        ("statistics", |c| c.weights.statistics.iter_mut().for_each(|value| *value += 0.5)),
        ("moments", |c| c.moments[0].iter_mut().for_each(|value| *value += 0.1)),
        ("losses", |c| c.losses[2] += 0.5),
    ];
    for (name, change) in changes {
        let path = folder.path().join(name);
        assert!(train(&path, recipe, &device, &data, 13, 0));
        let mut checkpoint = Checkpoint::load(&path.join(CHECKPOINT)).unwrap();
        change(&mut checkpoint);
        std::fs::write(path.join(CHECKPOINT), checkpoint.to_bytes().unwrap()).unwrap();
        assert!(!train(&path, recipe, &device, &data, usize::MAX, 0));
        assert_eq!(files(&path) == whole, name == "nothing", "{name}");
    }
}

#[test]
fn cpu_runs_go_on_with_another_number_of_threads() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    for recipe in recipes() {
        let path = |name: &str| folder.path().join(format!("{}-{name}", recipe.name));
        assert!(!train(&path("whole"), &recipe, &Device::Cpu { threads: 1 }, &data, usize::MAX, 0));
        assert!(train(&path("moved"), &recipe, &Device::Cpu { threads: 3 }, &data, 14, 0));
        assert!(!train(&path("moved"), &recipe, &Device::Cpu { threads: 2 }, &data, usize::MAX, 0));
        assert!(files(&path("whole")) == files(&path("moved")), "{}", recipe.name);
    }
}

/// Between two checkpoints there are never more steps than asked for, also after a run was taken up.
#[test]
fn checkpoints_come_as_often_as_asked_for() {
    struct Watch<'a> {
        path: &'a Path,
        every: usize,
        stop: &'a AtomicBool,
        stop_at: usize,
        seen: usize,
    }
    impl Observer for Watch<'_> {
        fn event(&mut self, event: &Event) -> anyhow::Result<()> {
            if let Event::Step { step, .. } = event {
                let saved = match self.path.join(CHECKPOINT).exists() {
                    true => Checkpoint::load(&self.path.join(CHECKPOINT))?.progress.global_step,
                    false => 0,
                };
                assert!(step - saved <= self.every, "step {step}, saved at {saved}");
                self.seen += 1;
                if *step == self.stop_at {
                    self.stop.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        }
    }
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let recipe = &recipes()[0];
    let device = Device::Cpu { threads: 1 };
    let record = record(&data, "noise", None, None, SEED, DeviceEvent::from(&device.info()));
    let folder = Folder::create(&path, recipe, &record).unwrap();
    let mut seen = 0;
    for stop_at in [12, 25, usize::MAX] {
        let stop = AtomicBool::new(false);
        let job = Job {
            recipe,
            data: &data,
            device: &device,
            seed: SEED,
            initial: None,
            checkpoint: folder.checkpoint().unwrap(),
            folder: Some(&folder),
            log_every: 1,
            checkpoint_steps: 4,
            checkpoint_seconds: f64::INFINITY,
            stop: &stop,
        };
        let mut watch = Watch { path: &path, every: 4, stop: &stop, stop_at, seen: 0 };
        assert_eq!(run(job, &mut watch).is_err(), stop_at < usize::MAX);
        seen += watch.seen;
    }
    assert_eq!(seen, 36);
}

#[test]
fn two_processes_cannot_train_in_one_folder() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let recipe = &recipes()[0];
    let record =
        record(&data, "noise", None, None, SEED, DeviceEvent::from(&Device::Cpu { threads: 1 }.info()));
    let first = Folder::create(folder.path(), recipe, &record).unwrap();
    if cfg!(unix) {
        let error = Folder::take_up(folder.path()).expect_err("is in use");
        assert!(error.to_string().contains("another process is training"), "{error:#}");
        assert_eq!(exit_code(&error), 2);
    }
    // Reading is not training.
    Folder::open(folder.path()).unwrap();
    drop(first);
    Folder::take_up(folder.path()).unwrap();
}
