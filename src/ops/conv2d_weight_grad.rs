//! The gradients of a convolution with respect to its weights and biases, a partial sum for each slice of the batch.

mod cpu;
mod direct;
mod winograd;

use super::case::{Case, Fill};
use super::convolution::{Algorithm, Correlation, Shape};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::tiling::{share, tile};
use super::unroll;
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, slots, write,
};
use std::ops::Range;

params! {
    /// Shapes of the convolution, and how the batch is sliced.
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
        /// Blocks whose gradients are added in one slice.
        blocks_per_slice: u32,
        /// First word of the layer's partial sums in each slice: weights, then biases.
        first: u32,
        /// Words of a slice: the partial sums of all layers.
        slice_words: u32,
    }
}

impl Params {
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

    /// The kernel, for outputs that were pooled by windows of `side` x `side`.
    pub(super) fn kernel(&self, side: usize, class: DeviceClass) -> Kernel {
        let c = self.correlation();
        let windows = c.out_width / side;
        // Sums of all lanes lie in workgroup memory in the end on a GPU: 16 KiB.
        let (images, image_lanes, tiles) = match class {
            DeviceClass::Gpu => (1, LANES, 4),
            DeviceClass::Software => (4, 1, 8),
        };
        let most_sums = 64;
        let rows = (most_sums / c.kernel).saturating_sub(1).clamp(1, c.kernel);
        let sums_of_a_filter = rows * c.kernel + 1;
        let tiles = if sums_of_a_filter > most_sums { 1 } else { tiles };
        let (shared_channels, filters) = match class {
            DeviceClass::Gpu => {
                let shared_channels =
                    [4, 2, 1].into_iter().find(|n| c.inputs.is_multiple_of(*n) && n <= &tiles).unwrap_or(1);
                // Few filters to a tile rather than tiles without filters.
                let most = 4.min(c.outputs.div_ceil(tiles / shared_channels));
                (shared_channels, tile(c.outputs, (most_sums / sums_of_a_filter).clamp(1, most)))
            }
            // All tiles have the same channel, whose pixels they load for each other.
            DeviceClass::Software => {
                (1, share(c.outputs.div_ceil(tiles), (130 / sums_of_a_filter).clamp(1, 8)))
            }
        };
        let most_windows = match class {
            DeviceClass::Software => 2 / side,
            // Tests for windows that lie outside take registers.
            DeviceClass::Gpu if side == 1 || windows.is_multiple_of(share(windows, 7)) => 7,
            DeviceClass::Gpu => 5,
        };
        let pixels = side * share(windows, most_windows);
        // Columns of a tile's input that can lie outside the image, before and after it.
        let past = (side * windows).next_multiple_of(pixels) + c.kernel - 1;
        let columns = pixels + c.kernel - 1;
        let constants = [
            ("IMAGES", images),
            ("IMAGE_LANES", image_lanes),
            ("SIDE", side),
            ("TILES", tiles),
            ("SHARED_CHANNELS", shared_channels),
            ("KERNEL", c.kernel),
            ("ROWS", rows),
            ("FILTERS", filters),
            ("VALUE_STRIPS", (rows * columns).div_ceil(tiles * image_lanes)),
            ("PIXELS", pixels),
            ("RAGGED", usize::from(!(side * windows).is_multiple_of(pixels))),
            ("LEFT", c.pad.min(columns)),
            ("RIGHT", past.saturating_sub(c.pad + c.width).min(columns)),
        ];
        let filter_tiles = c.outputs.div_ceil(filters).div_ceil(tiles / shared_channels);
        let channel_tiles = c.inputs / shared_channels * c.kernel.div_ceil(rows);
        Kernel {
            constants: constants
                .map(|(name, value)| (name, value as u32))
                .into_iter()
                .chain(unroll::constant(class))
                .collect(),
            grid: [filter_tiles as u32, channel_tiles as u32, self.slices()],
        }
    }

    /// Those of a test case.
    pub(super) fn of_case(shape: &Shape, blocks_per_slice: usize) -> Self {
        let c = shape.forward;
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
            blocks_per_slice: blocks_per_slice as u32,
            first: 3,
            slice_words: (c.weight_words() + c.outputs + 5) as u32,
        }
    }

    /// Partial sums of every gradient.
    pub(super) fn slices(&self) -> u32 {
        self.blocks.div_ceil(self.blocks_per_slice)
    }

    /// The layer's words in a slice.
    pub(super) fn words(&self, slice: usize) -> Range<usize> {
        let c = self.correlation();
        let first = slice * self.slice_words as usize + self.first as usize;
        first..first + c.weight_words() + c.outputs
    }
}

/// See the shader for the formula.
pub struct Conv2dWeightGrad;

impl Formula for Conv2dWeightGrad {
    type Params = Params;
    const NAME: &'static str = "conv2d_weight_grad";
    const BINDINGS: &'static [Binding] = &[read_activation("x"), read("y_grad"), write("partials")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        p.kernel(1, class)
    }

    fn cost(p: &Params) -> Cost {
        let c = p.correlation();
        let partials = p.slices() as usize * (c.weight_words() + c.outputs);
        let words = p.blocks as usize * (c.input_words() + c.output_words()) + partials;
        Cost { flops: 2 * u64::from(p.blocks) * LANES as u64 * c.multiply_adds(), bytes: 4 * words as u64 }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        formula(p, Algorithm::Direct, args);
    }

    fn cpu_differs(p: &Params) -> bool {
        Algorithm::of_cpu_for_weights(&p.correlation()) != Algorithm::Direct
    }

    fn cpu_reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        formula(p, Algorithm::of_cpu_for_weights(&p.correlation()), args);
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: p.blocks_per_slice as usize }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let c = p.correlation();
        for block in part.blocks() {
            let slice = block / p.blocks_per_slice as usize;
            let pass = cpu::Pass {
                correlation: c,
                x: args.input_block(0, block, c.input_words()),
                y_grad: args.input_block(1, block, c.output_words()),
                partial: args.output(2, p.words(slice)),
                first: block % p.blocks_per_slice as usize == 0,
            };
            pass.run();
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |shape: Shape, blocks_per_slice: usize| {
            let c = shape.forward;
            let p = Params::of_case(&shape, blocks_per_slice);
            Case::new(
                format!("{shape}, slices of {blocks_per_slice}"),
                p,
                vec![
                    Fill::signed(shape.blocks * c.input_words()),
                    Fill::signed(shape.blocks * c.output_words()),
                    Fill::Output(p.slices() as usize * p.slice_words as usize + 16),
                ],
            )
        };
        let mut cases: Vec<_> = Shape::hostile().into_iter().map(|shape| case(shape, 2)).collect();
        cases.extend(
            [1, 3, 4, 5, 9]
                .map(|blocks_per_slice| case(Shape { blocks: 9, ..Shape::small() }, blocks_per_slice)),
        );
        cases
    }
}

/// The formula, with the weights' gradients by one of two algorithms.
pub(super) fn formula<T: Real>(p: &Params, algorithm: Algorithm, args: Vec<Slot<'_, T>>) {
    let [x, y_grad, partials] = slots(args);
    let (x, y_grad, partials) = (x.real(), y_grad.real(), partials.real());
    let c = p.correlation();
    for slice in 0..p.slices() as usize {
        partials[p.words(slice)].fill(T::ZERO);
    }
    for block in 0..p.blocks as usize {
        let slice = &mut partials[p.words(block / p.blocks_per_slice as usize)];
        let (weights, biases) = slice.split_at_mut(c.weight_words());
        let x = &x[block * c.input_words()..][..c.input_words()];
        let y_grad = &y_grad[block * c.output_words()..][..c.output_words()];
        c.add_weight_gradients(algorithm, x, y_grad, weights);
        for (bias, plane) in biases.iter_mut().zip(y_grad.chunks_exact(c.output_words() / c.outputs)) {
            plane.iter().for_each(|&gradient| *bias += gradient);
        }
    }
}
