//! The convolution, stride 1, with its bias and activation.

use super::activation::Activation;
use super::case::{Case, Fill};
use super::convolution::{Algorithm, Correlation, Direction, Pass, Shape};
use super::matrices::Matrices;
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, slots,
    write_activation,
};

params! {
    /// Shapes, and where the parameters lie in the flat buffer.
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
        /// First word of the biases, `[filters]`.
        bias: u32,
        /// Number of the [`Activation`].
        activation: u32,
    }
}

impl Params {
    /// Those of a test case.
    pub(super) fn of_case(shape: &Shape, activation: Activation) -> Self {
        let c = shape.forward;
        let (weight, bias) = (3, 3 + c.weight_words() + 2);
        Self {
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
            bias: bias as u32,
            activation: activation as u32,
        }
    }

    pub(super) fn correlation(&self) -> Correlation {
        Correlation {
            inputs: self.channels as usize,
            height: self.height as usize,
            width: self.width as usize,
            outputs: self.filters as usize,
            out_height: self.out_height as usize,
            out_width: self.out_width as usize,
            kernel: self.kernel as usize,
            pad: self.pad as usize,
        }
    }
}

/// See the shader for the formula.
pub struct Conv2d;

impl Formula for Conv2d {
    type Params = Params;
    const NAME: &'static str = "conv2d";
    const BINDINGS: &'static [Binding] = &[read_activation("x"), read("parameters"), write_activation("y")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        p.correlation().kernel(p.blocks, p.activation, class)
    }

    fn cooperative_kernel(p: &Params, matrices: Matrices) -> Option<Kernel> {
        let columns = p.blocks * p.out_height * p.out_width * LANES as u32;
        Some(matrices.kernel(p.filters, columns, [("IMAGES", 4), ("ACTIVATION", p.activation)]))
    }

    fn cost(p: &Params) -> Cost {
        let c = p.correlation();
        let words = p.blocks as usize * (c.input_words() + c.output_words()) + c.weight_words() + c.outputs;
        Cost { flops: 2 * u64::from(p.blocks) * LANES as u64 * c.multiply_adds(), bytes: 4 * words as u64 }
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
        let parameters = args.input(1);
        let (weights, bias) = (&parameters[p.weight as usize..], &parameters[p.bias as usize..]);
        for block in part.blocks() {
            let pass = Pass {
                correlation: c,
                direction: Direction::Forward { bias },
                activation: Activation::from_code(p.activation),
                weights,
                input: args.input_block(0, block, c.input_words()),
                output: args.output(2, block * c.output_words()..(block + 1) * c.output_words()),
            };
            pass.run();
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |shape: Shape, activation: Activation| {
            let c = shape.forward;
            let p = Params::of_case(&shape, activation);
            Case::new(
                format!("{shape}, {activation:?}"),
                p,
                vec![
                    Fill::signed(shape.blocks * c.input_words()),
                    Fill::signed(p.bias as usize + c.outputs + 5),
                    Fill::Output(shape.blocks * c.output_words() + 16),
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
    let [x, parameters, y] = slots(args);
    let (x, parameters, y) = (x.real(), parameters.real(), y.real());
    let c = p.correlation();
    let activation = Activation::from_code(p.activation);
    let (weight, bias) = (&parameters[p.weight as usize..], &parameters[p.bias as usize..]);
    let weight =
        |channel, ky, kx, filter| weight[((channel * c.kernel + ky) * c.kernel + kx) * c.outputs + filter];
    for (i, sum) in c.outputs_of(algorithm, p.blocks as usize, x, weight).into_iter().enumerate() {
        let (_, filter, ..) = c.output_index(i);
        y[i] = activation.apply(sum + bias[filter]);
    }
}
