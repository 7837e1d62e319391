//! Whole training steps of two recipes, in images a second. `GPU_MNIST_BACKEND=gpu cargo bench --bench steps` runs them on
//! a GPU.

mod common;

use common::{RECIPES, Setting};
use criterion::{Criterion, Throughput};
use gpu_mnist::bench::steps::Runner;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let setting = Setting::new();
    let mut group = criterion.benchmark_group("step");
    for recipe in RECIPES {
        let recipe = gpu_mnist::recipe::Recipe::preset(recipe).unwrap();
        let mut runner = Runner::new(&setting.subject(&recipe)).unwrap();
        group.throughput(Throughput::Elements(runner.batch_size() as u64));
        group.bench_function(&recipe.name, |bencher| {
            bencher.iter_custom(|times| runner.time(times as usize).unwrap());
        });
    }
    group.finish();
    criterion.final_summary();
}
