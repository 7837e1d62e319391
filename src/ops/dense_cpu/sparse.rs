//! Products that leave out terms that are zero.

use super::memory::{Scratch, give_scratch, take_scratch};
use super::product::{Finish, Product};
use crate::ops::LANES;
use crate::ops::simd::{Simd, transpose_bits};
use std::ops::Range;

/// Bits of a word that has one for every term.
pub(super) const BITS: usize = u64::BITS as usize;
/// The share of zeros from which on it pays to look for them.
const MANY_ZEROS: f32 = 0.6;
/// Of so many vectors one is looked at for that.
const SEEN: usize = 4;

/// Whether it pays to leave out zeros.
#[inline(always)]
pub(super) fn has_many_zeros<S: Simd>(s: S, x: &[f32]) -> bool {
    let mut others = 0;
    let mut seen = 0;
    for vector in x.chunks_exact(LANES).step_by(SEEN) {
        others += s.not_zero(s.load(vector)).count_ones();
        seen += LANES;
    }
    1.0 - others as f32 / seen as f32 >= MANY_ZEROS
}

/// [`Product::run`] for all units, at least 16, without zeros.
#[inline(always)]
pub(super) fn run<S: Simd>(s: S, product: Product<'_>, blocks: Range<usize>, mut finish: impl Finish<S>) {
    let sparse = SparseProduct { product, blocks: blocks.len() };
    let mut scratch = take_scratch();
    let Scratch { terms, sums, .. } = &mut scratch;
    let sums = sums.zeros(sparse.panels() * blocks.len() * LANES);
    sparse.run(s, terms, sums);
    let mut square = [0.0; LANES * LANES];
    let (squares, _) = sums.as_flattened().as_chunks::<{ LANES * LANES }>();
    for (i, sums) in squares.iter().enumerate() {
        s.transpose(sums, LANES, &mut square);
        let (panel, block) = (i / blocks.len(), i % blocks.len());
        for unit in 0..LANES {
            let sums = s.load(&square[unit * LANES..]);
            finish.finish(s, blocks.start + block, sparse.first_unit(panel) + unit, sums);
        }
    }
    give_scratch(scratch);
}

/// A product by units that leaves out terms that are zero for an image, or for several.
struct SparseProduct<'a> {
    /// Of at least 16 units.
    product: Product<'a>,
    blocks: usize,
}

impl SparseProduct<'_> {
    fn panels(&self) -> usize {
        self.product.stride.div_ceil(LANES)
    }

    /// First unit of a panel of 16: the last one overlaps the one before, so that it is whole.
    fn first_unit(&self, panel: usize) -> usize {
        (panel * LANES).min(self.product.stride - LANES)
    }

    /// `sums[panel][block][image]`, of 16 units.
    #[inline(always)]
    fn run<S: Simd>(&self, s: S, terms: &mut Vec<u64>, sums: &mut [[f32; LANES]]) {
        let (first, count) = self.product.terms;
        let (panels, whole) = (self.panels(), self.product.stride / LANES);
        // The weights of so many terms stay in the first-level cache for all images.
        let parts = count.div_ceil(BITS);
        for part in 0..parts {
            let start = first + count * part / parts;
            let part = start..first + count * (part + 1) / parts;
            self.find_terms(s, part.clone(), terms);
            let mut panel = 0;
            macro_rules! tiles {
                ($($images:literal * $panels:literal)*) => {{
                    $(while (if $panels == 1 { panels } else { whole }) - panel >= $panels {
                        self.tiles::<S, $images, $panels>(s, part.clone(), terms, panel, sums);
                        panel += $panels;
                    })*
                }};
            }
            // The more images, the more terms count only for others; the more panels, the less often inputs are loaded.
            match S::REGISTERS {
                32.. => tiles!(2 * 4 2 * 2 4 * 1),
                8.. => tiles!(1 * 4 2 * 2 4 * 1),
                _ => tiles!(2 * 1),
            }
        }
    }

    /// `[block][image]`: a bit for every term that is not zero.
    #[inline(always)]
    fn find_terms<S: Simd>(&self, s: S, part: Range<usize>, terms: &mut Vec<u64>) {
        terms.clear();
        for block in 0..self.blocks {
            let x = &self.product.vectors[(block * self.product.depth + part.start) * LANES..];
            let mut lanes = [0; BITS];
            for (lanes, x) in lanes.iter_mut().zip(x[..part.len() * LANES].chunks_exact(LANES)) {
                *lanes = s.not_zero(s.load(x)) as u16;
            }
            terms.extend(transpose_bits(&lanes));
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
        let (numbers, stride) = (self.product.coefficients, self.product.stride);
        let first = part.start * stride + self.first_unit(panel);
        let y = Panels { numbers: &numbers[first..], next: LANES, stride };
        for block in 0..self.blocks {
            let vectors = &self.product.vectors[(block * self.product.depth + part.start) * LANES..];
            let terms = &terms[block * LANES..][..LANES];
            for image in 0..LANES / R {
                let mut made = [[s.splat(0.0); P]; R];
                for r in 0..R {
                    for p in 0..P {
                        let at = ((panel + p) * self.blocks + block) * LANES + image + r * (LANES / R);
                        made[r][p] = s.load(&sums[at]);
                    }
                }
                let mut any = 0;
                for terms in terms[image..].iter().step_by(LANES / R) {
                    any |= terms;
                }
                let x = Rows { numbers: &vectors[image..part.len() * LANES], next: LANES / R };
                let made = Terms::new(&[any]).add::<S, R, P, LANES>(s, made, x, y);
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

/// The terms of a sum that count.
pub(super) struct Terms<'a> {
    /// A bit for each.
    words: &'a [u64],
    /// Those up to the last that counts.
    end: usize,
}

/// Numbers of some rows, from one to the `next`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) next: usize,
}

/// Numbers of some panels of 16, from one to the `next`, and from a term to the next by a `stride`.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) next: usize,
    pub(super) stride: usize,
}

impl<'a> Terms<'a> {
    #[inline(always)]
    pub(super) fn new(words: &'a [u64]) -> Self {
        let mut end = 0;
        for (word, &terms) in words.iter().enumerate() {
            if terms != 0 {
                end = (word + 1) * BITS - terms.leading_zeros() as usize;
            }
        }
        Self { words, end }
    }

    /// `sums[r][p] += sum over terms of x[r * next + term * X] * y[p * next + term * stride ..][..16]`, of those terms that
    /// count, in order.
    #[inline(always)]
    pub(super) fn add<S: Simd, const R: usize, const P: usize, const X: usize>(
        &self,
        s: S,
        mut sums: [[S::V; P]; R],
        x: Rows<'_>,
        y: Panels<'_>,
    ) -> [[S::V; P]; R] {
        if self.end == 0 {
            return sums;
        }
        let last = self.end - 1;
        assert!((R - 1) * x.next + last * X < x.numbers.len());
        assert!((P - 1) * y.next + last * y.stride + LANES <= y.numbers.len());
        let mut rows = [x.numbers; R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = &row[r * x.next..];
        }
        let mut panels = [y.numbers; P];
        for (p, panel) in panels.iter_mut().enumerate() {
            *panel = &panel[p * y.next..];
        }
        for (word, &terms) in self.words.iter().enumerate() {
            let mut left = terms;
            while left != 0 {
                let term = word * BITS + left.trailing_zeros() as usize;
                left &= left - 1;
                for p in 0..P {
                    // SAFETY: no term is after the last, for which there is enough of every x and y.
                    let y = unsafe { s.load_unchecked(panels[p], term * y.stride) };
                    for r in 0..R {
                        // SAFETY: as above.
                        let x = unsafe { *rows[r].get_unchecked(term * X) };
                        sums[r][p] = s.fma(s.splat(x), y, sums[r][p]);
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::simd::{Kernel, Plain, dispatch};

    struct Case<'a> {
        product: Product<'a>,
        blocks: usize,
        sums: &'a mut [f32],
    }

    impl Kernel for Case<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self { product, blocks, sums } = self;
            run(s, product, 0..blocks, Keep { units: product.stride, sums });
        }
    }

    struct Keep<'a> {
        units: usize,
        sums: &'a mut [f32],
    }

    impl<S: Simd> Finish<S> for Keep<'_> {
        fn finish(&mut self, s: S, block: usize, unit: usize, sums: S::V) {
            s.store(&mut self.sums[(block * self.units + unit) * LANES..], sums);
        }
    }

    #[test]
    fn zeros_change_nothing_with_any_instructions() {
        for (blocks, inputs, units) in [(1, 64, 16), (2, 131, 37), (3, 70, 100), (2, 5, 128)] {
            // Whole numbers, whose sums are exact.
            let vectors: Vec<f32> = (0..blocks * inputs * LANES)
                .map(|i| if i * i % 7 < 2 { (i % 11) as f32 - 5.0 } else { 0.0 })
                .collect();
            let coefficients: Vec<f32> = (0..inputs * units).map(|i| (i * 29 % 17) as f32 - 8.0).collect();
            // Not from the first term on.
            let terms = (1, inputs - 2);
            let product = Product {
                coefficients: &coefficients,
                stride: units,
                vectors: &vectors,
                depth: inputs,
                terms,
            };
            let expected: Vec<f32> = (0..blocks * units * LANES)
                .map(|i| {
                    let (block, unit, lane) = (i / (units * LANES), i / LANES % units, i % LANES);
                    (1..inputs - 1)
                        .map(|k| {
                            vectors[(block * inputs + k) * LANES + lane] * coefficients[k * units + unit]
                        })
                        .sum()
                })
                .collect();
            let (mut best, mut plain) = (vec![0.5; expected.len()], vec![0.5; expected.len()]);
            dispatch(Case { product, blocks, sums: &mut best });
            Case { product, blocks, sums: &mut plain }.run(Plain);
            assert_eq!(best, expected, "{blocks} blocks, {inputs} to {units}");
            assert_eq!(plain, expected, "{blocks} blocks, {inputs} to {units}");
        }
    }
}
