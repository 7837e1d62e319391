//! Compute pipelines: one for each op and set of constants, all built at the start, in parallel.

use crate::ops::{Access, DeviceClass, Kernel, Op, shader};
use crate::plan::Plan;
use anyhow::{Result, anyhow};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;

/// Whether shaders are compiled with bounds checks and bounded loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Without, as in training: the checks keep drivers from unrolling inner loops.
    Off,
    /// With all of them, as tests do once more.
    On,
}

type Key = (&'static str, Vec<(&'static str, u32)>);

fn key(op: &dyn Op, kernel: &Kernel) -> Key {
    (op.name(), kernel.constants.clone())
}

/// The pipelines of a plan.
pub(super) struct Pipelines {
    layouts: HashMap<&'static str, wgpu::BindGroupLayout>,
    index: HashMap<Key, usize>,
    pipelines: Vec<wgpu::ComputePipeline>,
}

impl Pipelines {
    pub(super) fn build(
        device: &wgpu::Device,
        plan: &Plan,
        class: DeviceClass,
        checks: Checks,
    ) -> Result<Self> {
        let mut layouts = HashMap::new();
        let mut index = HashMap::new();
        let mut work: Vec<(&'static dyn Op, Kernel)> = Vec::new();
        for call in plan.programs.iter().flat_map(|program| &program.calls) {
            layouts.entry(call.op.name()).or_insert_with(|| layout(device, call.op));
            let kernel = call.op.kernel(&call.params, class);
            index.entry(key(call.op, &kernel)).or_insert_with(|| {
                work.push((call.op, kernel));
                work.len() - 1
            });
        }
        let pipelines = build_all(device, &layouts, &work, checks)?;
        Ok(Self { layouts, index, pipelines })
    }

    pub(super) fn get(&self, index: usize) -> &wgpu::ComputePipeline {
        &self.pipelines[index]
    }

    pub(super) fn find(&self, op: &dyn Op, kernel: &Kernel) -> usize {
        self.index[&key(op, kernel)]
    }

    pub(super) fn layout(&self, op: &dyn Op) -> &wgpu::BindGroupLayout {
        &self.layouts[op.name()]
    }
}

/// Compiles `work` on all processors; the result is in its order.
fn build_all(
    device: &wgpu::Device,
    layouts: &HashMap<&'static str, wgpu::BindGroupLayout>,
    work: &[(&'static dyn Op, Kernel)],
    checks: Checks,
) -> Result<Vec<wgpu::ComputePipeline>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let built = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..crate::backend::cpu::default_threads().min(work.len()) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((op, kernel)) = work.get(i) else { return };
                    let pipeline = build_one(device, &layouts[op.name()], *op, kernel, checks);
                    built.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((i, pipeline));
                }
            });
        }
    });
    let mut built = built.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    built.sort_by_key(|(i, _)| *i);
    built.into_iter().map(|(_, pipeline)| pipeline).collect()
}

fn build_one(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    op: &dyn Op,
    kernel: &Kernel,
    checks: Checks,
) -> Result<wgpu::ComputePipeline> {
    // Error scopes belong to a thread, so each worker has its own.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let source = wgpu::ShaderSource::Wgsl(Cow::Owned(shader::expand(op, kernel)));
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(op.name()), source };
    let module = match checks {
        Checks::On => device.create_shader_module(descriptor),
        // SAFETY: the one audited place. Every kernel guards the indices that can run past a buffer, all
        // loops end, and tests run every kernel with checks on and compare with the reference.
        Checks::Off => unsafe {
            device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        },
    };
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(op.name()),
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(op.name()),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[],
            // Kernels write workgroup memory before they read it.
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    });
    match pollster::block_on(scope.pop()) {
        None => Ok(pipeline),
        Some(error) => Err(anyhow!("the kernel {} does not compile on this device: {error}", op.name())),
    }
}

fn layout(device: &wgpu::Device, op: &dyn Op) -> wgpu::BindGroupLayout {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
    for (i, binding) in op.bindings().iter().enumerate() {
        let read_only = binding.access == Access::Read;
        entries.push(entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }));
    }
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(op.name()),
        entries: &entries,
    })
}
