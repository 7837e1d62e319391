//! What the convolution ops share: the geometry of a correlation with zero padding, seen from its output, and the
//! tiles that the kernels cut it into.
//!
//! The input gradient is the correlation of the output's gradient with the flipped kernel, so both directions are
//! one [`Correlation`].

mod cpu;
mod shapes;

use super::{DeviceClass, Kernel, LANES};

use std::ops::Range;

pub(super) use cpu::{Direction, Pass};
pub(super) use shapes::Shape;

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

    /// Tiles of pixels x output channels for each invocation; a lane is an image.
    pub(super) fn kernel(&self, blocks: u32, class: DeviceClass) -> Kernel {
        let lanes = match class {
            DeviceClass::Gpu => 64,
            DeviceClass::Software => 16,
        };
        let pixels = share(self.out_width, 7);
        let outputs = share(self.outputs, 6);
        // Columns of a tile's input that can lie outside the image, before and after it.
        let columns = pixels + self.kernel - 1;
        let left = self.pad.min(columns);
        let right = (self.out_width + self.kernel - 1).saturating_sub(self.pad + self.width).min(columns);
        let constants = [
            ("LANES", lanes),
            ("PIXELS", pixels),
            ("OUTPUTS", outputs),
            ("KERNEL", self.kernel),
            ("LEFT", left),
            ("RIGHT", right),
        ];
        let tiles = self.out_height * self.out_width.div_ceil(pixels);
        Kernel {
            constants: constants.map(|(name, value)| (name, value as u32)).to_vec(),
            grid: [
                (blocks * LANES as u32).div_ceil(lanes as u32),
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

/// The tile size that cuts `total` into equal tiles of at most `most`.
fn share(total: usize, most: usize) -> usize {
    total.div_ceil(total.div_ceil(most))
}
