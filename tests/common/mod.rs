//! What several tests share.
#![allow(dead_code, reason = "no test uses everything")]

pub(crate) mod network;
pub(crate) mod program;
pub(crate) mod tensorboard;

use gpu_mnist::backend::device::Device;
use gpu_mnist::backend::gpu::Checks;
use gpu_mnist::backend::gpu::adapter::{self, Api, Selection};

/// The adapter under test, or `None` where there is none and none is required. `GPU_MNIST_BACKEND` chooses the API (`gl`,
/// `vulkan`; any without it), and `GPU_MNIST_GPU=require` makes the absence of an adapter a failure.
pub(crate) fn any_adapter() -> Option<adapter::Adapter> {
    let api = match std::env::var("GPU_MNIST_BACKEND").as_deref() {
        Ok("gl") => Api::Gl,
        Ok("vulkan") => Api::Vulkan,
        Ok("metal") => Api::Metal,
        Ok("dx12") => Api::Dx12,
        _ => Api::Any,
    };
    match adapter::choose(&Selection { api, adapter: None }) {
        Ok(adapter) => Some(adapter),
        Err(error) if std::env::var("GPU_MNIST_GPU").as_deref() == Ok("require") => panic!("{error}"),
        Err(error) => {
            println!("SKIPPED, no GPU: {error}");
            None
        }
    }
}

/// The CPU backend on two threads and, where there is one, the GPU, each with its name.
pub(crate) fn devices() -> Vec<(String, Device)> {
    let mut devices = vec![("cpu".to_owned(), Device::Cpu { threads: 2 })];
    devices.extend(gpu().map(|gpu| (gpu.info().backend, gpu)));
    devices
}

/// The GPU, as [`any_adapter`] finds it.
pub(crate) fn gpu() -> Option<Device> {
    any_adapter().map(|adapter| Device::Gpu { adapter: Box::new(adapter), checks: Checks::Off })
}
