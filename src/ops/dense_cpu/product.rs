//! Products whose terms all count.

use super::memory::{give_scratch, take_scratch};
use super::sparse;
use crate::ops::LANES;
use crate::ops::simd::Simd;
use std::ops::Range;

/// What becomes of a sum: a trait and not a closure, so that it is compiled with the chosen instructions.
pub(in crate::ops) trait Finish<S: Simd> {
    /// Takes the sums of a row for the 16 images of a block.
    fn finish(&mut self, s: S, block: usize, row: usize, sums: S::V);
}

/// `sums[row][b] = sum over k, of `terms`, of coefficient(row, k) * vectors[b][k]` for a range of rows, handed to `finish`
/// tile by tile as (block, row, sum). The coefficient (row, k) is at `row * stride + k` with `BY_ROWS` (the inputs
/// of the transposed product), else at `k * stride + row` (the units of the product).
#[derive(Clone, Copy)]
pub(in crate::ops) struct Product<'a> {
    /// The matrix.
    pub(in crate::ops) coefficients: &'a [f32],
    /// Words from one of its rows in memory to the next.
    pub(in crate::ops) stride: usize,
    /// Those blocks that are computed, of `depth` vectors.
    pub(in crate::ops) vectors: &'a [f32],
    /// Vectors of a block.
    pub(in crate::ops) depth: usize,
    /// What sums go over: the first k, and how many.
    pub(in crate::ops) terms: (usize, usize),
}

impl Product<'_> {
    /// Computes all rows of `blocks`, the units of a product. Where the first block is mostly zeros, as pixels are, zeros are left
    /// out.
    #[inline(always)]
    pub(in crate::ops) fn run_sparse<S: Simd>(self, s: S, blocks: Range<usize>, finish: impl Finish<S>) {
        let (first, count) = self.terms;
        let some = &self.vectors[first * LANES..][..count * LANES];
        if self.stride < LANES || !sparse::has_many_zeros(s, some) {
            self.run::<S, false>(s, blocks, 0..self.stride, finish);
        } else {
            sparse::run(s, self, blocks, finish);
        }
    }

    /// Computes `rows` of `blocks`.
    #[inline(always)]
    pub(in crate::ops) fn run<S: Simd, const BY_ROWS: bool>(
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

/// Terms of a long product that are added at a time: their vectors take 16 KiB.
const CHUNK: usize = 256;
