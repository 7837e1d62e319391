//! The fast CPU version: a row's places as vectors, then two by two pixels for each, out of an image with a border.

use super::{NODES, Params, Warp, nodes, signed, stream};
use crate::ops::LANES;
use crate::ops::control::{BATCH, ROWS, STEP};
use crate::ops::share::{CpuArgs, Part};
use crate::ops::simd::{self, Simd};
use crate::rng::Stream;

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
        let mut scratch = Scratch::new(p);
        for block in part.blocks() {
            let x = args.output(3, block * pixels * LANES..(block + 1) * pixels * LANES);
            let first = block * LANES;
            let rows = (control[ROWS] as usize).saturating_sub(first).min(LANES);
            if rows < LANES {
                x.fill(0.0);
            }
            for lane in 0..rows {
                let row = order[(control[STEP] * control[BATCH]) as usize + first + lane];
                let image = &bytemuck::cast_slice(args.input_words(0))[row as usize * pixels..][..pixels];
                scratch.warp(p, &stream(control, row), image, &mut x[lane..]);
            }
            scale(s, p, x, &mut scratch.norms);
            if rows < LANES {
                x.chunks_exact_mut(LANES).for_each(|x| x[rows..].fill(0.0));
            }
        }
    }
}

/// Memory that is used for one image after the other.
struct Scratch {
    /// The image with one pixel of paper before each side and two behind it.
    padded: Vec<f32>,
    /// Places of a row, moved by one for the border.
    xs: Vec<f32>,
    ys: Vec<f32>,
    /// Displacements of the nodes, those in x and those in y.
    grid: [Vec<f32>; 2],
    /// The place of each column between its nodes.
    across: Vec<(usize, f32)>,
    norms: Vec<f32>,
}

impl Scratch {
    fn new(p: &Params) -> Self {
        let (height, width) = (p.height as usize, p.width as usize);
        let spacing = p.spacing as usize;
        let grid_rows = if p.elastic > 0.0 { (height - 1) / spacing + 2 } else { 0 };
        // Draws come in sixteens.
        let grid = vec![0.0; (grid_rows * nodes(p) as usize).next_multiple_of(LANES)];
        Self {
            padded: vec![0.0; (height + 3) * (width + 3)],
            xs: vec![0.0; width],
            ys: vec![0.0; width],
            grid: [grid.clone(), grid],
            across: (0..width).map(|x| (x / spacing, (x % spacing) as f32 / spacing as f32)).collect(),
            norms: vec![0.0; if p.l2_columns == 0 { 0 } else { width * LANES }],
        }
    }

    /// One image into every sixteenth number of `x`, its pixels from 0 to 255.
    #[inline(always)]
    fn warp(&mut self, p: &Params, stream: &Stream, image: &[u8], x: &mut [f32]) {
        let (height, width) = (p.height as usize, p.width as usize);
        let stride = width + 3;
        for (padded, row) in self.padded[stride..].chunks_exact_mut(stride).zip(image.chunks_exact(width)) {
            for (padded, &byte) in padded[1..=width].iter_mut().zip(row) {
                *padded = f32::from(byte);
            }
        }
        let warp = Warp::<f32>::new(p, &stream.words_32(0));
        self.draw_grid(p, stream);
        for y in 0..height {
            self.places(p, &warp, y);
            let row = &mut x[y * width * LANES..];
            for column in 0..width {
                row[column * LANES] = interpolated(&self.padded, stride, self.xs[column], self.ys[column]);
            }
            if warp.erased.1.contains(&y) {
                warp.erased.0.clone().for_each(|column| row[column * LANES] = 0.0);
            }
        }
    }

    #[inline(always)]
    fn draw_grid(&mut self, p: &Params, stream: &Stream) {
        let [grid_x, grid_y] = &mut self.grid;
        let chunks = grid_x.chunks_exact_mut(LANES).zip(grid_y.chunks_exact_mut(LANES));
        for (chunk, (grid_x, grid_y)) in chunks.enumerate() {
            let [even, odd] = stream.words_32(NODES + (chunk * LANES) as u32);
            for lane in 0..LANES {
                grid_x[lane] = signed(even[lane]) * p.elastic;
                grid_y[lane] = signed(odd[lane]) * p.elastic;
            }
        }
    }

    /// Where the input of each pixel of row `y` lies, border included, and never beyond it.
    #[inline(always)]
    fn places(&mut self, p: &Params, warp: &Warp<f32>, y: usize) {
        let Self { xs, ys, grid, across, .. } = self;
        let [xx, xy, yx, yy] = warp.matrix;
        let dy = y as f32 - warp.origin[1];
        let (x0, y0) = (warp.centre[0] + xy * dy, warp.centre[1] + yy * dy);
        for (column, (x, y)) in xs.iter_mut().zip(ys.iter_mut()).enumerate() {
            let dx = column as f32 - warp.origin[0];
            (*x, *y) = (x0 + xx * dx, y0 + yx * dx);
        }
        if p.elastic > 0.0 {
            let (spacing, nodes) = (p.spacing as usize, nodes(p) as usize);
            let down = (y % spacing) as f32 / spacing as f32;
            let upper = y / spacing * nodes;
            for (grid, places) in grid.iter().zip([&mut *xs, &mut *ys]) {
                let (upper, lower) = (&grid[upper..][..nodes], &grid[upper + nodes..][..nodes]);
                for (place, &(node, weight)) in places.iter_mut().zip(across.iter()) {
                    let above = upper[node] + weight * (upper[node + 1] - upper[node]);
                    let below = lower[node] + weight * (lower[node + 1] - lower[node]);
                    *place += above + down * (below - above);
                }
            }
        }
        let (right, bottom) = ((p.width + 1) as f32, (p.height + 1) as f32);
        for (x, y) in xs.iter_mut().zip(ys) {
            *x = (*x + 1.0).max(0.0).min(right);
            *y = (*y + 1.0).max(0.0).min(bottom);
        }
    }
}

/// Between the four pixels around a place that is inside the border.
#[inline(always)]
fn interpolated(padded: &[f32], stride: usize, x: f32, y: f32) -> f32 {
    let (column, row) = (x as u32, y as u32);
    let (right, down) = (x - column as f32, y - row as f32);
    let first = row as usize * stride + column as usize;
    let (upper, lower) = (&padded[first..first + 2], &padded[first + stride..first + stride + 2]);
    let above = upper[0] + right * (upper[1] - upper[0]);
    let below = lower[0] + right * (lower[1] - lower[0]);
    above + down * (below - above)
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
