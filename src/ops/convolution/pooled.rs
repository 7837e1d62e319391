//! A convolution of which only the greatest output of each 2x2 window is wanted.

use super::Correlation;
use crate::ops::simd::Vector;
use crate::ops::tiling::tile;
use crate::ops::{DeviceClass, Kernel, LANES, unroll};

/// Rows and columns of a window.
pub(crate) const SIDE: usize = 2;
/// Outputs of a window. Its winner is the number of the first greatest one, row by row.
pub(in crate::ops) const PLACES: usize = SIDE * SIDE;
/// Its winner where nothing of the gradient gets through.
pub(in crate::ops) const NONE: usize = PLACES;

/// The windows of a correlation's outputs; rows and columns that fill none are dropped.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Windows {
    /// The correlation.
    pub(in crate::ops) correlation: Correlation,
    /// Rows of windows.
    pub(in crate::ops) height: usize,
    /// Columns of windows.
    pub(in crate::ops) width: usize,
}

impl Windows {
    /// Those of a correlation.
    pub(in crate::ops) fn of(correlation: Correlation) -> Self {
        let (height, width) = (correlation.out_height / SIDE, correlation.out_width / SIDE);
        Self { correlation, height, width }
    }

    /// Windows of one output channel.
    pub(in crate::ops) fn count(&self) -> usize {
        self.height * self.width
    }

    /// Words of a block of what is left of the output.
    pub(in crate::ops) fn words(&self) -> usize {
        self.correlation.outputs * self.count() * LANES
    }

    /// Multiply-adds for one image, those with zeros of the padding included.
    pub(in crate::ops) fn multiply_adds(&self) -> u64 {
        let c = &self.correlation;
        (c.inputs * c.kernel * c.kernel * c.outputs * PLACES * self.count()) as u64
    }

    /// Rows and columns of the input that windows meet, those of the padding included.
    pub(in crate::ops) fn padded(&self) -> (usize, usize) {
        let c = &self.correlation;
        (SIDE * self.height + c.kernel - 1, SIDE * self.width + c.kernel - 1)
    }

    /// Vectors of a block of the padded input.
    pub(in crate::ops) fn padded_vectors(&self) -> usize {
        let (height, width) = self.padded();
        self.correlation.inputs * height * width
    }

    /// A block of the input with its padding, so that windows need no tests.
    pub(in crate::ops) fn pad(&self, input: &[f32], to: &mut [Vector]) {
        let c = &self.correlation;
        let (height, width) = self.padded();
        let (input, _) = input.as_chunks::<LANES>();
        let columns = c.pad.min(width)..(c.pad + c.width).min(width);
        for (row, to) in to.chunks_exact_mut(width).enumerate() {
            let (channel, iy) = (row / height, (row % height).wrapping_sub(c.pad));
            if iy >= c.height {
                to.fill(Vector::default());
                continue;
            }
            let from = &input[(channel * c.height + iy) * c.width..][..columns.len()];
            to[..columns.start].fill(Vector::default());
            for (to, from) in to[columns.clone()].iter_mut().zip(from) {
                to.0 = *from;
            }
            to[columns.end..].fill(Vector::default());
        }
    }

    /// Tiles of windows x output channels for each invocation of `shaders/conv2d_max_pool.wgsl`.
    pub(in crate::ops) fn kernel(&self, blocks: u32, activation: u32, class: DeviceClass) -> Kernel {
        let c = &self.correlation;
        let windows = tile(self.width, 2);
        let sums = PLACES * windows;
        let (lanes, images, most) = match class {
            // As many sums as leave eight waves to a SIMD of RDNA2.
            DeviceClass::Gpu => (64, 1, 56 / sums),
            // More take their compilers long.
            DeviceClass::Software => (8, 4, (200 / (sums * c.kernel)).clamp(1, 8)),
        };
        let outputs = tile(c.outputs, most);
        // Columns of a tile's input that can lie outside the image, before and after it.
        let columns = SIDE * windows + c.kernel - 1;
        let (_, padded_width) = self.padded();
        let right = padded_width.saturating_sub(c.pad + c.width);
        let constants = [
            ("LANES", lanes),
            ("IMAGES", images),
            ("WINDOWS", windows as u32),
            ("OUTPUTS", outputs as u32),
            ("KERNEL", c.kernel as u32),
            ("LEFT", c.pad.min(columns) as u32),
            ("RIGHT", right.min(columns) as u32),
            ("ACTIVATION", activation),
        ];
        Kernel {
            constants: constants.into_iter().chain(unroll::constant(class)).collect(),
            grid: [
                (blocks * LANES as u32).div_ceil(lanes * images),
                (self.height * self.width.div_ceil(windows)) as u32,
                c.outputs.div_ceil(outputs) as u32,
            ],
        }
    }
}
