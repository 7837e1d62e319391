//! The channels of a batch: what the ops along them (batch normalisation) and across them (softmax) share.

use super::{DeviceClass, Kernel, LANES, linear_grid};

/// Channels that fast CPU versions work on side by side: one alone would wait for the latency of its sums (2 and 8 are
/// slower than 4).
pub(super) const TOGETHER: usize = 4;

/// Blocks, channels and pixels of a tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Blocks of 16 images.
    pub(super) blocks: usize,
    /// Channels.
    pub(super) channels: usize,
    /// Pixels of a channel.
    pub(super) pixels: usize,
}

impl Shape {
    /// From the fields of a parameter struct.
    pub(super) fn new(blocks: u32, channels: u32, pixels: u32) -> Self {
        Self { blocks: blocks as usize, channels: channels as usize, pixels: pixels as usize }
    }

    /// Words of the tensor.
    pub(super) fn len(self) -> usize {
        self.blocks * self.channels * self.pixels * LANES
    }

    /// Elements of a channel that count, at least one, so that an empty batch divides by no zero.
    pub(super) fn count(self, rows: u32) -> f32 {
        (rows as usize * self.pixels).max(1) as f32
    }

    /// Words of `count` channels of a block.
    #[inline(always)]
    pub(super) fn words(self, block: usize, channel: usize, count: usize) -> std::ops::Range<usize> {
        let first = (block * self.channels + channel) * self.pixels * LANES;
        first..first + count * self.pixels * LANES
    }

    /// The elements of a channel, of every block, pixel and lane, that are of the first `rows` images, in the order of memory.
    pub(super) fn elements(self, channel: usize, rows: u32) -> impl Iterator<Item = usize> + Clone {
        (0..self.blocks).flat_map(move |block| {
            self.words(block, channel, 1).filter(move |at| block * LANES + at % LANES < rows as usize)
        })
    }

    /// The columns, one for each image and pixel: its elements, channel by channel.
    pub(super) fn columns(self) -> impl Iterator<Item = impl Iterator<Item = usize> + Clone> {
        let each = self.pixels * LANES;
        (0..self.blocks).flat_map(move |block| {
            let first = self.words(block, 0, 1).start;
            (first..first + each).map(move |at| (at..at + self.channels * each).step_by(each))
        })
    }

    /// Constants and grid of a kernel with an invocation for each column.
    pub(super) fn column_kernel(self, class: DeviceClass) -> Kernel {
        let lanes = match class {
            DeviceClass::Gpu => 64,
            DeviceClass::Software => 8,
        };
        let grid = linear_grid(self.blocks * self.pixels * LANES, lanes);
        Kernel { constants: vec![("LANES", lanes as u32)], grid }
    }

    /// Constants and grid of a kernel that imports `channel_walk`.
    pub(super) fn kernel(self, class: DeviceClass) -> Kernel {
        let quarters = self.blocks * self.pixels * LANES / 4;
        let width = match class {
            DeviceClass::Gpu if quarters <= 256 => 64,
            DeviceClass::Gpu => 256,
            DeviceClass::Software => 8,
        };
        Kernel { constants: vec![("WIDTH", width)], grid: [self.channels as u32, 1, 1] }
    }
}

/// Ones for the lanes of `block` that are images of the batch, zeros for the others.
#[inline(always)]
pub(super) fn lane_mask(rows: u32, block: usize) -> &'static [f32] {
    const ONES_THEN_ZEROS: [f32; 2 * LANES] = {
        let mut lanes = [0.0; 2 * LANES];
        let mut i = 0;
        while i < LANES {
            lanes[i] = 1.0;
            i += 1;
        }
        lanes
    };
    let images = (rows as usize).saturating_sub(block * LANES).min(LANES);
    &ONES_THEN_ZEROS[LANES - images..][..LANES]
}
