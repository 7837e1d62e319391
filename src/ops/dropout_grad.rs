//! The gradient of dropout, by the same mask, drawn again.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::control;
use super::dropout::{self, DRAWN, Mask};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, read_words,
    slots, write,
};

params! {
    /// Size, place and rate, and the activation that made the input.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Elements, padding included: a multiple of 16 for each block.
        len: u32,
        /// Number of the layer: each draws numbers of its own.
        layer: u32,
        /// Number of the [`Activation`] whose output the input is.
        activation: u32,
        /// Share of the elements that became zero, below one.
        rate: f32,
    }
}

/// See the shader for the formula.
pub struct DropoutGrad;

/// Some blocks of the fast CPU version; `first` is the index of their first element.
struct Backward<'a> {
    mask: Mask,
    activation: Activation,
    first: usize,
    y_grad: &'a [f32],
    x: &'a [f32],
    x_grad: &'a mut [f32],
}

impl simd::Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (zero, chunk) = (s.splat(0.0), DRAWN);
        let inputs = self.y_grad.chunks(chunk).zip(self.x.chunks(chunk));
        for (i, ((y_grad, x), x_grad)) in inputs.zip(self.x_grad.chunks_mut(chunk)).enumerate() {
            let factors = self.mask.draw(self.first + i * chunk);
            for at in (0..x.len()).step_by(LANES) {
                let factor = s.load(&factors[at..]);
                let slope = activation_simd::derivative_from_output(s, self.activation, s.load(&x[at..]));
                let gradient = s.mul(s.mul(s.load(&y_grad[at..]), factor), slope);
                s.store(&mut x_grad[at..], s.select_gt(factor, zero, gradient, zero));
            }
        }
    }
}

impl Formula for DropoutGrad {
    type Params = Params;
    const NAME: &'static str = "dropout_grad";
    const BINDINGS: &'static [Binding] =
        &[read("y_grad"), read_activation("x"), read_words("control"), write("x_grad")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let mut kernel = dropout::kernel(p.len, class);
        kernel.constants.push(("ACTIVATION", p.activation));
        kernel
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 2 * u64::from(p.len), bytes: 12 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [y_grad, x, control, x_grad] = slots(args);
        let (y_grad, x, x_grad) = (y_grad.real(), x.real(), x_grad.real());
        let activation = Activation::from_code(p.activation);
        let stream = dropout::stream(control.words(), p.layer);
        let scale: T = dropout::growth(p.rate);
        for i in 0..p.len as usize {
            x_grad[i] = if stream.uniform(i as u32) >= p.rate {
                y_grad[i] * scale * activation.derivative_from_output(x[i])
            } else {
                T::ZERO
            };
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let range = part.block_items(p.len as usize / p.blocks as usize);
        simd::dispatch(Backward {
            mask: Mask::new(args.input_words(2), p.layer, p.rate),
            activation: Activation::from_code(p.activation),
            first: range.start,
            y_grad: args.input_part(0, range.clone()),
            x: args.input_part(1, range.clone()),
            x_grad: args.output(3, range),
        });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |blocks: usize, features: usize, rate: f32, activation: Activation| {
            let len = blocks * features * LANES;
            let activation_code = activation as u32;
            Case::new(
                format!("{blocks} blocks of {features}, rate {rate}, {activation:?}"),
                Params {
                    blocks: blocks as u32,
                    len: len as u32,
                    layer: 6,
                    activation: activation_code,
                    rate,
                },
                vec![
                    Fill::signed(len),
                    Fill::signed(len),
                    Fill::Words(control::start(1, 7, 64, 32, 0, 0x1234_5678_9ABC_DEF0).to_vec()),
                    Fill::Output(len + 5),
                ],
            )
        };
        let mut cases = vec![
            case(1, 1, 0.5, Activation::Linear),
            case(3, 37, 0.25, Activation::Relu),
            case(2, 64, 0.0, Activation::Linear),
            case(2, 501, 0.99, Activation::Linear),
        ];
        cases.extend(Activation::ALL.iter().filter(|a| a.fusible()).map(|&a| case(2, 3, 0.2, a)));
        cases
    }
}
