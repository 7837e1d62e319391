//! An activation function by itself, where it is not the epilogue of the op that makes its input.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, LANES, Slot, linear_grid, params, read_activation, slots,
    write_activation,
};

params! {
    /// Size and function.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Elements, padding included: a multiple of 16 for each block.
        len: u32,
        /// Number of the [`Activation`].
        activation: u32,
    }
}

/// See the shader for the formula.
pub struct Activate;

/// One part of the fast CPU version.
struct Apply<'a> {
    activation: Activation,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl simd::Kernel for Apply<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, y) in self.x.chunks_exact(LANES).zip(self.y.chunks_exact_mut(LANES)) {
            s.store(y, activation_simd::apply(s, self.activation, s.load(x)));
        }
    }
}

impl Formula for Activate {
    type Params = Params;
    const NAME: &'static str = "activate";
    const BINDINGS: &'static [Binding] = &[read_activation("x"), write_activation("y")];

    fn kernel(p: &Params, _: DeviceClass) -> super::Kernel {
        super::Kernel { constants: vec![("ACTIVATION", p.activation)], grid: linear_grid(p.len as usize, 64) }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 10 * u64::from(p.len), bytes: 8 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y] = slots(args);
        let activation = Activation::from_code(p.activation);
        let len = p.len as usize;
        for (x, y) in x.real()[..len].iter().zip(y.real()) {
            *y = activation.apply(*x);
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let range = part.block_items(p.len as usize / p.blocks as usize);
        let activation = Activation::from_code(p.activation);
        simd::dispatch(Apply { activation, x: args.input_part(0, range.clone()), y: args.output(1, range) });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, blocks: usize, features: usize, activation: Activation, x: Fill| {
            let len = blocks * features * LANES;
            Case::new(
                format!("{activation:?}, {name}"),
                Params { blocks: blocks as u32, len: len as u32, activation: activation as u32 },
                vec![x, Fill::Output(len + 3)],
            )
        };
        let ordinary = |a| case("3 blocks of 37", 3, 37, a, Fill::Uniform(3 * 37 * LANES, -8.0, 8.0));
        let hostile = |a| case("hostile", 1, 2, a, Fill::Values(hostile_inputs()));
        Activation::ALL.iter().flat_map(|&a| [ordinary(a), hostile(a)]).collect()
    }
}

/// Thirty-two inputs at kinks, at seams between formulas, and far out.
///
/// None lies in -104..-87, where e^x is subnormal: devices may flush it to zero, which swish then multiplies by x,
/// and the bounds of [`Tracked`](super::tracked::Tracked) do not follow such an error.
pub(super) fn hostile_inputs() -> Vec<f32> {
    let magnitudes =
        [0.0, 1e-37, 1e-30, 1e-8, 1e-4, 0.34, 0.35, 0.36, 1.0, 9.0, 20.0, 50.0, 86.0, 110.0, 1e4, 3e38];
    magnitudes.iter().flat_map(|&x| [x, -x]).collect()
}
