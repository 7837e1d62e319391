//! The gradient of a convolution with respect to its input.

use super::activation::Activation;
use super::case::{Case, Fill};
use super::convolution::{Algorithm, Correlation, Direction, Pass, Shape};
use super::matrices::Matrices;
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, slots, write,
};

params! {
    /// Shapes of the convolution, where its weights lie, and the activation that made its input.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Channels of the input.
        channels: u32,
        /// Rows of the input.
        height: u32,
        /// Columns of the input.
        width: u32,
        /// Channels of the output.
        filters: u32,
        /// Rows and columns of the kernel.
        kernel: u32,
        /// Rows and columns of zeros before the first.
        pad: u32,
        /// Rows of the output.
        out_height: u32,
        /// Columns of the output.
        out_width: u32,
        /// First word of the weights, `[channels][kernel][kernel][filters]`.
        weight: u32,
        /// Number of the [`Activation`] whose output the input is.
        activation: u32,
    }
}

impl Params {
    /// From the output's gradient to the input's: the kernel is flipped, and there are as many zeros before the first
    /// row as the convolution reaches beyond it.
    fn correlation(&self) -> Correlation {
        Correlation {
            inputs: self.filters as usize,
            height: self.out_height as usize,
            width: self.out_width as usize,
            outputs: self.channels as usize,
            out_height: self.height as usize,
            out_width: self.width as usize,
            kernel: self.kernel as usize,
            pad: (self.kernel - 1 - self.pad) as usize,
        }
    }
}

/// See the shader for the formula.
pub struct Conv2dInputGrad;

impl Formula for Conv2dInputGrad {
    type Params = Params;
    const NAME: &'static str = "conv2d_input_grad";
    const BINDINGS: &'static [Binding] =
        &[read("y_grad"), read("parameters"), read_activation("x"), write("x_grad")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        p.correlation().flipped_kernel(p.blocks, p.activation, class)
    }

    fn cooperative_kernel(p: &Params, matrices: Matrices) -> Option<Kernel> {
        let columns = p.blocks * p.height * p.width * LANES as u32;
        Some(matrices.kernel(p.channels, columns, [("IMAGES", 4), ("ACTIVATION", p.activation)]))
    }

    fn cost(p: &Params) -> Cost {
        let c = p.correlation();
        let words = p.blocks as usize * (c.input_words() + 2 * c.output_words()) + c.weight_words();
        // As many multiply-adds as forward.
        let (outputs, pixels) = (p.filters * p.channels, p.out_height * p.out_width);
        let multiply_adds = u64::from(p.kernel * p.kernel * outputs) * u64::from(pixels);
        Cost { flops: 2 * u64::from(p.blocks) * LANES as u64 * multiply_adds, bytes: 4 * words as u64 }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        formula(p, Algorithm::Direct, args);
    }

    fn cpu_differs(p: &Params) -> bool {
        Algorithm::of_cpu(&p.correlation()) != Algorithm::Direct
    }

    fn cpu_reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        formula(p, Algorithm::of_cpu(&p.correlation()), args);
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let c = p.correlation();
        for block in part.blocks() {
            let result = block * c.output_words()..(block + 1) * c.output_words();
            let pass = Pass {
                correlation: c,
                direction: Direction::Backward { activated: args.input_part(2, result.clone()) },
                activation: Activation::from_code(p.activation),
                weights: &args.input(1)[p.weight as usize..],
                input: args.input_block(0, block, c.input_words()),
                output: args.output(3, result),
            };
            pass.run();
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |shape: Shape, activation: Activation| {
            let c = shape.forward;
            let weight = 7;
            let p = Params {
                blocks: shape.blocks as u32,
                channels: c.inputs as u32,
                height: c.height as u32,
                width: c.width as u32,
                filters: c.outputs as u32,
                kernel: c.kernel as u32,
                pad: c.pad as u32,
                out_height: c.out_height as u32,
                out_width: c.out_width as u32,
                weight: weight as u32,
                activation: activation as u32,
            };
            Case::new(
                format!("{shape}, {activation:?}"),
                p,
                vec![
                    Fill::signed(shape.blocks * c.output_words()),
                    Fill::signed(weight + c.weight_words() + 3),
                    Fill::signed(shape.blocks * c.input_words()),
                    Fill::Output(shape.blocks * c.input_words() + 16),
                ],
            )
        };
        let mut cases: Vec<_> =
            Shape::hostile().into_iter().map(|shape| case(shape, Activation::Relu)).collect();
        let fusible = Activation::ALL.into_iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|activation| case(Shape::small(), activation)));
        cases
    }
}

fn formula<T: Real>(p: &Params, algorithm: Algorithm, args: Vec<Slot<'_, T>>) {
    let [y_grad, parameters, x, x_grad] = slots(args);
    let (y_grad, parameters, x, x_grad) = (y_grad.real(), parameters.real(), x.real(), x_grad.real());
    let c = p.correlation();
    let activation = Activation::from_code(p.activation);
    let weight = &parameters[p.weight as usize..];
    let weight = |filter, flipped_ky, flipped_kx, channel| {
        let (ky, kx) = (c.kernel - 1 - flipped_ky, c.kernel - 1 - flipped_kx);
        weight[((channel * c.kernel + ky) * c.kernel + kx) * c.inputs + filter]
    };
    for (i, sum) in c.outputs_of(algorithm, p.blocks as usize, y_grad, weight).into_iter().enumerate() {
        x_grad[i] = sum * activation.derivative_from_output(x[i]);
    }
}
