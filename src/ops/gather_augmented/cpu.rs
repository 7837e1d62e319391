//! The fast CPU version: 16 images side by side, of which only the bytes are fetched one by one.
//!
//! Everything else is loops over [`LANES`] numbers, which become vector instructions. The images lie in one buffer with a border of
//! paper, so that no place needs a test, and as bytes, so that all 16 stay in the first cache; two bytes of a line are fetched
//! as one word.

use super::{NODES, Params, Warp, nodes, signed, stream};
use crate::ops::LANES;
use crate::ops::control::{BATCH, EPOCH, ROWS, STEP};
use crate::ops::share::{CpuArgs, Part};
use crate::ops::simd::{self, Simd};
use crate::rng::Stream;

/// A number for each image of a block.
type Lanes = [f32; LANES];

/// Some blocks of a batch.
pub(super) struct Run<'a> {
    pub(super) p: &'a Params,
    pub(super) args: &'a CpuArgs<'a>,
    pub(super) part: Part,
}

impl simd::Kernel for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, args, part } = self;
        let (order, control) = (args.input_words(1), args.input_words(2));
        let pixels = (p.height * p.width) as usize;
        let mut block_of = Block::new(p);
        for block in part.blocks() {
            let x = args.output(3, block * pixels * LANES..(block + 1) * pixels * LANES);
            let first = block * LANES;
            let rows = (control[ROWS] as usize).saturating_sub(first).min(LANES);
            if rows == 0 {
                x.fill(0.0);
                continue;
            }
            for lane in 0..rows {
                let row = order[(control[STEP] * control[BATCH]) as usize + first + lane];
                let image = &bytemuck::cast_slice(args.input_words(0))[row as usize * pixels..][..pixels];
                block_of.take(p, control[EPOCH], lane, image, &stream(control, row));
            }
            // Lanes past the batch make something of what they were before, which becomes zeros.
            block_of.warp(p, x);
            scale(s, p, x, &mut block_of.norms);
            if rows < LANES {
                x.chunks_exact_mut(LANES).for_each(|x| x[rows..].fill(0.0));
            }
        }
    }
}

/// Sixteen images and what happens to them; memory that is used for one block after the other.
struct Block {
    /// `[16][height + 3][width + 3]`: each image with a pixel of paper before each side and two behind it.
    padded: Vec<u8>,
    /// [`Warp::matrix`] of each.
    matrix: [Lanes; 4],
    /// [`Warp::origin`] of each.
    origin: [Lanes; 2],
    /// First and number of the columns, and of the rows, that are erased.
    erased: [[[u32; LANES]; 2]; 2],
    /// Displacements of the nodes in x and y, row by row.
    grid: Vec<[Lanes; 2]>,
    /// Those of a row of pixels, between two rows of nodes.
    grid_row: Vec<[Lanes; 2]>,
    /// The node before each column, and how far the column is from there to the next.
    across: Vec<(usize, f32)>,
    norms: Vec<f32>,
}

impl Block {
    fn new(p: &Params) -> Self {
        let (height, width) = (p.height as usize, p.width as usize);
        let spacing = p.spacing as usize;
        let rows = if p.elastic > 0.0 { (height - 1) / spacing + 2 } else { 0 };
        let grid = rows * nodes(p) as usize;
        Self {
            padded: vec![0; LANES * (height + 3) * (width + 3)],
            matrix: [[0.0; LANES]; 4],
            origin: [[0.0; LANES]; 2],
            erased: [[[0; LANES]; 2]; 2],
            // Draws come in sixteens.
            grid: vec![[[0.0; LANES]; 2]; grid.next_multiple_of(LANES)],
            grid_row: vec![[[0.0; LANES]; 2]; if p.elastic > 0.0 { nodes(p) as usize } else { 0 }],
            across: (0..width).map(|x| (x / spacing, (x % spacing) as f32 / spacing as f32)).collect(),
            norms: vec![0.0; if p.l2_columns == 0 { 0 } else { width * LANES }],
        }
    }

    /// Puts an image in.
    #[inline(always)]
    fn take(&mut self, p: &Params, epoch: u32, lane: usize, image: &[u8], stream: &Stream) {
        let (height, width) = (p.height as usize, p.width as usize);
        let (stride, size) = (width + 3, (height + 3) * (width + 3));
        let padded = &mut self.padded[lane * size..][stride..size];
        for (padded, row) in padded.chunks_exact_mut(stride).zip(image.chunks_exact(width)) {
            padded[1..=width].copy_from_slice(row);
        }
        let draws = stream.words(0);
        let p = &p.of_image(epoch, &draws);
        let warp = Warp::<f32>::new(p, &draws);
        (0..4).for_each(|i| self.matrix[i][lane] = warp.matrix[i]);
        (0..2).for_each(|i| self.origin[i][lane] = warp.origin[i]);
        for (erased, range) in self.erased.iter_mut().zip([&warp.erased.0, &warp.erased.1]) {
            erased[0][lane] = range.start as u32;
            erased[1][lane] = range.len() as u32;
        }
        for (chunk, grid) in self.grid.chunks_exact_mut(LANES).enumerate() {
            let [even, odd] = stream.words::<LANES>(NODES + (chunk * LANES) as u32);
            for (i, node) in grid.iter_mut().enumerate() {
                node[0][lane] = signed(even[i]) * p.elastic;
                node[1][lane] = signed(odd[i]) * p.elastic;
            }
        }
    }

    /// Makes the 16 images, pixels from 0 to 255.
    #[inline(always)]
    fn warp(&mut self, p: &Params, x: &mut [f32]) {
        let width = p.width as usize;
        // The border moves everything by one.
        let centre = [(p.width - 1) as f32 / 2.0 + 1.0, (p.height - 1) as f32 / 2.0 + 1.0];
        for (y, row) in x.chunks_exact_mut(width * LANES).enumerate() {
            let mut start = [[0.0; LANES]; 2];
            for lane in 0..LANES {
                let dy = y as f32 - self.origin[1][lane];
                start[0][lane] = centre[0] + self.matrix[1][lane] * dy;
                start[1][lane] = centre[1] + self.matrix[3][lane] * dy;
            }
            self.displace_row(p, y);
            for (column, x) in row.chunks_exact_mut(LANES).enumerate() {
                let mut place = start;
                for lane in 0..LANES {
                    let dx = column as f32 - self.origin[0][lane];
                    place[0][lane] += self.matrix[0][lane] * dx;
                    place[1][lane] += self.matrix[2][lane] * dx;
                }
                if p.elastic > 0.0 {
                    self.displace(column, &mut place);
                }
                let value = self.interpolated(p, &place);
                x.copy_from_slice(&value);
                if p.erase > 0.0 {
                    self.erase(column as u32, y as u32, x);
                }
            }
        }
    }

    /// The displacements of row `y` at the columns of the nodes.
    #[inline(always)]
    fn displace_row(&mut self, p: &Params, y: usize) {
        let (spacing, nodes) = (p.spacing as usize, self.grid_row.len());
        let down = (y % spacing) as f32 / spacing as f32;
        let above = &self.grid[y / spacing * nodes..];
        for (node, row) in self.grid_row.iter_mut().enumerate() {
            let (above, below) = (&above[node], &above[node + nodes]);
            for axis in 0..2 {
                for lane in 0..LANES {
                    let upper = above[axis][lane];
                    row[axis][lane] = upper + down * (below[axis][lane] - upper);
                }
            }
        }
    }

    #[inline(always)]
    fn displace(&self, column: usize, place: &mut [Lanes; 2]) {
        let (node, weight) = self.across[column];
        let (left, right) = (&self.grid_row[node], &self.grid_row[node + 1]);
        for axis in 0..2 {
            for lane in 0..LANES {
                let from = left[axis][lane];
                place[axis][lane] += from + weight * (right[axis][lane] - from);
            }
        }
    }

    /// Between the four pixels around each place.
    #[inline(always)]
    fn interpolated(&self, p: &Params, place: &[Lanes; 2]) -> Lanes {
        let stride = p.width as usize + 3;
        let size = stride * (p.height as usize + 3);
        let (mut corner, mut weight) = ([[0_i32; LANES]; 2], [[0.0; LANES]; 2]);
        for (axis, side) in [p.width, p.height].into_iter().enumerate() {
            // Further out there is nothing but paper.
            let last = (side + 1) as f32;
            for lane in 0..LANES {
                let inside = place[axis][lane].max(0.0).min(last);
                corner[axis][lane] = inside as i32;
                weight[axis][lane] = inside - corner[axis][lane] as f32;
            }
        }
        let mut first = [0_i32; LANES];
        for lane in 0..LANES {
            first[lane] = (lane * size) as i32 + corner[1][lane] * stride as i32 + corner[0][lane];
        }
        let (mut upper, mut lower) = ([0_u32; LANES], [0_u32; LANES]);
        for lane in 0..LANES {
            let bytes = &self.padded[first[lane] as usize..][..stride + 2];
            upper[lane] = u32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
            lower[lane] = u32::from(u16::from_le_bytes([bytes[stride], bytes[stride + 1]]));
        }
        let mut value = [0.0; LANES];
        for lane in 0..LANES {
            let (above, below) =
                (between(upper[lane], weight[0][lane]), between(lower[lane], weight[0][lane]));
            value[lane] = above + weight[1][lane] * (below - above);
        }
        value
    }

    #[inline(always)]
    fn erase(&self, column: u32, y: u32, x: &mut [f32]) {
        let [columns, rows] = &self.erased;
        for lane in 0..LANES {
            let across = column.wrapping_sub(columns[0][lane]) < columns[1][lane];
            let down = y.wrapping_sub(rows[0][lane]) < rows[1][lane];
            x[lane] = if across & down { 0.0 } else { x[lane] };
        }
    }
}

/// Between two bytes of a word.
#[inline(always)]
fn between(pair: u32, weight: f32) -> f32 {
    let (left, right) = ((pair & 0xFF) as i32 as f32, (pair >> 8) as i32 as f32);
    left + weight * (right - left)
}

/// From pixels to the numbers that the network sees, for 16 images.
#[inline(always)]
fn scale<S: Simd>(s: S, p: &Params, x: &mut [f32], norms: &mut [f32]) {
    if p.l2_columns == 0 {
        let (mean, divisor) = (s.splat(p.mean), s.splat(p.divisor));
        for x in x.chunks_exact_mut(LANES) {
            s.store(x, s.div(s.sub(s.load(x), mean), divisor));
        }
        return;
    }
    let width = norms.len();
    norms.fill(0.0);
    for row in x.chunks_exact(width) {
        for (norm, x) in norms.chunks_exact_mut(LANES).zip(row.chunks_exact(LANES)) {
            s.store(norm, s.fma(s.load(x), s.load(x), s.load(norm)));
        }
    }
    for norm in norms.chunks_exact_mut(LANES) {
        s.store(norm, s.sqrt(s.max(s.load(norm), s.splat(1.0))));
    }
    for row in x.chunks_exact_mut(width) {
        for (x, norm) in row.chunks_exact_mut(LANES).zip(norms.chunks_exact(LANES)) {
            s.store(x, s.div(s.load(x), s.load(norm)));
        }
    }
}
