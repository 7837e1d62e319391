//! Compute pipelines: one for each op and set of constants, all built at the start, in parallel.

use crate::error::Error;
use crate::ops::matrices::{self, Matrices};
use crate::ops::{Access, DeviceClass, Kernel, Op, shader};
use crate::plan::{Call, Plan};
use anyhow::{Result, bail};
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

/// Op, constants, which of its buffers are in half precision, and whether it runs parts of its grid.
type Key = (&'static str, Vec<(&'static str, u32)>, Vec<bool>, bool);

fn key(op: &dyn Op, kernel: &Kernel, halves: &[bool], in_parts: bool) -> Key {
    (op.name(), kernel.constants.clone(), halves.to_vec(), in_parts)
}

/// A pipeline to be built.
struct Work {
    op: &'static dyn Op,
    kernel: Kernel,
    halves: Vec<bool>,
    in_parts: bool,
}

/// How kernels are compiled.
#[derive(Clone, Copy)]
pub(super) struct Compilation<'a> {
    pub(super) class: DeviceClass,
    pub(super) checks: Checks,
    /// Whether sums over a workgroup are made by its subgroups.
    pub(super) subgroups: bool,
    /// Whether invocations load for each other.
    pub(super) broadcasts: bool,
    /// What products are made by, if not by ordinary kernels.
    pub(super) matrices: Option<Matrices>,
    /// The op whose kernels are to be wrong, in rehearsals.
    pub(super) wrong_op: Option<&'a str>,
}

impl Compilation<'_> {
    /// How a call becomes a dispatch.
    pub(super) fn kernel(&self, call: &Call) -> Kernel {
        let kernel = matrices::kernel(call.op, &call.params, self.class, self.matrices);
        if self.broadcasts { shader::by_broadcast(kernel) } else { kernel }
    }
}

/// The pipelines of a plan.
pub(super) struct Pipelines {
    layouts: HashMap<&'static str, wgpu::BindGroupLayout>,
    part_layout: wgpu::BindGroupLayout,
    index: HashMap<Key, usize>,
    pipelines: Vec<wgpu::ComputePipeline>,
}

impl Pipelines {
    /// `in_parts` tells which calls run parts of their grid.
    pub(super) fn build(
        device: &wgpu::Device,
        plan: &Plan,
        how: Compilation<'_>,
        in_parts: impl Fn(&Call) -> bool,
    ) -> Result<Self> {
        let mut layouts = HashMap::new();
        let mut index = HashMap::new();
        let mut work: Vec<Work> = Vec::new();
        for call in plan.programs.iter().flat_map(|program| &program.calls) {
            layouts.entry(call.op.name()).or_insert_with(|| layout(device, call.op, how.class));
            let kernel = how.kernel(call);
            let (halves, in_parts) = (plan.halves(call), in_parts(call));
            index.entry(key(call.op, &kernel, &halves, in_parts)).or_insert_with(|| {
                work.push(Work { op: call.op, kernel, halves, in_parts });
                work.len() - 1
            });
        }
        let part_layout = part_layout(device);
        let pipelines = build_all(device, &layouts, &part_layout, &work, how)?;
        Ok(Self { layouts, part_layout, index, pipelines })
    }

    pub(super) fn get(&self, index: usize) -> &wgpu::ComputePipeline {
        &self.pipelines[index]
    }

    pub(super) fn find(&self, op: &dyn Op, kernel: &Kernel, halves: &[bool], in_parts: bool) -> usize {
        self.index[&key(op, kernel, halves, in_parts)]
    }

    pub(super) fn layout(&self, op: &dyn Op) -> &wgpu::BindGroupLayout {
        &self.layouts[op.name()]
    }

    /// Of group 1, which says what part of the grid runs.
    pub(super) fn part_layout(&self) -> &wgpu::BindGroupLayout {
        &self.part_layout
    }
}

/// Compiles `work` on all processors; the result is in its order.
fn build_all(
    device: &wgpu::Device,
    layouts: &HashMap<&'static str, wgpu::BindGroupLayout>,
    part_layout: &wgpu::BindGroupLayout,
    work: &[Work],
    how: Compilation<'_>,
) -> Result<Vec<wgpu::ComputePipeline>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let built = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..crate::backend::cpu::default_threads().min(work.len()) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(work) = work.get(i) else { return };
                    let mut groups = vec![Some(&layouts[work.op.name()])];
                    groups.extend(work.in_parts.then_some(Some(part_layout)));
                    let pipeline = build_one(device, &groups, work, how);
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
    groups: &[Option<&wgpu::BindGroupLayout>],
    &Work { op, ref kernel, ref halves, in_parts }: &Work,
    how: Compilation<'_>,
) -> Result<wgpu::ComputePipeline> {
    // Error scopes belong to a thread, so each worker has its own.
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let by_subgroup = how.subgroups.then(|| shader::expand_by_subgroup(op, kernel)).flatten();
    let mut text = by_subgroup.unwrap_or_else(|| shader::expand(op, kernel));
    if in_parts {
        text = shader::part(text);
    }
    if params_binding(device, op, how.class) != wgpu::BufferBindingType::Uniform {
        text = shader::params_as_storage(&text);
    }
    if how.wrong_op == Some(op.name()) {
        text = shader::plant_fault(op, &text).unwrap_or(text);
    }
    text = shader::in_halves(op, &text, halves);
    let source = wgpu::ShaderSource::Wgsl(Cow::Owned(text));
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(op.name()), source };
    let module = match how.checks {
        Checks::On => device.create_shader_module(descriptor),
        // SAFETY: the one audited place. Every kernel guards the indices that can run past a buffer, all
        // loops end, and tests run every kernel with checks on and compare with the reference.
        Checks::Off => unsafe {
            device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        },
    };
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(op.name()),
        bind_group_layouts: groups,
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
        Some(error) => bail!(Error::NoDevice(format!(
            "the kernel {} does not compile on this device: {error}; update its driver, or use another --adapter or \
             --backend cpu",
            op.name()
        ))),
    }
}

/// Where an op's parameters lie. Lavapipe compiles a kernel whose loops end at a uniform again whenever another kernel ran
/// before it, to make a constant of it: ten times as long as a small kernel runs. So it gets them as storage, if it has
/// room for one more.
fn params_binding(device: &wgpu::Device, op: &dyn Op, class: DeviceClass) -> wgpu::BufferBindingType {
    let has_room = op.bindings().len() < device.limits().max_storage_buffers_per_shader_stage as usize;
    match class {
        DeviceClass::Software if has_room => wgpu::BufferBindingType::Storage { read_only: true },
        _ => wgpu::BufferBindingType::Uniform,
    }
}

fn layout(device: &wgpu::Device, op: &dyn Op, class: DeviceClass) -> wgpu::BindGroupLayout {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let mut entries = vec![entry(0, params_binding(device, op, class))];
    for (i, binding) in op.bindings().iter().enumerate() {
        let read_only = binding.access == Access::Read;
        entries.push(entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }));
    }
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(op.name()),
        entries: &entries,
    })
}

fn part_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = wgpu::BindGroupLayoutEntry {
        binding: 0,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: true,
            min_binding_size: None,
        },
        count: None,
    };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("part of a grid"),
        entries: &[entry],
    })
}
