//! The gradients of batch normalisation in training.

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
    slots, write,
};
use std::ops::Range;

params! {
    /// Shapes, where parameters and gradients lie, and the activation that made the input.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Channels (features, after a dense product).
        channels: u32,
        /// Pixels of a channel.
        pixels: u32,
        /// First word of the scales, `[channels]`, in the parameters.
        gamma: u32,
        /// First word of the scales' gradients, `[channels]`.
        gamma_grad: u32,
        /// First word of the shifts' gradients, `[channels]`.
        beta_grad: u32,
        /// Number of the [`Activation`] whose output the input is.
        activation: u32,
    }
}

/// See the shader for the formula.
pub struct BatchNormGrad;

/// One share of the fast CPU version.
struct Backward<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    channels: Range<usize>,
}

impl simd::Kernel for Backward<'_> {
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

impl Backward<'_> {
    /// `N` channels from the `first` on, side by side.
    #[inline(always)]
    fn group<S: Simd, const N: usize>(&self, s: S, first: usize) {
        let (p, args) = (self.p, self.args);
        let (y_grad, x, saved) = (args.input(0), args.input(1), args.input(3));
        let gamma = &args.input(2)[p.gamma as usize + first..][..N];
        let rows = args.input_words(4)[ROWS];
        let (shape, activation) = (shape(p), Activation::from_code(p.activation));
        let (zero, half, count) = (s.splat(0.0), s.splat(0.5), shape.count(rows));
        let each = shape.pixels * LANES;
        let (means, inv_stds) = (&saved[first..][..N], &saved[shape.channels + first..][..N]);

        let (mut sums, mut products) = ([zero; N], [zero; N]);
        for block in 0..shape.blocks {
            let mask = s.load(lane_mask(rows, block));
            let words = shape.words(block, first, N);
            let (y_grad, x) = (&y_grad[words.clone()], &x[words]);
            for at in (0..each).step_by(LANES) {
                for g in 0..N {
                    let gradient = s.select_gt(mask, half, s.load(&y_grad[g * each + at..]), zero);
                    let deviation = s.sub(s.load(&x[g * each + at..]), s.splat(means[g]));
                    let normal = s.select_gt(mask, half, s.mul(deviation, s.splat(inv_stds[g])), zero);
                    sums[g] = s.add(sums[g], gradient);
                    products[g] = s.fma(gradient, normal, products[g]);
                }
            }
        }
        let past_caches = args.past_caches(6);
        let (mut beta_grad, mut gamma_grad) = ([0.0; N], [0.0; N]);
        for g in 0..N {
            beta_grad[g] = s.sum(sums[g]);
            gamma_grad[g] = s.sum(products[g]);
        }

        for block in 0..shape.blocks {
            let mask = s.load(lane_mask(rows, block));
            let words = shape.words(block, first, N);
            let (y_grad, x) = (&y_grad[words.clone()], &x[words.clone()]);
            let x_grad = args.output(6, words);
            for g in 0..N {
                let (mean, inv_std) = (s.splat(means[g]), s.splat(inv_stds[g]));
                let scale = s.splat(gamma[g] * inv_stds[g]);
                let (average, minus_product) =
                    (s.splat(beta_grad[g] / count), s.splat(-gamma_grad[g] / count));
                let range = g * each..(g + 1) * each;
                let inputs =
                    y_grad[range.clone()].chunks_exact(LANES).zip(x[range.clone()].chunks_exact(LANES));
                for ((y_grad, x), x_grad) in inputs.zip(x_grad[range].chunks_exact_mut(LANES)) {
                    let x = s.load(x);
                    let normal = s.mul(s.sub(x, mean), inv_std);
                    let centred = s.fma(normal, minus_product, s.sub(s.load(y_grad), average));
                    let slope = activation_simd::derivative_from_output(s, activation, x);
                    let gradient = s.mul(s.mul(centred, scale), slope);
                    s.put(x_grad, s.select_gt(mask, half, gradient, zero), past_caches);
                }
            }
        }
        for (start, new) in [(p.beta_grad, beta_grad), (p.gamma_grad, gamma_grad)] {
            let start = start as usize + first;
            args.output(5, start..start + N).copy_from_slice(&new);
        }
    }
}

fn shape(p: &Params) -> Shape {
    Shape::new(p.blocks, p.channels, p.pixels)
}

impl Formula for BatchNormGrad {
    type Params = Params;
    const NAME: &'static str = "batch_norm_grad";
    const BINDINGS: &'static [Binding] = &[
        read("y_grad"),
        read_activation("x"),
        read("parameters"),
        read("saved"),
        read_words("control"),
        write("gradients"),
        write("x_grad"),
    ];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let mut kernel = shape(p).kernel(class);
        kernel.constants.push(("ACTIVATION", p.activation));
        kernel
    }

    fn cost(p: &Params) -> Cost {
        let values = shape(p).len() as u64;
        Cost { flops: 12 * values, bytes: 12 * values }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [y_grad, x, parameters, saved, control, gradients, x_grad] = slots(args);
        let (y_grad, x, parameters, saved) = (y_grad.real(), x.real(), parameters.real(), saved.real());
        let (gradients, x_grad) = (gradients.real(), x_grad.real());
        let rows = control.words()[ROWS];
        let (shape, activation) = (shape(p), Activation::from_code(p.activation));
        let count = T::of(f64::from(shape.count(rows)));
        for c in 0..shape.channels {
            let (mean, inv_std) = (saved[c], saved[shape.channels + c]);
            let normal = |x: T| (x - mean) * inv_std;
            let valid = shape.elements(c, rows);
            let beta_grad = valid.clone().fold(T::ZERO, |sum, i| sum + y_grad[i]);
            let gamma_grad = valid.clone().fold(T::ZERO, |sum, i| y_grad[i].mul_add(normal(x[i]), sum));
            let scale = parameters[p.gamma as usize + c] * inv_std;
            shape.elements(c, p.blocks * LANES as u32).for_each(|i| x_grad[i] = T::ZERO);
            for i in valid {
                let centred = y_grad[i] - beta_grad / count - normal(x[i]) * gamma_grad / count;
                x_grad[i] = scale * centred * activation.derivative_from_output(x[i]);
            }
            gradients[p.beta_grad as usize + c] = beta_grad;
            gradients[p.gamma_grad as usize + c] = gamma_grad;
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn regions(p: &Params, binding: usize) -> Vec<Region> {
        match binding {
            0 | 1 | 6 => vec![Region::features(p.channels)],
            5 => [p.gamma_grad, p.beta_grad].map(|first| Region::words(first, p.channels as usize)).into(),
            _ => vec![Region::ALL],
        }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Backward { p, args, channels: part.features(p.channels as usize) });
    }

    fn cases() -> Vec<Case<Params>> {
        let case =
            |name: &str, batch: usize, rows: usize, (channels, pixels): (usize, usize), activation, range| {
                let blocks = super::blocks(batch);
                let p = Params {
                    blocks: blocks as u32,
                    channels: channels as u32,
                    pixels: pixels as u32,
                    gamma: 3,
                    gamma_grad: 1,
                    beta_grad: 1 + channels as u32 + 4,
                    activation: activation as u32,
                };
                let (low, high): (f32, f32) = range;
                let len = blocks * channels * pixels * LANES;
                Case::new(
                    format!("{name}: {rows} of {batch}, {channels} x {pixels}, {activation:?}"),
                    p,
                    vec![
                        Fill::signed(len),
                        Fill::Uniform(len, low, high),
                        Fill::signed(channels + 5),
                        Fill::Uniform(2 * channels, 0.1, 2.0),
                        Fill::Words(control::start(0, 0, rows, batch, 0, 1).to_vec()),
                        Fill::Output(2 * channels + 9),
                        Fill::Output(len),
                    ],
                )
            };
        let plain = (-1.0, 1.0);
        let mut cases = vec![
            case("one number", 1, 1, (1, 1), Activation::Linear, plain),
            case("dense", 128, 128, (100, 1), Activation::Linear, plain),
            case("ragged", 128, 77, (7, 1), Activation::Linear, plain),
            case("maps", 32, 32, (5, 49), Activation::Relu, plain),
            case("ragged maps", 61, 43, (17, 13), Activation::Linear, plain),
            case("part of the invocations in the last round", 40, 40, (3, 1), Activation::Linear, plain),
            case("many pixels", 16, 16, (2, 784), Activation::Relu, plain),
            case("far from the mean", 50, 50, (3, 7), Activation::Linear, (999.0, 1001.0)),
        ];
        let fusible = Activation::ALL.into_iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|a| case("prologue", 20, 19, (3, 1), a, plain)));
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::batch_norm::{self, BatchNorm};
    use crate::rng::{Purpose, Stream};

    /// The loss is a random weighting of y, of a ragged batch of 19 images with 2 channels of 3 pixels.
    #[test]
    fn gradients_agree_with_difference_quotients() {
        let (blocks, channels, pixels) = (2, 2, 3);
        let len = (blocks * channels * pixels) as usize * LANES;
        let mut control = control::start(0, 0, 19, 32, 0, 1);
        let random = |a, len: u32| -> Vec<f64> {
            (0..len).map(|i| Stream::new(9, Purpose::Test, a, 0).uniform_f64(i) - 0.5).collect()
        };
        let (mut x, mut parameters, mut weighting) =
            (random(0, len as u32), random(1, 4), random(2, len as u32));
        for (i, w) in weighting.iter_mut().enumerate() {
            let block = i / (len / blocks as usize);
            *w = if block * LANES + i % LANES < 19 { *w } else { 0.0 };
        }
        let mut forward = |x: &mut [f64], parameters: &mut [f64], saved: &mut [f64]| {
            let (epsilon, momentum, one_minus_momentum) = (1e-3, 0.9, 0.1);
            let activation = Activation::Linear as u32;
            let p = batch_norm::Params {
                blocks,
                channels,
                pixels,
                gamma: 0,
                beta: 2,
                running_mean: 0,
                running_variance: 2,
                activation,
                momentum,
                one_minus_momentum,
                epsilon,
            };
            let (mut statistics, mut y) = ([0.0; 4], vec![0.0; len]);
            let args = vec![
                Slot::Real(x),
                Slot::Real(parameters),
                Slot::Words(&mut control),
                Slot::Real(&mut statistics),
                Slot::Real(saved),
                Slot::Real(&mut y),
            ];
            BatchNorm::reference(&p, args);
            y.iter().zip(&weighting).map(|(y, w)| y * w).sum::<f64>()
        };
        let mut saved = [0.0; 4];
        forward(&mut x, &mut parameters, &mut saved);
        let quotient = |values: &mut [f64], i: usize, loss: &mut dyn FnMut(&mut [f64]) -> f64| {
            let (old, h) = (values[i], 1e-5);
            values[i] = old + h;
            let above = loss(values);
            values[i] = old - h;
            let below = loss(values);
            values[i] = old;
            (above - below) / (2.0 * h)
        };
        let mut scratch = [0.0; 4];
        let by_x: Vec<f64> = (0..len)
            .map(|i| quotient(&mut x, i, &mut |x| forward(x, &mut parameters, &mut scratch)))
            .collect();
        let by_parameter: Vec<f64> =
            (0..4).map(|i| quotient(&mut parameters, i, &mut |p| forward(&mut x, p, &mut scratch))).collect();

        let (mut gradients, mut x_grad) = ([0.0; 4], vec![0.0; len]);
        let activation = Activation::Linear as u32;
        let p = Params { blocks, channels, pixels, gamma: 0, gamma_grad: 0, beta_grad: 2, activation };
        let args = vec![
            Slot::Real(&mut weighting),
            Slot::Real(&mut x),
            Slot::Real(&mut parameters),
            Slot::Real(&mut saved),
            Slot::Words(&mut control),
            Slot::Real(&mut gradients),
            Slot::Real(&mut x_grad),
        ];
        BatchNormGrad::reference(&p, args);
        for (found, expected) in x_grad.iter().chain(&gradients).zip(by_x.iter().chain(&by_parameter)) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
        assert!(x_grad.iter().any(|g| g.abs() > 0.1));
    }
}
