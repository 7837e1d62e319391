//! 3x3 kernels on the CPU by Winograd's algorithm F(2x2, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2015): a tile of 2x2 outputs takes 16 products for each input channel instead of 36. Here is what the outputs and
//! the weights' gradients share: the tiles, and the transform of the input.
//!
//! Along one axis, with four inputs d, the kernel g and two outputs y:
//!
//! ```text
//! v = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
//! u = (g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2)
//! y = (u0 v0 + u1 v1 + u2 v2, u1 v1 - u2 v2 - u3 v3)
//! ```
//!
//! Along both axes that makes 4x4 products u v, each a sum over input channels: 16 matrix products. A vector is one number
//! of 16 images, as everywhere on the CPU.

mod outputs;

use super::Correlation;
use crate::ops::LANES;
use crate::ops::simd::Simd;
use std::ops::Range;

pub(super) use outputs::run;

/// Rows and columns of a tile's products.
pub(in crate::ops) const SIDE: usize = 4;
/// Products of a tile, for each pair of channels.
pub(in crate::ops) const PRODUCTS: usize = SIDE * SIDE;

/// Pairs of channels up to which the transformed weights stay in the cache (4 MiB) and scratch memory small.
const MOST_PAIRS: usize = 1 << 16;

/// Whether the algorithm is the faster one where at least so many input and output channels share the transforms: the transform
/// of the weights must be shared by several tiles, too.
pub(in crate::ops) fn suits(c: &Correlation, channels: usize) -> bool {
    let shared = c.inputs.min(c.outputs) >= channels && Grid::of(c).count() >= 4;
    c.kernel == 3 && shared && c.inputs.saturating_mul(c.outputs) <= MOST_PAIRS
}

/// The tiles of 2x2 outputs of a plane, in rows.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Grid {
    /// In a row.
    columns: usize,
    /// Of them.
    rows: usize,
}

impl Grid {
    /// Those of a correlation.
    pub(in crate::ops) fn of(c: &Correlation) -> Self {
        Self { columns: c.out_width.div_ceil(2), rows: c.out_height.div_ceil(2) }
    }

    /// All tiles.
    pub(in crate::ops) fn count(self) -> usize {
        self.columns * self.rows
    }

    /// Row and column of the first output of each of these tiles.
    #[inline(always)]
    pub(in crate::ops) fn places(self, tiles: Range<usize>) -> Places {
        Places {
            width: 2 * self.columns,
            left: tiles.len(),
            oy: tiles.start / self.columns * 2,
            ox: tiles.start % self.columns * 2,
        }
    }
}

/// See [`Grid::places`].
pub(in crate::ops) struct Places {
    width: usize,
    left: usize,
    oy: usize,
    ox: usize,
}

impl Iterator for Places {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        self.left = self.left.checked_sub(1)?;
        let place = (self.oy, self.ox);
        self.ox += 2;
        if self.ox == self.width {
            (self.oy, self.ox) = (self.oy + 2, 0);
        }
        Some(place)
    }
}

/// The rows of the inputs of a tile that row `row` of its 4x4 numbers v is made of.
#[inline(always)]
pub(in crate::ops) fn rows_of(row: usize) -> (usize, usize) {
    [(0, 2), (1, 2), (2, 1), (1, 3)][row]
}

/// Row `row` of the 4x4 numbers v of a tile, from the two [`rows_of`] its inputs.
#[inline(always)]
pub(in crate::ops) fn transformed_input<S: Simd>(
    s: S,
    first: [S::V; SIDE],
    second: [S::V; SIDE],
    row: usize,
) -> [S::V; SIDE] {
    let mut d = [s.splat(0.0); SIDE];
    for i in 0..SIDE {
        d[i] = if row == 1 { s.add(first[i], second[i]) } else { s.sub(first[i], second[i]) };
    }
    [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
}

/// Row `row` of the 4x4 inputs of the tile whose first output is there; zeros outside the image. `plane` is a channel's input.
#[inline(always)]
pub(in crate::ops) fn input_row<S: Simd>(
    s: S,
    c: &Correlation,
    plane: &[[f32; LANES]],
    (oy, ox): (usize, usize),
    row: usize,
) -> [S::V; SIDE] {
    let mut inputs = [s.splat(0.0); SIDE];
    // Row or column -1 is a large number here, so one comparison covers both sides.
    let (iy, ix) = ((oy + row).wrapping_sub(c.pad), ox.wrapping_sub(c.pad));
    if iy >= c.height {
        return inputs;
    }
    let plane = &plane[iy * c.width..][..c.width];
    if ix < c.width && ix + SIDE <= c.width {
        let whole = &plane[ix..ix + SIDE];
        for i in 0..SIDE {
            inputs[i] = s.load(&whole[i]);
        }
    } else {
        for i in 0..SIDE {
            if let Some(from) = plane.get(ix.wrapping_add(i)) {
                inputs[i] = s.load(from);
            }
        }
    }
    inputs
}
