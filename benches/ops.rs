//! Each op at the shapes of two recipes. `GPU_MNIST_BACKEND=gpu cargo bench --bench ops` runs them on a GPU.

mod common;

use common::{RECIPES, Setting};
use criterion::{BenchmarkId, Criterion, Throughput};
use gpu_mnist::bench::stage::Stage;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let setting = Setting::new();
    for recipe in RECIPES {
        let recipe = gpu_mnist::recipe::Recipe::preset(recipe).unwrap();
        let mut stage = Stage::new(&setting.subject(&recipe)).unwrap();
        let mut group = criterion.benchmark_group(&recipe.name);
        for index in 0..stage.calls.len() {
            let call = &stage.calls[index].call;
            let id = BenchmarkId::new(call.op.name(), &call.place);
            group.throughput(Throughput::Elements(call.cost().flops));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|times| stage.time(index, times as usize).unwrap());
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
