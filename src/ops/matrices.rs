//! Cooperative matrices: products that the invocations of a subgroup make together, by the units of a GPU that multiply small
//! matrices. `shaders/shared/matrix_product.wgsl` is the kernel of all ops that use them.

use super::unroll::UNROLL;
use super::{DeviceClass, Kernel, Op, linear_grid};

/// Precision of the factors; sums are in single precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Factors {
    /// Single precision
    F32,
    /// Half precision
    F16,
}

impl Factors {
    /// `f32` or `f16`
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

/// What a device multiplies at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrices {
    /// What it takes.
    pub factors: Factors,
    /// Rows and columns of each of the three matrices: 8 or 16.
    pub size: u32,
    /// Invocations of the largest subgroup, a power of two.
    pub subgroup: u32,
}

/// Rows and columns of the results of a workgroup, and terms that it takes at a time.
const TILE: u32 = 32;
/// Invocations of a workgroup, if a subgroup has no more.
const LANES: u32 = 64;

/// How a call becomes a dispatch: by cooperative matrices where there are some and the op has a kernel for them.
pub fn kernel(op: &dyn Op, params: &[u32], class: DeviceClass, matrices: Option<Matrices>) -> Kernel {
    let cooperative = matrices.and_then(|matrices| op.cooperative_kernel(params, matrices));
    cooperative.unwrap_or_else(|| op.kernel(params, class))
}

impl Matrices {
    /// What GPUs usually have of these factors: Apple's 8x8 in single precision, NVIDIA's and AMD's 16x16 in half precision.
    pub fn usual(factors: Factors) -> Self {
        let size = if factors == Factors::F32 { 8 } else { 16 };
        Self { factors, size, subgroup: 32 }
    }

    /// The kernel for a product of this many rows and columns, with these constants besides.
    pub(super) fn kernel(
        self,
        rows: u32,
        columns: u32,
        others: impl IntoIterator<Item = (&'static str, u32)>,
    ) -> Kernel {
        // Whole subgroups, as Vulkan wants them.
        let lanes = LANES.max(self.subgroup);
        let matrices = (TILE / self.size).pow(2);
        let sizes = [
            ("COOPERATIVE", 1),
            ("HALF_FACTORS", u32::from(self.factors == Factors::F16)),
            ("LANES", lanes),
            ("TILE", TILE),
            ("SIZE", self.size),
            // Where subgroups are smaller there are more of them, and each has fewer.
            ("MATRICES", (matrices * self.subgroup).div_ceil(lanes)),
            (UNROLL, 1),
        ];
        let [across, beyond, _] = linear_grid(columns as usize, TILE as usize);
        Kernel {
            constants: sizes.into_iter().chain(others).collect(),
            grid: [across, rows.div_ceil(TILE), beyond],
        }
    }
}
