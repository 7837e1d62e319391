//! The convolution, stride 1, of which only the greatest output of each 2x2 window is kept: with its bias and activation, and
//! with its place in the window, by which gradients find their way back.
//!
//! ReLU shows there too, so that it need not be differentiated any more: where it makes 0 of the greatest, nothing has won.
//!
//! Activations that can be an epilogue never fall, so that the greatest of what they make is what they make of the greatest.

use super::activation::Activation;
use super::case::{Case, Fill};
use super::conv2d::Params;
use super::convolution::pooled::{NONE, PLACES, SIDE, Windows};
use super::convolution::{Algorithm, Shape};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, read, read_activation, slots, write,
    write_activation,
};

mod cpu;

/// Rows and columns of a window.
pub const WINDOW: usize = SIDE;

/// See the shader for the formula. Rows and columns of the output are those before the pooling.
pub struct Conv2dMaxPool;

impl Formula for Conv2dMaxPool {
    type Params = Params;
    const NAME: &'static str = "conv2d_max_pool";
    const BINDINGS: &'static [Binding] =
        &[read_activation("x"), read("parameters"), write_activation("y"), write("winners")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        Windows::of(p.correlation()).kernel(p.blocks, p.activation, class)
    }

    fn cost(p: &Params) -> Cost {
        let windows = Windows::of(p.correlation());
        let c = &windows.correlation;
        let words =
            p.blocks as usize * (c.input_words() + 2 * windows.words()) + c.weight_words() + c.outputs;
        let comparisons = (c.outputs * windows.count() * (PLACES - 1)) as u64;
        let flops = u64::from(p.blocks) * LANES as u64 * (2 * windows.multiply_adds() + comparisons);
        Cost { flops, bytes: 4 * words as u64 }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, parameters, y, winners] = slots(args);
        let (x, parameters, y, winners) = (x.real(), parameters.real(), y.real(), winners.real());
        let windows = Windows::of(p.correlation());
        let c = &windows.correlation;
        let activation = Activation::from_code(p.activation);
        let (weight, bias) = (&parameters[p.weight as usize..], &parameters[p.bias as usize..]);
        let weight = |channel, ky, kx, filter| {
            weight[((channel * c.kernel + ky) * c.kernel + kx) * c.outputs + filter]
        };
        let sums = c.outputs_of(Algorithm::Direct, p.blocks as usize, x, weight);
        for i in 0..p.blocks as usize * windows.words() {
            let (pixel, lane) = (i / LANES, i % LANES);
            let (row, ox) = (pixel / windows.width, pixel % windows.width);
            let (plane, oy) = (row / windows.height, row % windows.height);
            let sum = |place: usize| {
                let (oy, ox) = (oy * SIDE + place / SIDE, ox * SIDE + place % SIDE);
                sums[((plane * c.out_height + oy) * c.out_width + ox) * LANES + lane]
            };
            let winner = (1..PLACES).fold(0, |best, place| if sum(place) > sum(best) { place } else { best });
            y[i] = activation.apply(sum(winner) + bias[plane % c.outputs]);
            let is_off = activation == Activation::Relu && !(y[i] > T::ZERO);
            winners[i] = T::of(if is_off { NONE } else { winner } as f64);
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let windows = Windows::of(p.correlation());
        let parameters = args.input(1);
        for block in part.blocks() {
            let outputs = block * windows.words()..(block + 1) * windows.words();
            let pass = cpu::Pass {
                windows,
                activation: Activation::from_code(p.activation),
                weights: &parameters[p.weight as usize..],
                bias: &parameters[p.bias as usize..],
                input: args.input_block(0, block, windows.correlation.input_words()),
                output: args.output(2, outputs.clone()),
                winners: args.output(3, outputs),
            };
            pass.run();
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |shape: Shape, activation: Activation| {
            let windows = Windows::of(shape.forward);
            let c = shape.forward;
            let p = Params::of_case(&shape, activation);
            let outputs = shape.blocks * windows.words();
            Case::new(
                format!("{shape}, {activation:?}"),
                p,
                vec![
                    sixteenths(shape.blocks * c.input_words(), 7),
                    sixteenths(p.bias as usize + c.outputs + 5, 11),
                    Fill::Output(outputs + 16),
                    Fill::Output(outputs + 16),
                ],
            )
        };
        let mut cases: Vec<_> =
            Shape::pooled().into_iter().map(|shape| case(shape, Activation::Relu)).collect();
        let fusible = Activation::ALL.into_iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|activation| case(Shape::small(), activation)));
        cases
    }
}

/// Numbers in [-1, 1] whose sums of products are exact in whatever order, so that all find the same winners, ties among them.
fn sixteenths(len: usize, step: usize) -> Fill {
    Fill::Values((0..len).map(|i| ((i * i / 3 + step * i) % 33) as f32 / 16.0 - 1.0).collect())
}
