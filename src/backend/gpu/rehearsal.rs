//! Rehearsed faults: what the program does when a driver miscomputes, lacks something, dies or hangs, to be seen on a sound one.
//!
//! The variable `GPU_MNIST_PLANT_FAULT` holds a list like `op:dense` or `memory-bytes:1000000,destroy:7`. It is for tests and
//! for those who want to watch; a device says in its driver's name that it rehearses.

use crate::error::Error;
use anyhow::{Result, bail};
use std::time::Duration;

/// The variable.
const VARIABLE: &str = "GPU_MNIST_PLANT_FAULT";

/// The faults to plant; none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Faults {
    /// `op:NAME`: the kernels of this op compute something else.
    pub(super) op: Option<String>,
    /// `destroy:N`: the device is destroyed after submission N, counted from 1.
    pub(super) destroy: Option<u64>,
    /// `hang:N`: submission N holds work that takes minutes.
    pub(super) hang: Option<u64>,
    /// `patience:SECONDS`: a submission that takes longer hangs.
    pub(super) patience: Option<Duration>,
    /// `storage-buffers:N`: the adapter binds no more buffers at once.
    pub(super) storage_buffers: Option<u32>,
    /// `binding-bytes:N`: the adapter binds no larger buffer.
    pub(super) binding_bytes: Option<u64>,
    /// `memory-bytes:N`: the adapter has no more memory.
    pub(super) memory_bytes: Option<u64>,
    /// `dispatch-us:N`: dispatches that may take longer are split, instead of the usual limit.
    pub(super) dispatch: Option<Duration>,
}

impl Faults {
    /// What the variable asks for.
    ///
    /// # Errors
    /// [`Error::Usage`] when it is not understood.
    pub(super) fn from_env() -> Result<Self> {
        Self::parse(&std::env::var(VARIABLE).unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut faults = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once(':').unwrap_or((item, ""));
            let number = value.parse::<u64>().ok();
            match (key, number) {
                ("op", _) if !value.is_empty() => faults.op = Some(value.to_owned()),
                ("destroy", Some(n)) => faults.destroy = Some(n),
                ("hang", Some(n)) => faults.hang = Some(n),
                ("patience", Some(n)) => faults.patience = Some(Duration::from_secs(n)),
                ("storage-buffers", Some(n)) => faults.storage_buffers = Some(n as u32),
                ("binding-bytes", Some(n)) => faults.binding_bytes = Some(n),
                ("memory-bytes", Some(n)) => faults.memory_bytes = Some(n),
                ("dispatch-us", Some(n)) => faults.dispatch = Some(Duration::from_micros(n)),
                _ => bail!(Error::Usage(format!(
                    "{VARIABLE}: {item:?} is no fault; there are op:NAME, destroy:N, hang:N, patience:SECONDS, \
                     storage-buffers:N, binding-bytes:N, memory-bytes:N and dispatch-us:N. Unset it to train"
                ))),
            }
        }
        Ok(faults)
    }

    /// An addition to the driver's name, empty where nothing is rehearsed.
    pub(super) fn label(&self) -> String {
        if *self == Self::default() { String::new() } else { format!(" [rehearsing {VARIABLE}]") }
    }
}

/// A loop that runs for minutes, and that no compiler can leave out: its end depends on what it computes.
const ENDLESS: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(1)
fn main() {
    for (var i = 0u; i < 0xfffffff0u; i++) {
        x[0] = x[0] * 1664525u + 1013904223u + x[1];
        if x[0] == 0x12345678u && x[1] == 1u {
            break;
        }
    }
}";

/// Submits work that takes minutes.
pub(super) fn submit_endless_work(device: &wgpu::Device, queue: &wgpu::Queue) -> wgpu::SubmissionIndex {
    let source = wgpu::ShaderSource::Wgsl(ENDLESS.into());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("endless"), source });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("endless"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("endless"),
        size: 16,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("endless"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        // Many, since lavapipe ends a loop after 65,535 turns.
        (0..64).for_each(|_| pass.dispatch_workgroups(65_535, 1, 1));
    }
    queue.submit([encoder.finish()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_faults_are_read_and_others_refused() {
        assert_eq!(Faults::parse("").unwrap(), Faults::default());
        let faults = Faults::parse("op:dense, destroy:7,patience:2").unwrap();
        assert_eq!((faults.op.as_deref(), faults.destroy), (Some("dense"), Some(7)));
        assert_eq!(faults.patience, Some(Duration::from_secs(2)));
        assert!(!faults.label().is_empty() && Faults::default().label().is_empty());
        for wrong in ["op", "op:", "destroy:x", "dense"] {
            assert!(Faults::parse(wrong).is_err(), "{wrong}");
        }
    }
}
