//! The gradients of a pooled convolution with respect to its weights and biases, from those of the winners of its windows: a
//! partial sum for each slice of the batch.

use super::case::{Case, Fill};
use super::conv2d_weight_grad::{self, Params};
use super::convolution::pooled::{NONE, PLACES, SIDE, Windows};
use super::convolution::{Algorithm, Shape};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, read, read_activation, slots, write};

mod cpu;

/// See the shader for the formula. Rows and columns of the output are those before the pooling.
pub struct Conv2dMaxPoolWeightGrad;

impl Formula for Conv2dMaxPoolWeightGrad {
    type Params = Params;
    const NAME: &'static str = "conv2d_max_pool_weight_grad";
    const BINDINGS: &'static [Binding] =
        &[read_activation("x"), read("y_grad"), read("winners"), write("partials")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        p.kernel(SIDE, class)
    }

    fn cost(p: &Params) -> Cost {
        let windows = Windows::of(p.correlation());
        let c = &windows.correlation;
        let partials = p.slices() as usize * (c.weight_words() + c.outputs);
        let words = p.blocks as usize * (c.input_words() + 2 * windows.words()) + partials;
        let flops = 2 * u64::from(p.blocks) * LANES as u64 * windows.multiply_adds();
        Cost { flops, bytes: 4 * words as u64 }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y_grad, winners, partials] = slots(args);
        let windows = Windows::of(p.correlation());
        let c = &windows.correlation;
        let (y_grad, winners) = (y_grad.real(), winners.real());
        let mut gradients = vec![T::ZERO; p.blocks as usize * c.output_words()];
        for (i, &gradient) in y_grad[..p.blocks as usize * windows.words()].iter().enumerate() {
            let (pixel, lane) = (i / LANES, i % LANES);
            let (row, ox) = (pixel / windows.width, pixel % windows.width);
            let (plane, oy) = (row / windows.height, row % windows.height);
            for place in (0..PLACES).filter(|&place| winners[i] == T::of(place as f64)) {
                let (oy, ox) = (oy * SIDE + place / SIDE, ox * SIDE + place % SIDE);
                gradients[((plane * c.out_height + oy) * c.out_width + ox) * LANES + lane] = gradient;
            }
        }
        let args = vec![x, Slot::Real(&mut gradients), partials];
        conv2d_weight_grad::formula(p, Algorithm::Direct, args);
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: p.blocks_per_slice as usize }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let windows = Windows::of(p.correlation());
        for block in part.blocks() {
            let pass = cpu::Pass {
                windows,
                x: args.input_block(0, block, windows.correlation.input_words()),
                y_grad: args.input_block(1, block, windows.words()),
                winners: args.input_block(2, block, windows.words()),
                partial: args.output(3, p.words(block / p.blocks_per_slice as usize)),
                first: block % p.blocks_per_slice as usize == 0,
            };
            pass.run();
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |shape: Shape, blocks_per_slice: usize| {
            let p = Params::of_case(&shape, blocks_per_slice);
            let c = shape.forward;
            let outputs = shape.blocks * Windows::of(c).words();
            Case::new(
                format!("{shape}, slices of {blocks_per_slice}"),
                p,
                vec![
                    Fill::signed(shape.blocks * c.input_words()),
                    Fill::signed(outputs),
                    Fill::Values((0..outputs).map(|i| (i * i / 5 % (NONE + 1)) as f32).collect()),
                    Fill::Output(p.slices() as usize * p.slice_words as usize + 16),
                ],
            )
        };
        let mut cases: Vec<_> = Shape::pooled().into_iter().map(|shape| case(shape, 2)).collect();
        let small = Shape { blocks: 9, ..Shape::small() };
        cases.extend([1, 3, 4, 5, 9].map(|blocks_per_slice| case(small, blocks_per_slice)));
        cases
    }
}
