//! Ops: what a call in a plan can do, one file each here and one of the same name in `shaders/`.
//!
//! An op is a unit type that implements [`Formula`]: its parameters (one struct shared with the
//! shader), what it binds, its cost, its test cases, and up to three implementations:
//! - [`Formula::reference`]: the formula as plain loops over any [`Real`]. In f64 it is the truth, in
//!   [`Tracked`] it yields the error that f32 may have, in f32 it is the CPU backend until
//!   something faster exists.
//! - [`Formula::cpu`]: a fast f32 version, where measurement says that it matters. Where it goes by an algorithm with other
//!   rounding errors, [`Formula::cpu_reference`] has the same algorithm over any [`Real`].
//! - the WGSL kernel, with constants chosen by a fixed table from the device's class.
//!
//! **Invariant:** ops know no model, no backend and no file. [`ALL`] is the only list of them.
//!
//! # Layout
//! A tensor of `batch` images with features (channels, height, width) is stored as
//! `[block][channel][y][x][16]`: 16 images innermost. A vector register of the CPU holds one feature
//! of 16 images, and on a GPU neighbouring lanes are neighbouring images. The last block of a ragged batch is
//! padded: its lanes hold zeros in the data and get no gradient.

pub mod activation;
pub mod activation_simd;
pub mod case;
mod channels;
pub mod control;
mod convolution;
mod dense_cpu;
mod halves;
pub mod matrices;
pub mod real;
pub mod shader;
pub mod share;
pub mod simd;
mod tiling;
pub mod tracked;
mod unroll;

use bytemuck::Pod;
use case::Case;
use matrices::Matrices;
use real::Real;
use share::{CpuArgs, Part, Region, Split};
use tracked::Tracked;

/// Images in a block: the innermost dimension of every activation.
pub const LANES: usize = 16;

/// Blocks that hold `images` images.
pub const fn blocks(images: usize) -> usize {
    images.div_ceil(LANES)
}

macro_rules! ops {
    ($($module:ident :: $op:ident,)*) => {
        $(pub mod $module;)*
        /// Every op. Backends, parity tests, shader checks, `verify` and `bench` all read this list.
        pub static ALL: &[&dyn Op] = &[$(&$module::$op,)*];
        /// The shader texts, by op name.
        static SHADERS: &[(&str, &str)] = &[$((
            stringify!($module),
            include_str!(concat!("../../shaders/", stringify!($module), ".wgsl")),
        ),)*];
    };
}

ops! {
    gather::Gather,
    gather_augmented::GatherAugmented,
    dense::Dense,
    dense_input_grad::DenseInputGrad,
    dense_weight_grad::DenseWeightGrad,
    batch_norm::BatchNorm,
    batch_norm_inference::BatchNormInference,
    batch_norm_grad::BatchNormGrad,
    activate::Activate,
    activate_grad::ActivateGrad,
    conv2d::Conv2d,
    conv2d_input_grad::Conv2dInputGrad,
    conv2d_weight_grad::Conv2dWeightGrad,
    conv2d_max_pool::Conv2dMaxPool,
    conv2d_max_pool_weight_grad::Conv2dMaxPoolWeightGrad,
    sum_partials::SumPartials,
    max_pool::MaxPool,
    max_pool_grad::MaxPoolGrad,
    dense_weight_update_adam::DenseWeightUpdateAdam,
    dense_weight_update_sgd::DenseWeightUpdateSgd,
    dropout::Dropout,
    dropout_grad::DropoutGrad,
    softmax::Softmax,
    softmax_grad::SoftmaxGrad,
    softmax_xent::SoftmaxXent,
    sgd::Sgd,
    adam::Adam,
    rmsprop::RmsProp,
    squared_norm::SquaredNorm,
    clip_norm::ClipNorm,
    find_not_finite::FindNotFinite,
    tensor_moments::TensorMoments,
    count_bins::CountBins,
    ceiling_fma::CeilingFma,
    ceiling_copy::CeilingCopy,
    ceiling_dispatch::CeilingDispatch,
    end_step::EndStep,
}

/// Looks an op up by name.
pub fn by_name(name: &str) -> Option<&'static dyn Op> {
    ALL.iter().copied().find(|op| op.name() == name)
}

/// How a call uses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only read.
    Read,
    /// Written; what was there before does not matter where it is written.
    Write,
    /// Read and written in place.
    ReadWrite,
}

/// What the words of a buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE single precision.
    F32,
    /// Unsigned integers (indices, packed bytes, counters).
    U32,
}

/// One buffer that an op binds.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The name of the variable in the shader.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
    /// What it holds.
    pub element: Element,
    /// Whether it holds what a layer takes or makes, for which half precision may do.
    pub activations: bool,
}

/// An f32 buffer that is read.
pub const fn read(name: &'static str) -> Binding {
    Binding { name, access: Access::Read, element: Element::F32, activations: false }
}
/// A buffer of what a layer takes or makes, that is read.
pub const fn read_activation(name: &'static str) -> Binding {
    Binding { activations: true, ..read(name) }
}
/// A u32 buffer that is read.
pub const fn read_words(name: &'static str) -> Binding {
    Binding { name, access: Access::Read, element: Element::U32, activations: false }
}
/// An f32 buffer that is written.
pub const fn write(name: &'static str) -> Binding {
    Binding { name, access: Access::Write, element: Element::F32, activations: false }
}
/// A buffer of what a layer makes, that is written.
pub const fn write_activation(name: &'static str) -> Binding {
    Binding { activations: true, ..write(name) }
}
/// A u32 buffer that is written.
pub const fn write_words(name: &'static str) -> Binding {
    Binding { name, access: Access::Write, element: Element::U32, activations: false }
}
/// An f32 buffer that is updated in place.
pub const fn update(name: &'static str) -> Binding {
    Binding { name, access: Access::ReadWrite, element: Element::F32, activations: false }
}
/// A u32 buffer that is updated in place.
pub const fn update_words(name: &'static str) -> Binding {
    Binding { name, access: Access::ReadWrite, element: Element::U32, activations: false }
}

/// A field of a parameter struct: name and element, in memory order, four bytes each.
pub type Field = (&'static str, Element);

/// Parameter structs, made by `params!`.
pub trait Params: Pod {
    /// The fields in memory order.
    const FIELDS: &'static [Field];
}

/// Declares an op's parameter struct: `#[repr(C)]`, four-byte fields, and the list of them that a test holds
/// against the shader's struct of the same name.
macro_rules! params {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ident,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
        impl $crate::ops::Params for $name {
            const FIELDS: &'static [$crate::ops::Field] =
                &[$((stringify!($field), $crate::ops::element!($ty)),)*];
        }
    };
}
/// The [`Element`] of a Rust type name.
macro_rules! element {
    (u32) => {
        $crate::ops::Element::U32
    };
    (f32) => {
        $crate::ops::Element::F32
    };
}
pub(crate) use {element, params};

/// Classes of devices that want different kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClass {
    /// Real GPUs: many lanes, uniform loads, workgroup memory.
    Gpu,
    /// Software rasterisers (lavapipe, SwiftShader, llvmpipe): few cores, no gain from workgroup memory.
    Software,
}

/// How one call becomes a dispatch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Constants put before the shader text; they decide tile sizes and which branches exist.
    pub constants: Vec<(&'static str, u32)>,
    /// Workgroups in x, y and z.
    pub grid: [u32; 3],
}

/// Most workgroups that WebGPU allows in one dimension.
pub const MAX_GROUPS: u32 = 65_535;

/// A grid of `threads` invocations in workgroups of `size`, folded over y where x does not reach.
/// The kernel must guard: `index = id.x + id.y * groups.x * size`.
pub fn linear_grid(threads: usize, size: usize) -> [u32; 3] {
    let groups = threads.div_ceil(size).max(1) as u32;
    let y = groups.div_ceil(MAX_GROUPS);
    [groups.div_ceil(y), y, 1]
}

/// What a call costs at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// Floating-point operations, a multiply-add counting two.
    pub flops: u64,
    /// Bytes read and written, each touched once.
    pub bytes: u64,
}

/// Buffers as references see them: `T` for f32 buffers, words for u32 ones.
pub enum Slot<'a, T> {
    /// Numbers.
    Real(&'a mut [T]),
    /// Words.
    Words(&'a mut [u32]),
}

impl<'a, T> Slot<'a, T> {
    /// The numbers of an f32 binding.
    pub fn real(self) -> &'a mut [T] {
        match self {
            Self::Real(values) => values,
            Self::Words(_) => unreachable!("the op's bindings declare numbers here"),
        }
    }

    /// The words of a u32 binding.
    pub fn words(self) -> &'a mut [u32] {
        match self {
            Self::Words(words) => words,
            Self::Real(_) => unreachable!("the op's bindings declare words here"),
        }
    }
}

/// Takes the slots apart, one for each binding.
pub fn slots<T, const N: usize>(slots: Vec<Slot<'_, T>>) -> [Slot<'_, T>; N] {
    match slots.try_into() {
        Ok(array) => array,
        Err(_) => unreachable!("callers pass one slot for each binding"),
    }
}

/// What an op's file implements.
pub trait Formula: Sync {
    /// The parameter struct.
    type Params: Params;
    /// The name: that of the two files.
    const NAME: &'static str;
    /// The buffers, in binding order (bindings 1, 2, ... of group 0; the parameters are binding 0).
    const BINDINGS: &'static [Binding];
    /// Tile sizes and grid for a device class.
    fn kernel(p: &Self::Params, class: DeviceClass) -> Kernel;
    /// The kernel that multiplies by cooperative matrices, if there is one. [`Formula::reference`] then marks the factors of its
    /// products ([`Real::factor`]).
    fn cooperative_kernel(_p: &Self::Params, _matrices: Matrices) -> Option<Kernel> {
        None
    }
    /// Work at these parameters.
    fn cost(p: &Self::Params) -> Cost;
    /// The formula.
    fn reference<T: Real>(p: &Self::Params, args: Vec<Slot<'_, T>>);
    /// Whether [`Formula::cpu`] goes by an algorithm whose rounding errors are not those of [`Formula::reference`].
    fn cpu_differs(_p: &Self::Params) -> bool {
        false
    }
    /// The formula by the algorithm of [`Formula::cpu`]. Needed where that differs.
    fn cpu_reference<T: Real>(p: &Self::Params, args: Vec<Slot<'_, T>>) {
        Self::reference(p, args);
    }
    /// How the fast CPU version divides; [`Split::Whole`] means that the reference runs on one thread.
    fn split(_p: &Self::Params) -> Split {
        Split::Whole
    }
    /// What a call touches of the buffer at `binding` where threads share its outputs.
    fn regions(_p: &Self::Params, _binding: usize) -> Vec<Region> {
        vec![Region::ALL]
    }
    /// The fast CPU version of one part.
    fn cpu(_p: &Self::Params, _args: &CpuArgs<'_>, _part: Part) {}
    /// Inputs to be tested with, hostile shapes among them.
    fn cases() -> Vec<Case<Self::Params>>;
}

/// An op as a value; implemented for every [`Formula`].
pub trait Op: Sync {
    /// The name: that of the two files.
    fn name(&self) -> &'static str;
    /// The buffers, in binding order.
    fn bindings(&self) -> &'static [Binding];
    /// The fields of the parameter struct.
    fn fields(&self) -> &'static [Field];
    /// The WGSL text, imports not yet expanded.
    fn shader(&self) -> &'static str;
    /// Tile sizes and grid for a device class.
    fn kernel(&self, params: &[u32], class: DeviceClass) -> Kernel;
    /// The kernel that multiplies by cooperative matrices, if there is one.
    fn cooperative_kernel(&self, params: &[u32], matrices: Matrices) -> Option<Kernel>;
    /// Work at these parameters.
    fn cost(&self, params: &[u32]) -> Cost;
    /// The formula in f32.
    fn reference_f32(&self, params: &[u32], args: Vec<Slot<'_, f32>>);
    /// The formula in f64.
    fn reference_f64(&self, params: &[u32], args: Vec<Slot<'_, f64>>);
    /// The formula with the error that f32 may have.
    fn reference_tracked(&self, params: &[u32], args: Vec<Slot<'_, Tracked>>);
    /// Whether the fast CPU version has other rounding errors.
    fn cpu_differs(&self, params: &[u32]) -> bool;
    /// The formula with the error that f32 may have in the fast CPU version.
    fn cpu_reference_tracked(&self, params: &[u32], args: Vec<Slot<'_, Tracked>>);
    /// How the fast CPU version divides.
    fn split(&self, params: &[u32]) -> Split;
    /// What a call touches of the buffer at `binding` where threads share its outputs.
    fn regions(&self, params: &[u32], binding: usize) -> Vec<Region>;
    /// The fast CPU version of one part.
    fn cpu(&self, params: &[u32], args: &CpuArgs<'_>, part: Part);
    /// Test cases, parameters as words.
    fn cases(&self) -> Vec<Case<Vec<u32>>>;
}

fn typed<P: Params>(params: &[u32]) -> P {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(params))
}

impl<F: Formula> Op for F {
    fn name(&self) -> &'static str {
        F::NAME
    }
    fn bindings(&self) -> &'static [Binding] {
        F::BINDINGS
    }
    fn fields(&self) -> &'static [Field] {
        F::Params::FIELDS
    }
    fn shader(&self) -> &'static str {
        SHADERS.iter().find(|(name, _)| *name == F::NAME).map_or("", |(_, text)| text)
    }
    fn kernel(&self, params: &[u32], class: DeviceClass) -> Kernel {
        F::kernel(&typed(params), class)
    }
    fn cooperative_kernel(&self, params: &[u32], matrices: Matrices) -> Option<Kernel> {
        F::cooperative_kernel(&typed(params), matrices)
    }
    fn cost(&self, params: &[u32]) -> Cost {
        F::cost(&typed(params))
    }
    fn reference_f32(&self, params: &[u32], args: Vec<Slot<'_, f32>>) {
        F::reference(&typed(params), args);
    }
    fn reference_f64(&self, params: &[u32], args: Vec<Slot<'_, f64>>) {
        F::reference(&typed(params), args);
    }
    fn reference_tracked(&self, params: &[u32], args: Vec<Slot<'_, Tracked>>) {
        F::reference(&typed(params), args);
    }
    fn cpu_differs(&self, params: &[u32]) -> bool {
        F::cpu_differs(&typed(params))
    }
    fn cpu_reference_tracked(&self, params: &[u32], args: Vec<Slot<'_, Tracked>>) {
        F::cpu_reference(&typed(params), args);
    }
    fn split(&self, params: &[u32]) -> Split {
        F::split(&typed(params))
    }
    fn regions(&self, params: &[u32], binding: usize) -> Vec<Region> {
        F::regions(&typed(params), binding)
    }
    fn cpu(&self, params: &[u32], args: &CpuArgs<'_>, part: Part) {
        F::cpu(&typed(params), args, part);
    }
    fn cases(&self) -> Vec<Case<Vec<u32>>> {
        F::cases().into_iter().map(Case::into_words).collect()
    }
}

/// The words of a parameter struct.
pub fn words<P: Params>(params: &P) -> Vec<u32> {
    bytemuck::cast_slice(std::slice::from_ref(params)).to_vec()
}
