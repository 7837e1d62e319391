//! One seed decides a run bit for bit: on the CPU on any number of threads, on one device and driver again and again.
//!
//! The full figure, 10 runs each of whole recipes, takes minutes: `cargo test --release --test determinism -- --ignored`.

mod common;

use common::any_adapter;
use gpu_mnist::backend::device::Device;
use gpu_mnist::backend::gpu::Checks;
use gpu_mnist::data::DataSet;
use gpu_mnist::recipe::Recipe;
use gpu_mnist::train::run::{Job, run};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// Trains and returns the `weights_sha256` of the result.
fn weights(recipe: &[&str], device: &[&str], variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
    command.args(["train", "-q", "--json", "--seed", "9", "--out"]).arg(folder.path().join("run"));
    command.args(recipe).args(device).envs(variables.iter().copied());
    let output = command.env_remove("GPU_MNIST_DATA_DIR").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let last = String::from_utf8(output.stdout).unwrap();
    let result: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    result["weights_sha256"].as_str().unwrap().to_owned()
}

/// Dropout, batch norm, convolution, momentum and clipping among them; batches are ragged.
const SMALL: &[&[&str]] = &[
    &["--recipe", "mlp-16-16", "--limit", "1000", "--epochs", "2"],
    &["--recipe", "cnn-16-36", "--limit", "700", "--epochs", "1", "--batch-size", "48"],
    &[
        "--recipe",
        "mlp-50x100",
        "--set",
        "layers.1.times=4",
        "--limit",
        "700",
        "--epochs",
        "1",
        "--set",
        "training.clip_norm=1",
    ],
];

/// Whole recipes, an epoch each, on all images.
const WHOLE: &[&[&str]] = &[
    &["--recipe", "mlp-128-128", "--epochs", "1"],
    &["--recipe", "cnn-16-36", "--epochs", "1"],
    &["--recipe", "mlp-50x100", "--epochs", "1"],
];

fn on_the_cpu(recipes: &[&[&str]], runs: usize) {
    for recipe in recipes {
        let threads = ["1", "2", "3", "5"].into_iter().cycle().take(runs);
        let all: Vec<String> = threads
            .map(|threads| weights(recipe, &["--backend", "cpu", "--threads", threads], &[]))
            .collect();
        let distinct: BTreeSet<&String> = all.iter().collect();
        println!("cpu {recipe:?}: {} runs, {} results, {}", all.len(), distinct.len(), all[0]);
        assert_eq!(distinct.len(), 1, "{recipe:?}: {all:?}");
    }
}

/// On lavapipe with one worker thread and two; other drivers ignore the variable.
fn on_the_gpu(recipes: &[&[&str]], runs: usize) {
    let Some(adapter) = any_adapter() else { return };
    let backend = adapter.info().backend.as_str();
    for recipe in recipes {
        let threads = ["1", "2"].into_iter().cycle().take(runs);
        let run = |threads| weights(recipe, &["--backend", backend], &[("LP_NUM_THREADS", threads)]);
        let all: Vec<String> = threads.map(run).collect();
        let distinct: BTreeSet<&String> = all.iter().collect();
        println!("{backend} {recipe:?}: {} runs, {} results, {}", all.len(), distinct.len(), all[0]);
        assert_eq!(distinct.len(), 1, "{recipe:?}: {all:?}");
    }
}

#[test]
fn the_cpu_repeats_itself_on_any_number_of_threads() {
    on_the_cpu(SMALL, 4);
}

#[test]
fn the_gpu_repeats_itself_on_any_number_of_driver_threads() {
    on_the_gpu(&SMALL[..2], 2);
}

/// Bounds checks change no result, and training runs with them too.
#[test]
fn checked_and_unchecked_kernels_train_to_the_same_bits() {
    let mut data = DataSet::embedded().unwrap();
    data.limit(320).unwrap();
    let mut recipe = Recipe::preset("cnn-16-36").unwrap();
    for change in ["layers.0.filters=3", "layers.2.filters=5", "training.epochs=1", "training.batch_size=48"]
    {
        recipe.apply_set(change).unwrap();
    }
    let train = |checks| {
        let device = Device::Gpu { adapter: Box::new(any_adapter()?), checks };
        let stop = AtomicBool::new(false);
        let job = Job {
            recipe: &recipe,
            data: &data,
            device: &device,
            seed: 4,
            initial: None,
            checkpoint: None,
            folder: None,
            log_every: 0,
            checkpoint_steps: 0,
            checkpoint_seconds: f64::INFINITY,
            stop: &stop,
        };
        Some(run(job, &mut ()).unwrap().summary.weights_sha256)
    };
    let (unchecked, checked) = (train(Checks::Off), train(Checks::On));
    println!("{unchecked:?}");
    assert_eq!(unchecked, checked);
}

#[test]
#[ignore = "takes minutes"]
fn the_cpu_repeats_itself_ten_times() {
    on_the_cpu(WHOLE, 10);
}

#[test]
#[ignore = "takes an hour on a software driver"]
fn the_gpu_repeats_itself_ten_times() {
    on_the_gpu(WHOLE, 10);
}

#[test]
#[ignore = "takes minutes on a software driver"]
fn the_gpu_repeats_small_runs_ten_times() {
    on_the_gpu(SMALL, 10);
}
