//! Batch normalisation in evaluation: with the running statistics.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::channels::Shape;
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read, read_activation,
    slots, write_activation,
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
        /// Added to the variance.
        epsilon: f32,
    }
}

/// See the shader for the formula.
pub struct BatchNormInference;

/// One part of the fast CPU version.
struct Infer<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    blocks: Range<usize>,
}

impl simd::Kernel for Infer<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (p, args) = (self.p, self.args);
        let (parameters, statistics) = (args.input(1), args.input(2));
        let (shape, activation) = (shape(p), Activation::from_code(p.activation));
        for block in self.blocks {
            for c in 0..shape.channels {
                let mean = s.splat(statistics[p.running_mean as usize + c]);
                let deviation = (statistics[p.running_variance as usize + c] + p.epsilon).sqrt();
                let scale = s.splat(parameters[p.gamma as usize + c] / deviation);
                let beta = s.splat(parameters[p.beta as usize + c]);
                let words = shape.words(block, c, 1);
                let x = args.input_part(0, words.clone());
                let y = args.output(3, words).chunks_exact_mut(LANES);
                for (x, y) in x.chunks_exact(LANES).zip(y) {
                    let normal = s.fma(s.sub(s.load(x), mean), scale, beta);
                    s.store(y, activation_simd::apply(s, activation, normal));
                }
            }
        }
    }
}

fn shape(p: &Params) -> Shape {
    Shape::new(p.blocks, p.channels, p.pixels)
}

impl Formula for BatchNormInference {
    type Params = Params;
    const NAME: &'static str = "batch_norm_inference";
    const BINDINGS: &'static [Binding] =
        &[read_activation("x"), read("parameters"), read("statistics"), write_activation("y")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        let grid = linear_grid(shape(p).len() / 4, 64);
        Kernel { constants: vec![("ACTIVATION", p.activation)], grid }
    }

    fn cost(p: &Params) -> Cost {
        let values = shape(p).len() as u64;
        Cost { flops: 3 * values, bytes: 8 * values }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, parameters, statistics, y] = slots(args);
        let (x, parameters, statistics, y) = (x.real(), parameters.real(), statistics.real(), y.real());
        let (shape, activation) = (shape(p), Activation::from_code(p.activation));
        let epsilon = T::of(f64::from(p.epsilon));
        for c in 0..shape.channels {
            let mean = statistics[p.running_mean as usize + c];
            let variance = statistics[p.running_variance as usize + c];
            let (gamma, beta) = (parameters[p.gamma as usize + c], parameters[p.beta as usize + c]);
            for i in shape.elements(c, p.blocks * LANES as u32) {
                y[i] = activation.apply(gamma * (x[i] - mean) / (variance + epsilon).sqrt() + beta);
            }
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Infer { p, args, blocks: part.blocks() });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, blocks: usize, (channels, pixels): (usize, usize), activation, range: f32| {
            let p = Params {
                blocks: blocks as u32,
                channels: channels as u32,
                pixels: pixels as u32,
                gamma: 3,
                beta: 3 + channels as u32 + 2,
                running_mean: 1,
                running_variance: 1 + channels as u32 + 4,
                activation: activation as u32,
                epsilon: 1e-3,
            };
            let len = blocks * channels * pixels * LANES;
            Case::new(
                format!("{name}: {blocks} blocks, {channels} x {pixels}, {activation:?}"),
                p,
                vec![
                    Fill::Uniform(len, -range, range),
                    Fill::signed(2 * channels + 9),
                    Fill::Uniform(2 * channels + 9, 0.0, 2.0),
                    Fill::Output(len + 5),
                ],
            )
        };
        let mut cases = vec![
            case("one number", 1, (1, 1), Activation::Linear, 1.0),
            case("dense", 8, (100, 1), Activation::Selu, 1.0),
            case("maps", 2, (5, 49), Activation::Relu, 1.0),
            case("primes", 3, (17, 13), Activation::Linear, 1.0),
            case("large", 2, (3, 7), Activation::Linear, 1e6),
        ];
        let fusible = Activation::ALL.into_iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|a| case("epilogue", 2, (3, 1), a, 3.0)));
        cases
    }
}
