//! The gradients of a dense product with respect to its weights and biases.

use super::case::{Case, Fill};
use super::dense_cpu::{self, Keep};
use super::matrices::Matrices;
use super::real::Real;
use super::share::{CpuArgs, Part, Region, Split};
use super::simd::{self, Simd};
use super::tiling;
use super::unroll::UNROLL;
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, slots, write,
};
use std::ops::Range;

params! {
    /// Shapes, and where the gradients lie in the flat buffer.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Features of an input.
        inputs: u32,
        /// Features of an output.
        units: u32,
        /// First word of the weights' gradients, `[inputs][units]`.
        weight: u32,
        /// First word of the biases' gradients, `[units]`.
        bias: u32,
    }
}

/// See the shader for the formula.
pub struct DenseWeightGrad;

impl Formula for DenseWeightGrad {
    type Params = Params;
    const NAME: &'static str = "dense_weight_grad";
    const BINDINGS: &'static [Binding] = &[read_activation("x"), read("y_grad"), write("gradients")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        match class {
            DeviceClass::Gpu => {
                Kernel { constants: vec![], grid: [p.units.div_ceil(32), p.inputs.div_ceil(32), 1] }
            }
            DeviceClass::Software => {
                let in_fours = tiling::in_fours([p.units, p.weight, p.bias]);
                let (lanes, weights) = (8, if in_fours { 4 } else { 1 });
                let tall = tiling::share(p.inputs as usize, 32) as u32;
                Kernel {
                    constants: vec![
                        ("LANES", lanes),
                        ("WEIGHTS", weights),
                        ("TALL", tall),
                        ("STRIPS", tall.div_ceil(lanes)),
                        ("BY_WORKGROUP", 1),
                        (UNROLL, 1),
                    ],
                    grid: [p.units.div_ceil(lanes * weights), p.inputs.div_ceil(tall), 1],
                }
            }
        }
    }

    fn cooperative_kernel(p: &Params, matrices: Matrices) -> Option<Kernel> {
        Some(matrices.kernel(p.inputs, p.units, []))
    }

    fn cost(p: &Params) -> Cost {
        let (images, inputs, units) =
            (u64::from(p.blocks) * LANES as u64, u64::from(p.inputs), u64::from(p.units));
        Cost {
            flops: 2 * images * (inputs + 1) * units,
            bytes: 4 * (images * (inputs + units) + (inputs + 1) * units),
        }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y_grad, gradients] = slots(args);
        let gradients = gradients.real();
        gradient(p, x.real(), y_grad.real(), |i, gradient| gradients[i] = gradient);
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn regions(p: &Params, binding: usize) -> Vec<Region> {
        let [x, y_grad, parameters] = dense_cpu::weight_regions(p);
        match binding {
            0 => x,
            1 => y_grad,
            _ => parameters,
        }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |blocks: usize, inputs: usize, units: usize| {
            let (weight, bias) = case_places(inputs, units);
            let p = Params {
                blocks: blocks as u32,
                inputs: inputs as u32,
                units: units as u32,
                weight: weight as u32,
                bias: bias as u32,
            };
            Case::new(
                format!("{blocks} blocks, {inputs} x {units}"),
                p,
                vec![
                    Fill::signed(blocks * inputs * LANES),
                    Fill::signed(blocks * units * LANES),
                    Fill::Output(bias + units + 3),
                ],
            )
        };
        let mut cases: Vec<_> =
            HOSTILE_SIZES.iter().map(|&(blocks, inputs, units)| case(blocks, inputs, units)).collect();
        // Four of five inputs are zero: with tails of rows, of panels and of words of 64 images.
        for (blocks, inputs, units) in [(2, 784, 128), (5, 33, 50), (3, 37, 10), (1, 7, 33), (9, 9, 97)] {
            let mut sparse = case(blocks, inputs, units);
            sparse.name += ", inputs mostly zero";
            sparse.buffers[0] = Fill::Pixels(blocks * inputs * LANES);
            cases.push(sparse);
        }
        cases
    }
}

/// Blocks, inputs and units of the test cases, round the register tiles of the CPU (6 inputs and 4 vectors of units, 12
/// inputs and 1 or 2 vectors).
pub(super) const HOSTILE_SIZES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (2, 128, 10),
    (3, 37, 31),
    (5, 33, 5),
    (16, 17, 16),
    (2, 784, 33),
    (1, 5, 63),
    (2, 6, 64),
    (3, 7, 65),
    (1, 11, 16),
    (2, 12, 17),
    (1, 13, 32),
    (4, 23, 97),
    (2, 9, 36),
];

/// Where the weights and the biases of the test cases lie: on multiples of four words if the units are multiples of eight.
pub(super) fn case_places(inputs: usize, units: usize) -> (usize, usize) {
    let (before, between) = if units.is_multiple_of(8) { (8, 4) } else { (5, 1) };
    (before, before + inputs * units + between)
}

/// The formula: hands the gradient of every weight and bias with its word to `keep`.
pub(super) fn gradient<T: Real>(p: &Params, x: &[T], y_grad: &[T], mut keep: impl FnMut(usize, T)) {
    let (inputs, units) = (p.inputs as usize, p.units as usize);
    let rows = |values: &[T], features: usize, feature: usize| -> Vec<T> {
        (0..p.blocks as usize)
            .flat_map(|block| values[(block * features + feature) * LANES..][..LANES].to_vec())
            .collect()
    };
    let gradient_rows: Vec<Vec<T>> = (0..units).map(|unit| rows(y_grad, units, unit)).collect();
    for (unit, gradient) in gradient_rows.iter().enumerate() {
        keep(p.bias as usize + unit, gradient.iter().fold(T::ZERO, |sum, &g| sum + g));
    }
    for k in 0..inputs {
        let input = rows(x, inputs, k);
        for (unit, gradient) in gradient_rows.iter().enumerate() {
            let sum =
                input.iter().zip(gradient).fold(T::ZERO, |sum, (&x, &g)| x.factor().mul_add(g.factor(), sum));
            keep(p.weight as usize + k * units + unit, sum);
        }
    }
}

struct Run<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    part: Part,
}

impl simd::Kernel for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, args, part } = self;
        dense_cpu::weights(s, p, args.input(0), args.input(1), &part, &mut Store(args));
    }
}

struct Store<'a>(&'a CpuArgs<'a>);

impl<S: Simd> Keep<S> for Store<'_> {
    #[inline(always)]
    fn keep(&mut self, _: S, words: Range<usize>, gradients: &[f32]) {
        self.0.output(2, words).copy_from_slice(gradients);
    }
}
