//! The three dense products on the CPU: register tiles over vectors of 16 images or 16 units.
//!
//! Every sum is one chain of fused multiply-adds in the reference's order, or a fixed number of such chains added in order
//! where [`dense`](super::dense) takes it in pieces, whatever the tile or the thread that computes it: results do not depend
//! on how the work is divided.
//!
//! Where many inputs are zero, as pixels of MNIST are, their terms are left out. That changes no sum of finite numbers, but for the
//! sign of a zero; zero times a weight or a gradient that is not finite, which is NaN, is left out too.

use super::share::{Part, Region, Split};
use super::simd::{Simd, Vector};
use super::{LANES, dense_weight_grad};
use std::cell::RefCell;
use std::ops::Range;

/// Big batches are shared by images, so that activations stay with a thread from layer to layer; small ones by units,
/// so that a thread owns its weights.
pub(super) fn split(blocks: usize) -> Split {
    if blocks >= 8 { Split::Blocks { count: blocks, align: 1 } } else { Split::Shares }
}

/// Memory that a thread keeps from call to call.
#[derive(Default)]
struct Scratch {
    /// See [`panels_of`].
    panels: Numbers,
    /// Rows of x.
    x: Numbers,
    /// A bit for every term, the first the lowest: whether it counts.
    terms: Vec<u64>,
    /// Gradients of the weights of some rows, `[row][unit]`.
    gradients: Numbers,
    /// Sums of vectors.
    sums: Numbers,
}

/// Memory from the start of a cache line, so that no vector lies in two.
#[derive(Default)]
struct Numbers(Vec<Vector>);

impl Numbers {
    /// The first `len` numbers, which are whatever was left there.
    #[inline(always)]
    fn first(&mut self, len: usize) -> &mut [f32] {
        let vectors = len.div_ceil(LANES);
        if self.0.len() < vectors {
            self.0.resize(vectors, Vector::default());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }

    /// Vectors of zeros.
    #[inline(always)]
    fn zeros(&mut self, vectors: usize) -> &mut [[f32; LANES]] {
        let (zeros, _) = self.first(vectors * LANES).as_chunks_mut();
        zeros.fill([0.0; LANES]);
        zeros
    }
}

thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());

/// Takes the memory of this thread; [`give_scratch`] brings it back. No closure gets it, since closures are not compiled
/// with the instructions of the function round them.
fn take_scratch() -> Scratch {
    SCRATCH.take()
}

/// Keeps memory for the next call.
fn give_scratch(scratch: Scratch) {
    SCRATCH.set(scratch);
}

/// What becomes of a sum: a trait and not a closure, so that it is compiled with the chosen instructions.
pub(super) trait Finish<S: Simd> {
    /// Takes the sums of a row for the 16 images of a block.
    fn finish(&mut self, s: S, block: usize, row: usize, sums: S::V);
}

/// What becomes of the gradients of neighbouring parameters.
pub(super) trait Keep<S: Simd> {
    /// Takes them, with their words in the flat buffers.
    fn keep(&mut self, s: S, words: Range<usize>, gradients: &[f32]);
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
    /// Computes all rows of `blocks`, the units of a product. Where the first block is mostly zeros, as pixels are, zeros are left
    /// out.
    #[inline(always)]
    pub(super) fn run_sparse<S: Simd>(self, s: S, blocks: Range<usize>, mut finish: impl Finish<S>) {
        let (first, count) = self.terms;
        let units = self.stride;
        let some = &self.vectors[first * LANES..][..count * LANES];
        if units < LANES || zeros(s, some) < MANY_ZEROS {
            return self.run::<S, false>(s, blocks, 0..units, finish);
        }
        let sparse = SparseProduct { product: self, blocks: blocks.len(), units };
        let mut scratch = take_scratch();
        let Scratch { terms, sums, .. } = &mut scratch;
        let sums = sums.zeros(sparse.panels() * blocks.len() * LANES);
        match S::REGISTERS {
            32.. => sparse.run::<S, 4>(s, terms, sums),
            8.. => sparse.run::<S, 3>(s, terms, sums),
            _ => sparse.run::<S, 1>(s, terms, sums),
        }
        let mut square = [0.0; LANES * LANES];
        let (squares, _) = sums.as_flattened().as_chunks::<{ LANES * LANES }>();
        for (i, sums) in squares.iter().enumerate() {
            s.transpose(sums, LANES, &mut square);
            let unit = sparse.first_unit(i / blocks.len());
            for i_unit in 0..LANES {
                let sums = s.load(&square[i_unit * LANES..]);
                finish.finish(s, blocks.start + i % blocks.len(), unit + i_unit, sums);
            }
        }
        give_scratch(scratch);
    }

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
        let is_deep = (8..32).contains(&S::REGISTERS) && !BY_ROWS && self.terms.1 >= 2 * CHUNK;
        while block < blocks.end {
            if is_deep {
                left.deep_strip(s, block, rows.clone(), &mut finish);
            } else {
                left.strip::<S, 1, BY_ROWS>(s, block, rows.clone(), &mut finish);
            }
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

    /// The same for one block of a long product, some terms after the other: their vectors and coefficients come from the
    /// first-level cache for most of the rows.
    #[inline(always)]
    fn deep_strip<S: Simd>(self, s: S, block: usize, rows: Range<usize>, finish: &mut impl Finish<S>) {
        let mut scratch = take_scratch();
        let sums = scratch.sums.zeros(rows.len());
        let (first, count) = self.terms;
        for start in (0..count).step_by(CHUNK) {
            let chunk = Self { terms: (first + start, CHUNK.min(count - start)), ..self };
            let mut row = 0;
            macro_rules! tiles {
                ($($size:literal)*) => {{
                    $(while rows.len() - row >= $size {
                        let sums = &mut sums[row..row + $size];
                        let mut made = [[s.splat(0.0); $size]];
                        for r in 0..$size {
                            made[0][r] = s.load(&sums[r]);
                        }
                        let made = chunk.add::<S, $size, 1, false>(s, rows.start + row, made);
                        for r in 0..$size {
                            s.store(&mut sums[r], made[0][r]);
                        }
                        row += $size;
                    })*
                }};
            }
            tiles!(6 2 1);
        }
        for (row, sums) in rows.zip(sums) {
            finish.finish(s, block, row, s.load(&*sums));
        }
        give_scratch(scratch);
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const B: usize, const BY_ROWS: bool>(
        self,
        s: S,
        block: usize,
        row: usize,
        finish: &mut impl Finish<S>,
    ) {
        let sums = self.add::<S, R, B, BY_ROWS>(s, row, [[s.splat(0.0); R]; B]);
        for (b, sums) in sums.into_iter().enumerate() {
            for (r, sum) in sums.into_iter().enumerate() {
                finish.finish(s, block + b, row + r, sum);
            }
        }
    }

    /// Adds the terms to the sums of `R` rows and `B` blocks.
    #[inline(always)]
    fn add<S: Simd, const R: usize, const B: usize, const BY_ROWS: bool>(
        self,
        s: S,
        row: usize,
        mut sums: [[S::V; R]; B],
    ) -> [[S::V; R]; B] {
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
        sums
    }
}

/// A product by units that leaves out terms that are zero for some images of a block, half of a block apart: the more images,
/// the fewer such terms there are.
struct SparseProduct<'a> {
    product: Product<'a>,
    blocks: usize,
    /// At least 16.
    units: usize,
}

impl SparseProduct<'_> {
    fn panels(&self) -> usize {
        self.units.div_ceil(LANES)
    }

    /// First unit of a panel of 16: the last one overlaps the one before, so that it is whole.
    fn first_unit(&self, panel: usize) -> usize {
        (panel * LANES).min(self.units - LANES)
    }

    /// `sums[panel][block][image]`, of 16 units, for `P` panels at a time. A lone panel takes more images instead.
    #[inline(always)]
    fn run<S: Simd, const P: usize>(&self, s: S, terms: &mut Vec<u64>, sums: &mut [[f32; LANES]]) {
        let (first, count) = self.product.terms;
        let panels = self.panels();
        // The weights of so many terms stay in the first-level cache for all images.
        let parts = count.div_ceil(BITS);
        for part in 0..parts {
            let start = first + count * part / parts;
            let part = start..first + count * (part + 1) / parts;
            self.find_terms(s, part.clone(), terms);
            let mut panel = 0;
            while panels - panel >= P && P > 1 {
                self.tiles::<S, 2, P>(s, part.clone(), terms, panel, sums);
                panel += P;
            }
            while panels - panel >= 2 {
                self.tiles::<S, 2, 2>(s, part.clone(), terms, panel, sums);
                panel += 2;
            }
            if panel < panels {
                self.tiles::<S, 4, 1>(s, part, terms, panel, sums);
            }
        }
    }

    /// `[block][8]`: a bit for every term that is not zero for an image or the one half a block on.
    #[inline(always)]
    fn find_terms<S: Simd>(&self, s: S, part: Range<usize>, terms: &mut Vec<u64>) {
        terms.clear();
        for block in 0..self.blocks {
            let x = &self.product.vectors[(block * self.product.depth + part.start) * LANES..];
            let mut lanes = [0; BITS];
            for (lanes, x) in lanes.iter_mut().zip(x[..part.len() * LANES].chunks_exact(LANES)) {
                *lanes = s.halves_not_zero(s.load(x));
            }
            terms.extend(bit_columns(&lanes));
        }
    }

    /// Adds some terms to the sums of `P` panels, for `R` images at a time.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        part: Range<usize>,
        terms: &[u64],
        panel: usize,
        sums: &mut [[f32; LANES]],
    ) {
        let mut y = [self.product.coefficients; P];
        for p in 0..P {
            y[p] = &y[p][part.start * self.units + self.first_unit(panel + p)..];
        }
        for block in 0..self.blocks {
            let vectors = &self.product.vectors[(block * self.product.depth + part.start) * LANES..];
            let terms = &terms[block * LANES / 2..][..LANES / 2];
            for image in 0..LANES / R {
                let mut x = [vectors; R];
                let mut made = [[s.splat(0.0); P]; R];
                for r in 0..R {
                    x[r] = &vectors[image + r * (LANES / R)..part.len() * LANES];
                    for p in 0..P {
                        let at = ((panel + p) * self.blocks + block) * LANES + image + r * (LANES / R);
                        made[r][p] = s.load(&sums[at]);
                    }
                }
                let mut any = 0;
                for terms in terms[image..].iter().step_by(LANES / R) {
                    any |= terms;
                }
                let made = tile::<S, R, P, LANES>(s, made, x, &[any], y, self.units);
                for r in 0..R {
                    for p in 0..P {
                        let at = ((panel + p) * self.blocks + block) * LANES + image + r * (LANES / R);
                        s.store(&mut sums[at], made[r][p]);
                    }
                }
            }
        }
    }
}

/// Bit `i` of column `j` is bit `j` of row `i`.
#[inline(always)]
fn bit_columns(rows: &[u8; BITS]) -> [u64; 8] {
    let mut columns = [0; 8];
    for (i, rows) in rows.as_chunks::<8>().0.iter().enumerate() {
        let rows = u64::from_le_bytes(*rows);
        for (j, column) in columns.iter_mut().enumerate() {
            // One bit of each byte; the product moves that of byte k to bit 56 + k.
            let bits = rows >> j & 0x0101_0101_0101_0101;
            *column |= bits.wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * i);
        }
    }
    columns
}

/// `sums[r][p] += sum over terms of x[r][term * X] * y[p][term * stride ..][..16]`, of those terms that have a bit, in order.
#[inline(always)]
fn tile<S: Simd, const R: usize, const P: usize, const X: usize>(
    s: S,
    mut sums: [[S::V; P]; R],
    x: [&[f32]; R],
    terms: &[u64],
    y: [&[f32]; P],
    stride: usize,
) -> [[S::V; P]; R] {
    let last = terms.iter().rposition(|&terms| terms != 0);
    let end = last.map_or(0, |word| (word + 1) * BITS - terms[word].leading_zeros() as usize);
    assert!(x.iter().all(|x| end == 0 || (end - 1) * X < x.len()));
    assert!(y.iter().all(|y| end == 0 || (end - 1) * stride + LANES <= y.len()));
    for (word, &terms) in terms.iter().enumerate() {
        let mut left = terms;
        while left != 0 {
            let term = word * BITS + left.trailing_zeros() as usize;
            left &= left - 1;
            for p in 0..P {
                // SAFETY: it is before the end, for which there is enough of every x and y.
                let y = unsafe { s.load_unchecked(y[p], term * stride) };
                for r in 0..R {
                    // SAFETY: as above.
                    let x = unsafe { *x[r].get_unchecked(term * X) };
                    sums[r][p] = s.fma(s.splat(x), y, sums[r][p]);
                }
            }
        }
    }
    sums
}

/// Terms of a long product that are added at a time: their vectors take 16 KiB.
const CHUNK: usize = 256;

/// Bits of a word that has one for every term.
const BITS: usize = u64::BITS as usize;
/// The share of zeros from which on it pays to look for them.
const MANY_ZEROS: f32 = 0.6;

/// The share of zeros.
#[inline(always)]
fn zeros<S: Simd>(s: S, x: &[f32]) -> f32 {
    let mut others = 0;
    for vector in x.chunks_exact(LANES) {
        others += s.not_zero(s.load(vector)).count_ones();
    }
    1.0 - others as f32 / x.len() as f32
}

/// Up to 16 rows become columns; those that are missing are zeros.
#[inline(always)]
fn turn<S: Simd>(s: S, rows: &[f32], columns: &mut [f32; LANES * LANES]) {
    if rows.len() == LANES * LANES {
        return s.transpose(rows, LANES, columns);
    }
    let mut all = [0.0; LANES * LANES];
    all[..rows.len()].copy_from_slice(rows);
    s.transpose(&all, LANES, columns);
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
    let Scratch { panels, x: strip, terms, gradients, .. } = &mut scratch;
    let panels = panels.first(units.div_ceil(LANES) * blocks * LANES * LANES);
    panels_of(s, y_grad, units, blocks, panels);
    let outer = Outer { x, inputs, panels, images: blocks * LANES, units };
    let has_biases = rows.end == inputs;
    outer.run(s, rows, p.weight as usize, (strip, terms, gradients), keep);
    if has_biases {
        outer.biases(s, p.bias as usize, keep);
    }
    give_scratch(scratch);
}

/// Brings gradients to units innermost: `[panel of 16 units][image][16]`. The last panel is filled up with zeros.
#[inline(always)]
fn panels_of<S: Simd>(s: S, y_grad: &[f32], units: usize, blocks: usize, into: &mut [f32]) {
    let (squares, _) = into.as_chunks_mut::<{ LANES * LANES }>();
    for (panel, squares) in squares.chunks_exact_mut(blocks).enumerate() {
        let first = panel * LANES;
        for (block, square) in squares.iter_mut().enumerate() {
            let from = &y_grad[(block * units + first) * LANES..];
            turn(s, &from[..LANES.min(units - first) * LANES], square);
        }
    }
}

/// `sums[row][unit] = sum over images of x[row] * y_grad[unit]`, 16 units a vector.
struct Outer<'a> {
    /// `[blocks][inputs][16]`
    x: &'a [f32],
    /// Features of x.
    inputs: usize,
    /// Gradients, see [`panels_of`].
    panels: &'a [f32],
    /// Images, with padding.
    images: usize,
    /// Units of the panels.
    units: usize,
}

/// Gradients that are handed on together, or more.
const KEPT_AT_ONCE: usize = 256;
/// Rows of the tallest tile.
const MOST_ROWS: usize = 16;

/// With as many images as this, taller tiles, which read the panels less often, gain more than wide ones.
const LONG: usize = 64;

impl Outer<'_> {
    /// Hands the gradients of the weights in `rows` to `keep`; the first row lies at word `first`.
    #[inline(always)]
    fn run<S: Simd>(
        &self,
        s: S,
        rows: Range<usize>,
        first: usize,
        (strip, terms, gradients): (&mut Numbers, &mut Vec<u64>, &mut Numbers),
        keep: &mut impl Keep<S>,
    ) {
        let count = self.units.div_ceil(LANES);
        let mut row = rows.start;
        let mut made = 0;
        let gradients = gradients.first(KEPT_AT_ONCE + MOST_ROWS * self.units + LANES);
        let strip = strip.first(MOST_ROWS * self.images);
        macro_rules! strips {
            ($($rows:literal: $($panels:literal)*;)*) => {{
                $(while rows.end - row >= $rows {
                    self.take_rows::<S, $rows>(s, row, strip, terms);
                    let mut x = [&strip[..]; $rows];
                    for (r, x) in x.iter_mut().enumerate() {
                        *x = &strip[r * self.images..][..self.images];
                    }
                    let mut panel = 0;
                    $(while count - panel >= $panels {
                        self.tile::<S, $rows, $panels>(s, x, terms, panel, &mut gradients[made..]);
                        panel += $panels;
                    })*
                    made += $rows * self.units;
                    row += $rows;
                    if made >= KEPT_AT_ONCE || row == rows.end {
                        let end = first + row * self.units;
                        keep.keep(s, end - made..end, &gradients[..made]);
                        made = 0;
                    }
                })*
            }};
        }
        // The fewer rows, the more images have zeros in all of them. The first block tells.
        let has_many_zeros = zeros(s, &self.x[rows.start * LANES..rows.end * LANES]) >= MANY_ZEROS;
        match (S::REGISTERS, count) {
            (8.., 1) if has_many_zeros => strips!(4: 1; 1: 1;),
            (32.., 1) => strips!(16: 1; 4: 1; 1: 1;),
            (32.., _) if has_many_zeros => strips!(2: 8 4 2 1; 1: 8 4 2 1;),
            (32.., _) if self.images >= LONG => strips!(12: 2 1; 4: 4 2 1; 1: 4 2 1;),
            (32.., _) => strips!(4: 4 2 1; 1: 4 2 1;),
            (8.., 1) => strips!(6: 1; 2: 1; 1: 1;),
            (8.., _) if self.images >= LONG && !has_many_zeros => strips!(4: 1; 2: 3 2 1; 1: 3 2 1;),
            (8.., _) => strips!(2: 3 2 1; 1: 3 2 1;),
            _ => strips!(2: 1; 1: 1;),
        }
    }

    /// Brings `R` rows together, `[row][image]`, and finds the images in which not all of them are zero: products with the others
    /// would change nothing.
    #[inline(always)]
    fn take_rows<S: Simd, const R: usize>(&self, s: S, row: usize, strip: &mut [f32], terms: &mut Vec<u64>) {
        terms.clear();
        terms.resize(self.images.div_ceil(BITS), 0);
        for first in (0..self.images).step_by(LANES) {
            let x = &self.x[(first / LANES * self.inputs + row) * LANES..];
            for r in R..2 * R {
                s.prefetch(x, r * LANES);
            }
            let mut lanes = 0;
            for r in 0..R {
                let x = s.load(&x[r * LANES..]);
                s.store(&mut strip[r * self.images + first..], x);
                lanes |= s.not_zero(x);
            }
            terms[first / BITS] |= u64::from(lanes) << (first % BITS);
        }
    }

    /// The gradients of `R` rows and `P` panels, to `[row][unit]`, with room for one more vector behind them.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const P: usize>(
        &self,
        s: S,
        x: [&[f32]; R],
        terms: &[u64],
        panel: usize,
        gradients: &mut [f32],
    ) {
        let mut y = [self.panels; P];
        for (p, y) in y.iter_mut().enumerate() {
            *y = &y[(panel + p) * self.images * LANES..][..self.images * LANES];
        }
        let sums = tile::<S, R, P, 1>(s, [[s.splat(0.0); P]; R], x, terms, y, LANES);
        if self.units < LANES {
            // What is too much is overwritten by the next row.
            for r in 0..R {
                s.store(&mut gradients[r * self.units..], sums[r][0]);
            }
            return;
        }
        for r in 0..R {
            for p in 0..P {
                let units = (panel + p) * LANES..self.units.min((panel + p + 1) * LANES);
                let words = r * self.units + units.start..r * self.units + units.end;
                s.store_part(&mut gradients[words], sums[r][p]);
            }
        }
    }

    /// Hands the gradients of the biases, sums over images alone, to `keep`; those of all units begin at word `first`.
    #[inline(always)]
    fn biases<S: Simd>(&self, s: S, first: usize, keep: &mut impl Keep<S>) {
        for (panel, panels) in self.panels.chunks_exact(self.images * LANES).enumerate() {
            let mut sum = s.splat(0.0);
            for gradients in panels.chunks_exact(LANES) {
                sum = s.add(sum, s.load(gradients));
            }
            let mut gradients = [0.0; LANES];
            s.store(&mut gradients, sum);
            let units = panel * LANES..self.units.min((panel + 1) * LANES);
            keep.keep(s, first + units.start..first + units.end, &gradients[..units.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_rows_become_columns() {
        let rows: [u8; BITS] = std::array::from_fn(|i| (i * i * 37 % 251) as u8);
        let columns = bit_columns(&rows);
        assert!(
            (0..BITS * 8).all(|i| columns[i % 8] >> (i / 8) & 1 == u64::from(rows[i / 8] >> (i % 8) & 1))
        );
    }
}
