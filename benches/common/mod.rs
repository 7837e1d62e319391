//! The device and the data of the benchmarks.

use gpu_mnist::backend::cpu::default_threads;
use gpu_mnist::backend::device::{Device, Wanted};
use gpu_mnist::backend::gpu::Api;
use gpu_mnist::bench::Subject;
use gpu_mnist::data::DataSet;
use gpu_mnist::recipe::Recipe;
use gpu_mnist::train::engine::DeviceData;

/// One dense network and one convolutional; `gpu-mnist bench` measures all recipes.
pub(crate) const RECIPES: [&str; 2] = ["mlp-128-128", "cnn-16-36"];

/// The device and the data.
pub(crate) struct Setting {
    data: DataSet,
    device_data: DeviceData,
    device: Device,
}

impl Setting {
    /// The CPU backend on all processors, or a GPU where `GPU_MNIST_BACKEND=gpu` asks for one.
    pub(crate) fn new() -> Self {
        let data = DataSet::embedded().unwrap();
        let device = match std::env::var("GPU_MNIST_BACKEND").as_deref() {
            Ok("gpu") => Device::find(Wanted::Gpu(Api::Any), None, None).unwrap().0,
            _ => Device::Cpu { threads: default_threads() },
        };
        Self { device_data: DeviceData::of(&data), data, device }
    }

    /// A recipe on them.
    pub(crate) fn subject<'a>(&'a self, recipe: &'a Recipe) -> Subject<'a> {
        Subject { recipe, data: &self.data, device_data: &self.device_data, device: &self.device }
    }
}
