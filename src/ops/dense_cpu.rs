//! The three dense products on the CPU: register tiles over vectors of 16 images or 16 units.
//!
//! Every sum is one chain of fused multiply-adds in the reference's order, or a fixed number of such chains added in order
//! where [`dense`](super::dense) takes it in pieces, whatever the tile or the thread that computes it: results do not depend
//! on how the work is divided.

use super::share::{Part, Region, Split};
use super::simd::Simd;
use super::{LANES, dense_weight_grad};
use std::cell::RefCell;
use std::ops::Range;

/// Big batches are shared by images, so that activations stay with a thread from layer to layer; small ones by units,
/// so that a thread owns its weights.
pub(super) fn split(blocks: usize) -> Split {
    if blocks >= 8 { Split::Blocks { count: blocks, align: 1 } } else { Split::Shares }
}

thread_local!(static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });

/// Takes the memory that the thread keeps from call to call; [`give_scratch`] brings it back. No closure gets it, since
/// closures are not compiled with the instructions of the function round them.
pub(super) fn take_scratch() -> Vec<f32> {
    SCRATCH.take()
}

/// Keeps memory for the next call.
pub(super) fn give_scratch(scratch: Vec<f32>) {
    SCRATCH.set(scratch);
}

/// What becomes of a sum: a trait and not a closure, so that it is compiled with the chosen instructions.
pub(super) trait Finish<S: Simd> {
    /// Takes the sums of a row for the 16 images of a block.
    fn finish(&mut self, s: S, block: usize, row: usize, sums: S::V);
}

/// What becomes of the gradients of up to 16 neighbouring parameters.
pub(super) trait Keep<S: Simd> {
    /// Takes them, with their words in the flat buffers.
    fn keep(&mut self, s: S, words: Range<usize>, gradients: S::V);
}

/// `sums[row][b] = sum over k, of `terms`, of coefficient(row, k) * vectors[b][k]` for a range of rows, handed to `finish`
/// tile by tile as (block, row, sum). The coefficient (row, k) is at `row * stride + k` with `BY_ROWS` (the inputs
/// of the transposed product), else at `k * stride + row` (the units of the product).
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    /// The matrix.
    pub(super) coefficients: &'a [f32],
    /// Words from one of its rows in memory to the next.
    pub(super) stride: usize,
    /// Those blocks that are computed, of `depth` vectors.
    pub(super) vectors: &'a [f32],
    /// Vectors of a block.
    pub(super) depth: usize,
    /// What sums go over: the first k, and how many.
    pub(super) terms: (usize, usize),
}

impl Product<'_> {
    /// Computes `rows` of `blocks`.
    #[inline(always)]
    pub(super) fn run<S: Simd, const BY_ROWS: bool>(
        self,
        s: S,
        blocks: Range<usize>,
        rows: Range<usize>,
        mut finish: impl Finish<S>,
    ) {
        let mut block = blocks.start;
        let mut left = self;
        if S::REGISTERS >= 32 {
            while block + 2 <= blocks.end {
                left.strip::<S, 2, BY_ROWS>(s, block, rows.clone(), &mut finish);
                left.vectors = &left.vectors[2 * left.depth * LANES..];
                block += 2;
            }
        }
        while block < blocks.end {
            left.strip::<S, 1, BY_ROWS>(s, block, rows.clone(), &mut finish);
            left.vectors = &left.vectors[left.depth * LANES..];
            block += 1;
        }
    }

    /// All rows of the first `B` blocks of the vectors, number `block` on, in tiles that fit the registers.
    #[inline(always)]
    fn strip<S: Simd, const B: usize, const BY_ROWS: bool>(
        self,
        s: S,
        block: usize,
        rows: Range<usize>,
        finish: &mut impl Finish<S>,
    ) {
        let mut row = rows.start;
        macro_rules! tiles {
            ($($size:literal)*) => {{
                $(while rows.end - row >= $size {
                    self.tile::<S, $size, B, BY_ROWS>(s, block, row, finish);
                    row += $size;
                })*
            }};
        }
        match S::REGISTERS {
            32.. => tiles!(12 8 4 2 1),
            8.. => tiles!(6 2 1),
            _ => tiles!(2 1),
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const B: usize, const BY_ROWS: bool>(
        self,
        s: S,
        block: usize,
        row: usize,
        finish: &mut impl Finish<S>,
    ) {
        let mut sums = [[s.splat(0.0); R]; B];
        let (first, count) = self.terms;
        let mut vectors = [self.vectors; B];
        for (b, vectors) in vectors.iter_mut().enumerate() {
            *vectors = &vectors[(b * self.depth + first) * LANES..][..count * LANES];
        }
        let mut lines = [self.coefficients; R];
        if BY_ROWS {
            for (r, line) in lines.iter_mut().enumerate() {
                *line = &line[(row + r) * self.stride + first..][..count];
            }
        }
        for k in 0..count {
            let mut v = [s.splat(0.0); B];
            for b in 0..B {
                v[b] = s.load(&vectors[b][k * LANES..]);
            }
            let column =
                if BY_ROWS { &[] } else { &self.coefficients[(first + k) * self.stride + row..][..R] };
            for r in 0..R {
                let coefficient = s.splat(if BY_ROWS { lines[r][k] } else { column[r] });
                for b in 0..B {
                    sums[b][r] = s.fma(v[b], coefficient, sums[b][r]);
                }
            }
        }
        for (b, sums) in sums.into_iter().enumerate() {
            for (r, sum) in sums.into_iter().enumerate() {
                finish.finish(s, block + b, row + r, sum);
            }
        }
    }
}

/// What [`weights`] touches of `x`, of `y_grad`, and of buffers laid out as the parameters.
pub(super) fn weight_regions(p: &dense_weight_grad::Params) -> [Vec<Region>; 3] {
    let (inputs, units) = (p.inputs as usize, p.units as usize);
    let parameters = vec![Region::words(p.weight, inputs * units), Region::words(p.bias, units)];
    [vec![Region::features(p.inputs)], vec![Region::ALL], parameters]
}

/// The gradients of this share's weights and biases. A share is rows, which lie together: of columns, the processor would
/// fetch the neighbour's ahead of their use and take them from its cache.
#[inline(always)]
pub(super) fn weights<S: Simd>(
    s: S,
    p: &dense_weight_grad::Params,
    x: &[f32],
    y_grad: &[f32],
    part: &Part,
    keep: &mut impl Keep<S>,
) {
    let (blocks, inputs, units) = (p.blocks as usize, p.inputs as usize, p.units as usize);
    let rows = part.features(inputs);
    let mut scratch = take_scratch();
    panels(s, y_grad, units, blocks, &mut scratch);
    let outer = Outer { x, inputs, panels: &scratch, images: blocks * LANES, units };
    let has_biases = rows.end == inputs;
    outer.run(s, rows, p.weight as usize, keep);
    if has_biases {
        outer.biases(s, p.bias as usize, keep);
    }
    give_scratch(scratch);
}

/// `sums[row][unit] = sum over images of x[row] * y_grad[unit]`, 16 units a vector.
#[derive(Clone)]
struct Outer<'a> {
    /// `[blocks][inputs][16]`
    x: &'a [f32],
    /// Features of x.
    inputs: usize,
    /// Gradients: `[panel of 16 units][image][16]`, see [`panels`].
    panels: &'a [f32],
    /// Images, with padding.
    images: usize,
    /// Units of the panels.
    units: usize,
}

/// Brings gradients to units innermost: `[panel of 16 units][image][16]`. The last panel is filled up with zeros.
#[inline(always)]
fn panels<S: Simd>(s: S, y_grad: &[f32], units: usize, blocks: usize, into: &mut Vec<f32>) {
    into.resize(units.div_ceil(LANES) * blocks * LANES * LANES, 0.0);
    for (panel, tiles) in into.chunks_exact_mut(blocks * LANES * LANES).enumerate() {
        let first = panel * LANES;
        let width = LANES.min(units - first);
        for (block, tile) in tiles.chunks_exact_mut(LANES * LANES).enumerate() {
            let from = &y_grad[(block * units + first) * LANES..][..width * LANES];
            let mut rows = [s.splat(0.0); LANES];
            for (row, lanes) in rows.iter_mut().zip(from.chunks_exact(LANES)) {
                *row = s.load(lanes);
            }
            for (to, column) in tile.chunks_exact_mut(LANES).zip(s.transpose(rows)) {
                s.store(to, column);
            }
        }
    }
}

/// With as many images as this, sums take so long that a larger tile gains more than overlapping the optimiser with the next
/// tile's sums, for which there are not registers enough.
const LONG: usize = 64;

/// A finished tile. Its vectors are kept one by one while the next tile is summed, so that the optimiser's divisions and
/// roots overlap with multiply-adds.
struct Made<const R: usize, const P: usize> {
    sums: [[[f32; LANES]; P]; R],
    row: usize,
    panel: usize,
    /// Vectors that are done with.
    kept: usize,
}

impl<const R: usize, const P: usize> Made<R, P> {
    /// Before the first tile.
    fn nothing() -> Self {
        Self { sums: [[[0.0; LANES]; P]; R], row: 0, panel: 0, kept: R * P }
    }
}

impl Outer<'_> {
    /// Hands the gradients of the weights in `rows` to `keep`; the first row lies at word `first`.
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, rows: Range<usize>, first: usize, keep: &mut impl Keep<S>) {
        let count = self.units.div_ceil(LANES);
        let mut panel = 0;
        macro_rules! strips {
            ($overlap:literal, $($panels:literal: $($rows:literal)*;)*) => {{
                $({
                    let strips = (count - panel) / $panels;
                    let mut row = rows.start;
                    $({
                        let mut made = Made::<$rows, $panels>::nothing();
                        while strips > 0 && rows.end - row >= $rows {
                            // All panels for these rows: their inputs come from far away.
                            for strip in 0..strips {
                                let panel = panel + strip * $panels;
                                self.tile::<S, $rows, $panels, $overlap>(s, row, panel, first, &mut made, keep);
                            }
                            row += $rows;
                        }
                        while made.kept < $rows * $panels {
                            self.keep_next(s, first, &mut made, keep);
                        }
                    })*
                    panel += strips * $panels;
                })*
                debug_assert_eq!(panel, count);
            }};
        }
        match (S::REGISTERS, self.images) {
            (32.., LONG..) => strips!(false, 2: 12 4 1; 1: 16 4 1;),
            (32.., _) => strips!(true, 4: 4 1; 2: 8 2 1; 1: 16 4 1;),
            (8.., _) => strips!(true, 2: 2 1; 1: 6 2 1;),
            _ => strips!(true, 1: 2 1;),
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const P: usize, const OVERLAP: bool>(
        &self,
        s: S,
        row: usize,
        panel: usize,
        first: usize,
        made: &mut Made<R, P>,
        keep: &mut impl Keep<S>,
    ) {
        let mut sums = [[s.splat(0.0); P]; R];
        let mut panels = [self.panels; P];
        for (p, values) in panels.iter_mut().enumerate() {
            *values = &values[(panel + p) * self.images * LANES..][..self.images * LANES];
        }
        for block in 0..self.images / LANES {
            let x = &self.x[(block * self.inputs + row) * LANES..][..R * LANES];
            for r in R..2 * R {
                s.prefetch(self.x, (block * self.inputs + row + r) * LANES);
            }
            for lane in 0..LANES {
                let mut gradients = [s.splat(0.0); P];
                for p in 0..P {
                    gradients[p] = s.load(&panels[p][(block * LANES + lane) * LANES..]);
                }
                for r in 0..R {
                    let value = s.splat(x[r * LANES + lane]);
                    for p in 0..P {
                        sums[r][p] = s.fma(value, gradients[p], sums[r][p]);
                    }
                }
                if OVERLAP && made.kept < R * P {
                    self.keep_next(s, first, made, keep);
                }
            }
        }
        if !OVERLAP {
            for r in 0..R {
                for p in 0..P {
                    keep.keep(s, self.words(first + (row + r) * self.units, panel + p), sums[r][p]);
                }
            }
            return;
        }
        while made.kept < R * P {
            self.keep_next(s, first, made, keep);
        }
        for r in 0..R {
            for p in 0..P {
                s.store(&mut made.sums[r][p], sums[r][p]);
            }
        }
        (made.row, made.panel, made.kept) = (row, panel, 0);
    }

    /// Hands the next vector of a tile to `keep`.
    #[inline(always)]
    fn keep_next<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        first: usize,
        made: &mut Made<R, P>,
        keep: &mut impl Keep<S>,
    ) {
        let (r, p) = (made.kept / P, made.kept % P);
        let words = self.words(first + (made.row + r) * self.units, made.panel + p);
        keep.keep(s, words, s.load(&made.sums[r][p]));
        made.kept += 1;
    }

    /// Hands the gradients of the biases, sums over images alone, to `keep`; those of all units begin at word `first`.
    #[inline(always)]
    fn biases<S: Simd>(&self, s: S, first: usize, keep: &mut impl Keep<S>) {
        for (panel, gradients) in self.panels.chunks_exact(self.images * LANES).enumerate() {
            let mut sum = s.splat(0.0);
            for gradients in gradients.chunks_exact(LANES) {
                sum = s.add(sum, s.load(gradients));
            }
            keep.keep(s, self.words(first, panel), sum);
        }
    }

    /// The words of a panel in a row that begins at word `first`.
    #[inline(always)]
    fn words(&self, first: usize, panel: usize) -> Range<usize> {
        let unit = panel * LANES;
        first + unit..first + self.units.min(unit + LANES)
    }
}
