//! Batch normalisation in training: a batch's own statistics, and the running ones.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::channels::{Shape, TOGETHER, lane_mask};
use super::control::{self, ROWS};
use super::real::Real;
use super::share::{CpuArgs, Part, Region, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, read_words,
    slots, update, write, write_activation,
};
use std::ops::Range;

params! {
    /// Shapes, where parameters and statistics lie, and settings.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Channels (features, after a dense product).
        channels: u32,
        /// Pixels of a channel.
        pixels: u32,
        /// First word of the scales, `[channels]`, in the parameters.
        gamma: u32,
        /// First word of the shifts, `[channels]`, in the parameters.
        beta: u32,
        /// First word of the running means, `[channels]`, in the statistics.
        running_mean: u32,
        /// First word of the running variances, `[channels]`, in the statistics.
        running_variance: u32,
        /// Number of the [`Activation`] of the result.
        activation: u32,
        /// Share of the old running statistics that stays.
        momentum: f32,
        /// Share of the batch's own statistics that joins: formed in f64, since 1 - momentum in f32 is 1e-6 off.
        one_minus_momentum: f32,
        /// Added to the variance.
        epsilon: f32,
    }
}

/// See the shader for the formula.
pub struct BatchNorm;

/// One share of the fast CPU version.
struct Train<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    channels: Range<usize>,
}

impl simd::Kernel for Train<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Range { mut start, end } = self.channels;
        while end - start >= TOGETHER {
            self.group::<S, TOGETHER>(s, start);
            start += TOGETHER;
        }
        while start < end {
            self.group::<S, 1>(s, start);
            start += 1;
        }
    }
}

impl Train<'_> {
    /// `N` channels from the `first` on, side by side.
    #[inline(always)]
    fn group<S: Simd, const N: usize>(&self, s: S, first: usize) {
        let (p, args) = (self.p, self.args);
        let (x, parameters, rows) = (args.input(0), args.input(1), args.input_words(2)[ROWS]);
        let (shape, activation) = (shape(p), Activation::from_code(p.activation));
        let (zero, half, count) = (s.splat(0.0), s.splat(0.5), shape.count(rows));
        let each = shape.pixels * LANES;

        let mut sums = [zero; N];
        for block in 0..shape.blocks {
            let mask = s.load(lane_mask(rows, block));
            let x = &x[shape.words(block, first, N)];
            for at in (0..each).step_by(LANES) {
                for g in 0..N {
                    sums[g] = s.add(sums[g], s.select_gt(mask, half, s.load(&x[g * each + at..]), zero));
                }
            }
        }
        // Loops and not closures, which would be compiled without the chosen instructions.
        let (mut means, mut mean) = ([0.0; N], [zero; N]);
        for g in 0..N {
            means[g] = s.sum(sums[g]) / count;
            mean[g] = s.splat(means[g]);
        }

        let mut squares = [zero; N];
        for block in 0..shape.blocks {
            let mask = s.load(lane_mask(rows, block));
            let x = &x[shape.words(block, first, N)];
            for at in (0..each).step_by(LANES) {
                for g in 0..N {
                    let deviation = s.sub(s.load(&x[g * each + at..]), mean[g]);
                    let deviation = s.select_gt(mask, half, deviation, zero);
                    squares[g] = s.fma(deviation, deviation, squares[g]);
                }
            }
        }
        let (mut variances, mut inv_stds) = ([0.0; N], [0.0; N]);
        for g in 0..N {
            variances[g] = s.sum(squares[g]) / count;
            inv_stds[g] = 1.0 / (variances[g] + p.epsilon).sqrt();
        }

        let gamma = &parameters[p.gamma as usize + first..][..N];
        let beta = &parameters[p.beta as usize + first..][..N];
        let past_caches = args.past_caches(5);
        for block in 0..shape.blocks {
            let words = shape.words(block, first, N);
            let (x, y) = (&x[words.clone()], args.output(5, words));
            for g in 0..N {
                let (scale, beta) = (s.splat(gamma[g] * inv_stds[g]), s.splat(beta[g]));
                let x = x[g * each..(g + 1) * each].chunks_exact(LANES);
                for (x, y) in x.zip(y[g * each..].chunks_exact_mut(LANES)) {
                    let normal = s.fma(s.sub(s.load(x), mean[g]), scale, beta);
                    s.put(y, activation_simd::apply(s, activation, normal), past_caches);
                }
            }
        }
        args.output(4, first..first + N).copy_from_slice(&means);
        args.output(4, shape.channels + first..shape.channels + first + N).copy_from_slice(&inv_stds);
        for (start, new) in [(p.running_mean, means), (p.running_variance, variances)] {
            let start = start as usize + first;
            for (running, new) in args.output(3, start..start + N).iter_mut().zip(new) {
                *running = *running * p.momentum + new * p.one_minus_momentum;
            }
        }
    }
}

fn shape(p: &Params) -> Shape {
    Shape::new(p.blocks, p.channels, p.pixels)
}

impl Formula for BatchNorm {
    type Params = Params;
    const NAME: &'static str = "batch_norm";
    const BINDINGS: &'static [Binding] = &[
        read_activation("x"),
        read("parameters"),
        read_words("control"),
        update("statistics"),
        write("saved"),
        write_activation("y"),
    ];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let mut kernel = shape(p).kernel(class);
        kernel.constants.push(("ACTIVATION", p.activation));
        kernel
    }

    fn cost(p: &Params) -> Cost {
        let values = shape(p).len() as u64;
        Cost { flops: 8 * values, bytes: 8 * values }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, parameters, control, statistics, saved, y] = slots(args);
        let (x, parameters, statistics) = (x.real(), parameters.real(), statistics.real());
        let (saved, y) = (saved.real(), y.real());
        let rows = control.words()[ROWS];
        let shape = shape(p);
        let activation = Activation::from_code(p.activation);
        let count = T::of(f64::from(shape.count(rows)));
        let [momentum, one_minus_momentum, epsilon] =
            [p.momentum, p.one_minus_momentum, p.epsilon].map(|x| T::of(f64::from(x)));
        for c in 0..shape.channels {
            let valid = shape.elements(c, rows);
            let mean = valid.clone().fold(T::ZERO, |sum, i| sum + x[i]) / count;
            let squares = valid.fold(T::ZERO, |sum, i| (x[i] - mean).mul_add(x[i] - mean, sum));
            let variance = squares / count;
            let inv_std = T::ONE / (variance + epsilon).sqrt();
            let (gamma, beta) = (parameters[p.gamma as usize + c], parameters[p.beta as usize + c]);
            for i in shape.elements(c, p.blocks * LANES as u32) {
                y[i] = activation.apply(gamma * (x[i] - mean) * inv_std + beta);
            }
            saved[c] = mean;
            saved[shape.channels + c] = inv_std;
            for (first, new) in [(p.running_mean, mean), (p.running_variance, variance)] {
                let running = &mut statistics[first as usize + c];
                *running = *running * momentum + new * one_minus_momentum;
            }
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn regions(p: &Params, binding: usize) -> Vec<Region> {
        match binding {
            0 | 5 => vec![Region::features(p.channels)],
            1 => [p.gamma, p.beta].map(|first| Region::words(first, p.channels as usize)).into(),
            3 => [p.running_mean, p.running_variance]
                .map(|first| Region::words(first, p.channels as usize))
                .into(),
            _ => vec![Region::ALL],
        }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Train { p, args, channels: part.features(p.channels as usize) });
    }

    fn cases() -> Vec<Case<Params>> {
        let case =
            |name: &str, batch: usize, rows: usize, (channels, pixels): (usize, usize), activation, x| {
                let blocks = super::blocks(batch);
                let p = Params {
                    blocks: blocks as u32,
                    channels: channels as u32,
                    pixels: pixels as u32,
                    gamma: 3,
                    beta: 3 + channels as u32 + 2,
                    running_mean: 1,
                    running_variance: 1 + channels as u32 + 4,
                    activation: activation as u32,
                    momentum: 0.99,
                    one_minus_momentum: 0.01,
                    epsilon: 1e-3,
                };
                let (low, high): (f32, f32) = x;
                let len = blocks * channels * pixels * LANES;
                Case::new(
                    format!("{name}: {rows} of {batch}, {channels} x {pixels}, {activation:?}"),
                    p,
                    vec![
                        Fill::Uniform(len, low, high),
                        Fill::signed(2 * channels + 9),
                        Fill::Words(control::start(0, 0, rows, batch, 0, 1).to_vec()),
                        Fill::Uniform(2 * channels + 9, 0.0, 2.0),
                        Fill::Output(2 * channels + 1),
                        Fill::Output(len),
                    ],
                )
            };
        let plain = (-1.0, 1.0);
        let mut cases = vec![
            case("one number", 1, 1, (1, 1), Activation::Linear, plain),
            case("dense", 128, 128, (100, 1), Activation::Selu, plain),
            case("ragged", 128, 77, (7, 1), Activation::Relu, plain),
            case("maps", 32, 32, (5, 49), Activation::Relu, plain),
            case("ragged maps", 61, 43, (17, 13), Activation::Linear, plain),
            case("part of the invocations in the last round", 40, 40, (3, 1), Activation::Linear, plain),
            case("many pixels", 16, 16, (2, 784), Activation::Linear, plain),
            case("far from zero", 50, 50, (3, 7), Activation::Linear, (999.98, 1000.02)),
            case("large", 50, 50, (3, 7), Activation::Linear, (-1e6, 1e6)),
            case("constant", 32, 32, (3, 1), Activation::Linear, (0.25, 0.25)),
        ];
        let fusible = Activation::ALL.into_iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|a| case("epilogue", 20, 20, (3, 1), a, (-3.0, 3.0))));
        cases
    }
}
