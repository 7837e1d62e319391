//! The gradients of a dense product with respect to its weights and biases.

use super::case::{Case, Fill};
use super::dense_cpu::{self, Finish, Outer};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, slots, write};
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
    const BINDINGS: &'static [Binding] = &[read("x"), read("y_grad"), write("gradients")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: [p.units.div_ceil(32), p.inputs.div_ceil(32), 1] }
    }

    fn cost(p: &Params) -> Cost {
        let (images, inputs, units) = (u64::from(p.blocks) * LANES as u64, u64::from(p.inputs), u64::from(p.units));
        Cost {
            flops: 2 * images * (inputs + 1) * units,
            bytes: 4 * (images * (inputs + units) + (inputs + 1) * units),
        }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y_grad, gradients] = slots(args);
        let (x, y_grad, gradients) = (x.real(), y_grad.real(), gradients.real());
        let (inputs, units) = (p.inputs as usize, p.units as usize);
        let rows = |values: &[T], features: usize, feature: usize| -> Vec<T> {
            (0..p.blocks as usize)
                .flat_map(|block| values[(block * features + feature) * LANES..][..LANES].to_vec())
                .collect()
        };
        for unit in 0..units {
            let gradient = rows(y_grad, units, unit);
            gradients[p.bias as usize + unit] = gradient.iter().fold(T::ZERO, |sum, &g| sum + g);
        }
        let gradient_rows: Vec<Vec<T>> = (0..units).map(|unit| rows(y_grad, units, unit)).collect();
        for k in 0..inputs {
            let input = rows(x, inputs, k);
            for (unit, gradient) in gradient_rows.iter().enumerate() {
                gradients[p.weight as usize + k * units + unit] =
                    input.iter().zip(gradient).fold(T::ZERO, |sum, (&x, &g)| x.mul_add(g, sum));
            }
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |blocks: usize, inputs: usize, units: usize| {
            let (weight, bias) = (5, 5 + inputs * units + 1);
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
        let mut cases =
            vec![case(1, 1, 1), case(2, 128, 10), case(3, 37, 31), case(5, 33, 5), case(16, 17, 16), case(2, 784, 33)];
        // Sizes round the register tiles: 6 inputs and 4 vectors of units, 12 inputs and 1 or 2 vectors.
        cases.extend([(1, 5, 63), (2, 6, 64), (3, 7, 65), (1, 11, 16), (2, 12, 17), (1, 13, 32), (4, 23, 97)].map(|(b, i, u)| case(b, i, u)));
        cases
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
        let (blocks, inputs, units) = (p.blocks as usize, p.inputs as usize, p.units as usize);
        let owned = part.features(units);
        let mut scratch = dense_cpu::take_scratch();
        dense_cpu::panels(args.input(1), units, blocks, owned.clone(), &mut scratch);
        let outer = Outer { x: args.input(0), inputs, panels: &scratch, images: blocks * LANES };
        let rows = |first: u32| Rows { first: first as usize, units, owned: owned.clone(), args };
        outer.run(s, 0..inputs, &mut rows(p.weight));
        outer.biases(s, &mut rows(p.bias));
        dense_cpu::give_scratch(scratch);
    }
}

/// Gradients in rows of `units`, of which the part owns some columns.
struct Rows<'a> {
    first: usize,
    units: usize,
    owned: Range<usize>,
    args: &'a CpuArgs<'a>,
}

impl Finish for Rows<'_> {
    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S, row: usize, panel: usize, sums: S::V) {
        let unit = self.owned.start + panel * LANES;
        let at = self.first + row * self.units + unit;
        s.store_part(self.args.output(2, at..at + LANES.min(self.owned.end - unit)), sums);
    }
}
