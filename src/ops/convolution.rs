//! What the convolution ops share: the geometry of a correlation with zero padding, seen from its output, and the
//! tiles that the kernels cut it into.
//!
//! On the CPU some go by Winograd's algorithm, whose rounding errors are others: [`Algorithm`].
//!
//! The input gradient is the correlation of the output's gradient with the flipped kernel, so both directions are
//! one [`Correlation`].

mod cpu;
mod direct;
mod formula;
pub(super) mod pooled;
mod shapes;
pub(super) mod winograd;

use super::tiling::tile;
use super::unroll;
use super::{DeviceClass, Kernel, LANES};

use std::ops::Range;

pub(super) use cpu::{Direction, Pass};
pub(super) use shapes::Shape;

/// How a correlation is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// By its formula.
    Direct,
    /// See [`winograd`].
    Winograd,
}

/// y[o][oy][ox] = sum over i, ky, kx of x[i][oy + ky - pad][ox + kx - pad] weight[i][ky][kx][o], x being 0 outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlation {
    /// Channels of the input.
    pub(super) inputs: usize,
    /// Rows of the input.
    pub(super) height: usize,
    /// Columns of the input.
    pub(super) width: usize,
    /// Channels of the output.
    pub(super) outputs: usize,
    /// Rows of the output.
    pub(super) out_height: usize,
    /// Columns of the output.
    pub(super) out_width: usize,
    /// Rows and columns of the kernel.
    pub(super) kernel: usize,
    /// Rows and columns of zeros before the first.
    pub(super) pad: usize,
}

impl Correlation {
    /// Words of a block of the input.
    pub(super) fn input_words(&self) -> usize {
        self.inputs * self.height * self.width * LANES
    }

    /// Words of a block of the output.
    pub(super) fn output_words(&self) -> usize {
        self.outputs * self.out_height * self.out_width * LANES
    }

    /// Weights.
    pub(super) fn weight_words(&self) -> usize {
        self.inputs * self.kernel * self.kernel * self.outputs
    }

    /// Block, output channel, row, column and lane of a word of the output.
    pub(super) fn output_index(&self, word: usize) -> (usize, usize, usize, usize, usize) {
        let (pixel, lane) = (word / LANES, word % LANES);
        let (row, ox) = (pixel / self.out_width, pixel % self.out_width);
        let (plane, oy) = (row / self.out_height, row % self.out_height);
        (plane / self.outputs, plane % self.outputs, oy, ox, lane)
    }

    /// Rows of the kernel that meet the image at output row `oy`, and the rows of the image that they meet.
    pub(super) fn rows(&self, oy: usize) -> impl Iterator<Item = (usize, usize)> {
        taps(oy, self.kernel, self.pad, self.height)
    }

    /// The same for columns.
    pub(super) fn columns(&self, ox: usize) -> impl Iterator<Item = (usize, usize)> {
        taps(ox, self.kernel, self.pad, self.width)
    }

    /// Multiply-adds for one image, those with zeros of the padding included.
    pub(super) fn multiply_adds(&self) -> u64 {
        (self.inputs * self.outputs * self.kernel * self.kernel * self.out_height * self.out_width) as u64
    }

    /// Tiles of pixels x output channels for each invocation of `shaders/conv2d.wgsl`.
    pub(super) fn kernel(&self, blocks: u32, activation: u32, class: DeviceClass) -> Kernel {
        let pixels = tile(self.out_width, 7);
        let most = match class {
            // As many sums as leave eight waves to a SIMD of RDNA2.
            DeviceClass::Gpu => (56 / pixels).min(10),
            DeviceClass::Software => self.most_outputs(pixels),
        };
        self.tiled(blocks, activation, class, pixels, tile(self.outputs, most))
    }

    /// Output channels of a tile for software rasterisers: more take their compilers long.
    fn most_outputs(&self, pixels: usize) -> usize {
        (200 / (pixels * self.kernel)).clamp(1, 8)
    }

    /// The same for `shaders/conv2d_input_grad.wgsl`, which takes several input channels at once.
    pub(super) fn flipped_kernel(&self, blocks: u32, activation: u32, class: DeviceClass) -> Kernel {
        let pixels = tile(self.out_width, 7);
        let (depth, most) = match class {
            DeviceClass::Gpu if self.inputs.is_multiple_of(4) => (4, 6),
            DeviceClass::Gpu if self.inputs.is_multiple_of(2) => (2, 8),
            DeviceClass::Gpu => (1, 8),
            DeviceClass::Software => (1, self.most_outputs(pixels)),
        };
        let mut kernel = self.tiled(blocks, activation, class, pixels, tile(self.outputs, most));
        kernel.constants.extend([("DEPTH", depth), ("FILTERS", self.inputs as u32)]);
        kernel
    }

    fn tiled(
        &self,
        blocks: u32,
        activation: u32,
        class: DeviceClass,
        pixels: usize,
        outputs: usize,
    ) -> Kernel {
        let (lanes, images) = match class {
            DeviceClass::Gpu => (64, 1),
            DeviceClass::Software => (8, 4),
        };
        // Columns of a tile's input that can lie outside the image, before and after it.
        let (left, right) =
            (self.pad, (self.out_width + self.kernel - 1).saturating_sub(self.pad + self.width));
        let constants = [
            ("LANES", lanes),
            ("IMAGES", images),
            ("PIXELS", pixels as u32),
            ("OUTPUTS", outputs as u32),
            ("KERNEL", self.kernel as u32),
            ("WEIGHT_STRIPS", (self.kernel * outputs).div_ceil(lanes as usize) as u32),
            ("LEFT", left as u32),
            ("RIGHT", right.min(pixels + self.kernel - 1) as u32),
            ("ACTIVATION", activation),
        ];
        let tiles = self.out_height * self.out_width.div_ceil(pixels);
        Kernel {
            constants: constants.into_iter().chain(unroll::constant(class)).collect(),
            grid: [
                (blocks * LANES as u32).div_ceil(lanes * images),
                tiles as u32,
                self.outputs.div_ceil(outputs) as u32,
            ],
        }
    }
}

fn taps(at: usize, kernel: usize, pad: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..kernel).filter_map(move |k| (at + k).checked_sub(pad).filter(|&i| i < size).map(|i| (k, i)))
}

/// Cuts `total` into equal tiles of at most `most`.
#[inline(always)]
pub(super) fn tiles(total: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = total.div_ceil(most);
    (0..count).map(move |i| i * total / count..(i + 1) * total / count)
}
