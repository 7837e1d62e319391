//! The gradient of softmax as a layer.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::channels::Shape;
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{Binding, Cost, DeviceClass, Formula, LANES, Slot, params, read, read_activation, slots, write};

params! {
    /// Shapes, and the activation that made the input.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Channels (features, after a dense product).
        channels: u32,
        /// Pixels of a channel.
        pixels: u32,
        /// Number of the [`Activation`] whose output the input is.
        activation: u32,
    }
}

/// See the shader for the formula.
pub struct SoftmaxGrad;

/// Some blocks of the fast CPU version.
struct Backward<'a> {
    shape: Shape,
    activation: Activation,
    y_grad: &'a [f32],
    y: &'a [f32],
    x: &'a [f32],
    x_grad: &'a mut [f32],
}

impl simd::Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let each = self.shape.pixels * LANES;
        let block = self.shape.channels * each;
        for first in (0..self.x.len()).step_by(block) {
            for column in (first..first + each).step_by(LANES) {
                let mut total = s.splat(0.0);
                for c in 0..self.shape.channels {
                    let at = column + c * each;
                    total = s.fma(s.load(&self.y_grad[at..]), s.load(&self.y[at..]), total);
                }
                for c in 0..self.shape.channels {
                    let at = column + c * each;
                    let gradient = s.mul(s.load(&self.y[at..]), s.sub(s.load(&self.y_grad[at..]), total));
                    let slope =
                        activation_simd::derivative_from_output(s, self.activation, s.load(&self.x[at..]));
                    s.store(&mut self.x_grad[at..], s.mul(gradient, slope));
                }
            }
        }
    }
}

fn shape(p: &Params) -> Shape {
    Shape::new(p.blocks, p.channels, p.pixels)
}

impl Formula for SoftmaxGrad {
    type Params = Params;
    const NAME: &'static str = "softmax_grad";
    const BINDINGS: &'static [Binding] =
        &[read("y_grad"), read_activation("y"), read_activation("x"), write("x_grad")];

    fn kernel(p: &Params, class: DeviceClass) -> super::Kernel {
        let mut kernel = shape(p).column_kernel(class);
        kernel.constants.push(("ACTIVATION", p.activation));
        kernel
    }

    fn cost(p: &Params) -> Cost {
        let values = shape(p).len() as u64;
        Cost { flops: 5 * values, bytes: 16 * values }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [y_grad, y, x, x_grad] = slots(args);
        let (y_grad, y, x, x_grad) = (y_grad.real(), y.real(), x.real(), x_grad.real());
        let activation = Activation::from_code(p.activation);
        for column in shape(p).columns() {
            let total = column.clone().fold(T::ZERO, |sum, i| y_grad[i].mul_add(y[i], sum));
            column.for_each(|i| {
                x_grad[i] = y[i] * (y_grad[i] - total) * activation.derivative_from_output(x[i]);
            });
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let shape = shape(p);
        let range = part.block_items(shape.channels * shape.pixels * LANES);
        simd::dispatch(Backward {
            shape,
            activation: Activation::from_code(p.activation),
            y_grad: args.input_part(0, range.clone()),
            y: args.input_part(1, range.clone()),
            x: args.input_part(2, range.clone()),
            x_grad: args.output(3, range),
        });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, blocks: u32, channels: u32, pixels: u32, activation: Activation| {
            let p = Params { blocks, channels, pixels, activation: activation as u32 };
            let len = shape(&p).len();
            Case::new(
                format!("{name}: {blocks} blocks, {channels} x {pixels}, {activation:?}"),
                p,
                vec![
                    Fill::signed(len),
                    Fill::Uniform(len, 0.0, 1.0),
                    Fill::signed(len),
                    Fill::Output(len + 3),
                ],
            )
        };
        let mut cases = vec![
            case("one channel", 1, 1, 1, Activation::Linear),
            case("ten classes", 8, 10, 1, Activation::Linear),
            case("maps", 3, 7, 5, Activation::Relu),
            case("62 classes", 2, 62, 1, Activation::Linear),
        ];
        let fusible = Activation::ALL.into_iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|a| case("prologue", 1, 3, 1, a)));
        cases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::softmax::{self, Softmax};

    /// The loss is a weighting of y.
    #[test]
    fn gradients_agree_with_difference_quotients() {
        let (blocks, channels, pixels) = (1, 5, 2);
        let len = 5 * 2 * LANES;
        let value = |i: usize, k: usize| ((i * k) % 17) as f64 / 8.0 - 1.0;
        let mut x: Vec<f64> = (0..len).map(|i| value(i, 5)).collect();
        let mut weighting: Vec<f64> = (0..len).map(|i| value(i, 11)).collect();
        let (mut y, mut x_grad) = (vec![0.0; len], vec![0.0; len]);
        let forward = |x: &mut [f64], y: &mut [f64]| {
            let p = softmax::Params { blocks, channels, pixels };
            Softmax::reference(&p, vec![Slot::Real(x), Slot::Real(y)]);
        };
        forward(&mut x, &mut y);
        let p = Params { blocks, channels, pixels, activation: Activation::Linear as u32 };
        let args =
            vec![Slot::Real(&mut weighting), Slot::Real(&mut y), Slot::Real(&mut x), Slot::Real(&mut x_grad)];
        SoftmaxGrad::reference(&p, args);
        for i in 0..len {
            let (old, h) = (x[i], 1e-5);
            let mut loss = |value| {
                x[i] = value;
                forward(&mut x, &mut y);
                y.iter().zip(&weighting).map(|(y, w)| y * w).sum::<f64>()
            };
            let quotient = (loss(old + h) - loss(old - h)) / (2.0 * h);
            x[i] = old;
            assert!((x_grad[i] - quotient).abs() < 1e-9, "{} {quotient}", x_grad[i]);
        }
    }
}
