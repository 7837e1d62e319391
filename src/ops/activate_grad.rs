//! The gradient of an activation function that stands by itself, from its input.

use super::activate::hostile_inputs;
use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, LANES, Slot, linear_grid, params, read, read_activation, slots,
    write,
};

params! {
    /// Size, function, and the activation that made the input.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Elements, padding included: a multiple of 16 for each block.
        len: u32,
        /// Number of the [`Activation`] that is differentiated.
        activation: u32,
        /// Number of the [`Activation`] whose output the input is.
        input_activation: u32,
    }
}

/// See the shader for the formula.
pub struct ActivateGrad;

/// One part of the fast CPU version.
struct Differentiate<'a> {
    activation: Activation,
    input_activation: Activation,
    y_grad: &'a [f32],
    x: &'a [f32],
    x_grad: &'a mut [f32],
}

impl simd::Kernel for Differentiate<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let inputs = self.y_grad.chunks_exact(LANES).zip(self.x.chunks_exact(LANES));
        for ((y_grad, x), x_grad) in inputs.zip(self.x_grad.chunks_exact_mut(LANES)) {
            let x = s.load(x);
            let gradient = s.mul(s.load(y_grad), activation_simd::derivative(s, self.activation, x));
            let slope = activation_simd::derivative_from_output(s, self.input_activation, x);
            s.store(x_grad, s.mul(gradient, slope));
        }
    }
}

impl Formula for ActivateGrad {
    type Params = Params;
    const NAME: &'static str = "activate_grad";
    const BINDINGS: &'static [Binding] = &[read("y_grad"), read_activation("x"), write("x_grad")];

    fn kernel(p: &Params, _: DeviceClass) -> super::Kernel {
        super::Kernel {
            constants: vec![("ACTIVATION", p.activation), ("INPUT_ACTIVATION", p.input_activation)],
            grid: linear_grid(p.len as usize, 64),
        }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 12 * u64::from(p.len), bytes: 12 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [y_grad, x, x_grad] = slots(args);
        let (y_grad, x, x_grad) = (y_grad.real(), x.real(), x_grad.real());
        let activation = Activation::from_code(p.activation);
        let input_activation = Activation::from_code(p.input_activation);
        for i in 0..p.len as usize {
            let gradient = y_grad[i] * activation.derivative(x[i]);
            x_grad[i] = gradient * input_activation.derivative_from_output(x[i]);
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let range = part.block_items(p.len as usize / p.blocks as usize);
        simd::dispatch(Differentiate {
            activation: Activation::from_code(p.activation),
            input_activation: Activation::from_code(p.input_activation),
            y_grad: args.input_part(0, range.clone()),
            x: args.input_part(1, range.clone()),
            x_grad: args.output(2, range),
        });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str,
                    (blocks, features): (usize, usize),
                    [activation, input]: [Activation; 2],
                    x: Fill| {
            let len = blocks * features * LANES;
            let p = Params {
                blocks: blocks as u32,
                len: len as u32,
                activation: activation as u32,
                input_activation: input as u32,
            };
            let buffers = vec![Fill::signed(len), x, Fill::Output(len + 3)];
            Case::new(format!("{activation:?} after {input:?}, {name}"), p, buffers)
        };
        let mut cases = Vec::new();
        for activation in Activation::ALL {
            let shape = (3, 37);
            let pair = [activation, Activation::Linear];
            cases.push(case("3 blocks of 37", shape, pair, Fill::Uniform(3 * 37 * LANES, -8.0, 8.0)));
            cases.push(case("hostile", (1, 2), pair, Fill::Values(hostile_inputs())));
        }
        for input in Activation::ALL.into_iter().filter(|a| a.fusible()) {
            cases.push(case("2 blocks of 1", (2, 1), [Activation::Swish, input], Fill::signed(2 * LANES)));
        }
        cases
    }
}
