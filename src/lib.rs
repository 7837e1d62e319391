//! gpu-mnist trains digit classifiers on any GPU through WGSL compute kernels, and proves them right against the CPU.
//!
//! # The map
//! The folders in the order of the data:
//!
//! - [`data`]: IDX and npz files, the built-in MNIST, splits and pixel scaling.
//! - [`recipe`]: the TOML recipe, its overrides, presets, initialisers, optimiser settings and schedules.
//! - [`layers`]: one file for each layer: its shapes, its parameters, and the calls that it emits.
//! - [`plan`]: calls over buffers as plain data; memory reuse; printing.
//! - [`ops`]: one file for each op: parameters, formula, kernel constants, CPU version, test cases. Its WGSL has the same
//!   name in `shaders/`.
//! - [`backend`]: interpreters of plans: [`backend::cpu`] and [`backend::gpu`].
//! - [`train`]: the loop, evaluation, events, the model file, checkpoints, the run folder.
//! - [`report`]: pictures, tables and pages of runs; TensorBoard files.
//! - [`sweep`]: grids of trainings, parts of them, and published results beside obtained ones.
//! - [`predict`]: from a photo to the form of the data.
//! - [`export`]: a trained network as ONNX, for PyTorch, and as a page that runs its plan on WebGPU.
//! - [`serve`]: the local page to draw on, and to watch a run on.
//! - [`mod@bench`]: a device's ceilings, ops, steps, and the time to an accuracy.
//! - [`verify`]: comparing backends with the f64 reference, op by op and step by step.
//! - [`cli`]: flags in, library calls, printing.
//! - [`rng`] and [`error`] serve them all: the one source of randomness, and failures by exit code.
//!
//! # Rules
//! - **Layers never touch numbers.** They know shapes and emit calls.
//! - **Ops know no model**, no backend and no file.
//! - **Backends name no op.** A backend is a loop over calls.
//! - **Only [`backend::gpu`] imports wgpu.**
//! - **Only `data`, `recipe`, `train`, `sweep`, `report`, `serve` and `cli` do input and output**, and only [`mod@data::fetch`]
//!   connects to other machines.
//! - **One seed decides a CPU run bit for bit**, whatever the number of threads, **and a GPU run bit for bit** on one device
//!   and driver: no float atomics, sums in a fixed order.

pub mod backend;
pub mod bench;
pub mod cli;
pub mod data;
pub mod error;
pub mod export;
pub mod layers;
pub mod ops;
pub mod plan;
pub mod predict;
pub mod recipe;
pub mod report;
pub mod rng;
pub mod serve;
pub mod sweep;
pub mod train;
pub mod verify;
