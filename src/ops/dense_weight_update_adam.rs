//! Adam folded into the gradients of a dense product's weights and biases, which never reach memory.
//!
//! The call overwrites the weights, so [`dense_input_grad`](super::dense_input_grad) of the same layer, which needs the
//! old ones, must come before it. For plans that need no gradients afterwards: no clipping, no gradient to print.

use super::adam::{self, Settings};
use super::case::{Case, Fill};
use super::dense_cpu::{self, Keep};
use super::dense_weight_grad::{self, gradient};
use super::matrices::Matrices;
use super::real::Real;
use super::share::{CpuArgs, Part, Region, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, control, params, read, read_activation,
    read_words, slots, update,
};
use std::ops::Range;

params! {
    /// Shapes, where the parameters lie in the flat buffers, and Adam's settings.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Features of an input.
        inputs: u32,
        /// Features of an output.
        units: u32,
        /// First word of the weights and of their moments, `[inputs][units]`.
        weight: u32,
        /// First word of the biases and of their moments, `[units]`.
        bias: u32,
        /// 1 - beta 1, the share of the new gradient in the first moment.
        one_minus_beta_1: f32,
        /// 1 - beta 2.
        one_minus_beta_2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
        /// Decoupled weight decay (AdamW), in units of the learning rate.
        weight_decay: f32,
    }
}

impl Params {
    fn gradient(&self) -> dense_weight_grad::Params {
        let Self { blocks, inputs, units, weight, bias, .. } = *self;
        dense_weight_grad::Params { blocks, inputs, units, weight, bias }
    }

    fn adam(&self) -> adam::Params {
        let Self { one_minus_beta_1, one_minus_beta_2, epsilon, weight_decay, .. } = *self;
        let len = (self.inputs + 1) * self.units;
        adam::Params { len, one_minus_beta_1, one_minus_beta_2, epsilon, weight_decay }
    }
}

/// See the shader for the formula.
pub struct DenseWeightUpdateAdam;

impl Formula for DenseWeightUpdateAdam {
    type Params = Params;
    const NAME: &'static str = "dense_weight_update_adam";
    const BINDINGS: &'static [Binding] = &[
        read_activation("x"),
        read("y_grad"),
        read("schedule"),
        read_words("control"),
        update("parameters"),
        update("first_moment"),
        update("second_moment"),
    ];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        dense_weight_grad::DenseWeightGrad::kernel(&p.gradient(), class)
    }

    fn cooperative_kernel(p: &Params, matrices: Matrices) -> Option<Kernel> {
        dense_weight_grad::DenseWeightGrad::cooperative_kernel(&p.gradient(), matrices)
    }

    fn cost(p: &Params) -> Cost {
        let product = dense_weight_grad::DenseWeightGrad::cost(&p.gradient());
        let adam = adam::Adam::cost(&p.adam());
        // The gradient is neither written nor read.
        let unwritten = 8 * u64::from((p.inputs + 1) * p.units);
        Cost { flops: product.flops + adam.flops, bytes: product.bytes + adam.bytes - unwritten }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y_grad, schedule, control, parameters, first, second] = slots(args);
        let (parameters, first, second) = (parameters.real(), first.real(), second.real());
        let settings = Settings::new(&p.adam(), adam::rates(schedule.real(), control.words()));
        gradient(&p.gradient(), x.real(), y_grad.real(), |i, gradient| {
            settings.step(gradient, &mut parameters[i], &mut first[i], &mut second[i]);
        });
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn regions(p: &Params, binding: usize) -> Vec<Region> {
        let [x, y_grad, parameters] = dense_cpu::weight_regions(&p.gradient());
        match binding {
            0 => x,
            1 => y_grad,
            2 | 3 => vec![Region::ALL],
            _ => parameters,
        }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |blocks: usize, inputs: usize, units: usize, weight_decay| {
            let (weight, bias) = dense_weight_grad::case_places(inputs, units);
            let p = Params {
                blocks: blocks as u32,
                inputs: inputs as u32,
                units: units as u32,
                weight: weight as u32,
                bias: bias as u32,
                one_minus_beta_1: 0.1,
                one_minus_beta_2: 0.001,
                epsilon: 1e-7,
                weight_decay,
            };
            let len = bias + units + 3;
            Case::new(
                format!("{blocks} blocks, {inputs} x {units}, weight decay {weight_decay}"),
                p,
                vec![
                    Fill::signed(blocks * inputs * LANES),
                    Fill::signed(blocks * units * LANES),
                    Fill::Values(vec![1.0, 1.0, 0.01, 0.02]),
                    Fill::Words(control::start(1, 1, 64, 32, 0, 1).to_vec()),
                    Fill::signed(len),
                    Fill::signed(len),
                    Fill::Uniform(len, 0.1, 1.0),
                ],
            )
        };
        let sizes = dense_weight_grad::HOSTILE_SIZES.iter();
        let mut cases: Vec<_> =
            sizes.map(|&(blocks, inputs, units)| case(blocks, inputs, units, 0.0)).collect();
        cases.push(case(2, 9, 33, 0.004));
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
        let rates = adam::rates(args.input(2), args.input_words(3));
        let mut update = Update { settings: Settings::new(&p.adam(), rates).splat(s), args };
        dense_cpu::weights(s, &p.gradient(), args.input(0), args.input(1), &part, &mut update);
    }
}

struct Update<'a, V> {
    settings: Settings<V>,
    args: &'a CpuArgs<'a>,
}

impl<S: Simd> Keep<S> for Update<'_, S::V> {
    #[inline(always)]
    fn keep(&mut self, s: S, words: Range<usize>, gradients: &[f32]) {
        let (parameters, first) = (self.args.output(4, words.clone()), self.args.output(5, words.clone()));
        self.settings.step_all(s, gradients, [parameters, first, self.args.output(6, words)]);
    }
}
