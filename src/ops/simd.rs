//! Sixteen lanes: one vector is one feature of 16 images.
//!
//! Kernels are written once over [`Simd`] and run through [`dispatch`], which picks AVX-512, AVX2 or plain
//! arrays at run time. Everything below `dispatch` is `#[inline(always)]`, so that it is compiled with the chosen
//! instructions. With plain arrays and 16 or more accumulators the compiler spills (36 instead of 105 GFLOP/s), hence
//! the intrinsics.

use super::LANES;
use super::real::FADED;
use std::cell::RefCell;

/// A set of instructions that works on vectors of 16 numbers.
pub trait Simd: Copy + Send + Sync {
    /// Sixteen numbers.
    type V: Copy;
    /// Vectors that fit the processor's registers: the limit of a register tile.
    const REGISTERS: usize;
    /// Vectors that the registers hold as accumulators, with room left for operands.
    const ACCUMULATORS: usize;
    /// A part of a vector that is a register of its own, where a vector takes several.
    type Part: Copy;
    /// Parts of a vector.
    const PARTS: usize;
    /// Part `part` of the first 16 numbers of `from`.
    fn load_one(self, from: &[f32; LANES], part: usize) -> Self::Part;
    /// Puts it where part `part` of 16 numbers lies.
    fn store_one(self, to: &mut [f32; LANES], part: usize, v: Self::Part);
    /// a * b + c, rounded once
    fn fma_one(self, a: Self::Part, b: Self::Part, c: Self::Part) -> Self::Part;
    /// All lanes of a part `x`.
    fn splat_one(self, x: f32) -> Self::Part;
    /// [`Simd::max`] of parts.
    fn max_one(self, a: Self::Part, b: Self::Part) -> Self::Part;
    /// [`Simd::select_gt`] of parts.
    fn select_gt_one(self, a: Self::Part, b: Self::Part, yes: Self::Part, no: Self::Part) -> Self::Part;
    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// The first 16 numbers of `from`.
    fn load(self, from: &[f32]) -> Self::V;
    /// The 16 numbers from `from[at]` on.
    ///
    /// # Safety
    /// They must be there.
    #[inline(always)]
    unsafe fn load_unchecked(self, from: &[f32], at: usize) -> Self::V {
        debug_assert!(at + LANES <= from.len());
        // SAFETY: as promised.
        self.load(unsafe { std::slice::from_raw_parts(from.as_ptr().add(at), LANES) })
    }
    /// Puts the lanes into the first 16 numbers of `to`.
    fn store(self, to: &mut [f32], v: Self::V);
    /// The same past the caches, if the instructions can: what another thread reads next, whose cache is far away. Before it
    /// does, [`finish_streams`] has to be called.
    #[inline(always)]
    fn stream(self, to: &mut [f32], v: Self::V) {
        self.store(to, v);
    }
    /// [`Simd::stream`] or [`Simd::store`].
    #[inline(always)]
    fn put(self, to: &mut [f32], v: Self::V, past_caches: bool) {
        if past_caches { self.stream(to, v) } else { self.store(to, v) }
    }
    /// Brings the cache line of `from[at]` closer, if the instructions can; `at` may be past the end.
    #[inline(always)]
    fn prefetch<T>(self, _from: &[T], _at: usize) {}
    /// The numbers of `from` (at most 16), then zeros.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::V {
        if from.len() == LANES {
            return self.load(from);
        }
        let mut lanes = [0.0; LANES];
        lanes[..from.len()].copy_from_slice(from);
        self.load(&lanes)
    }
    /// Fills `to` (at most 16 numbers) with the first lanes.
    #[inline(always)]
    fn store_part(self, to: &mut [f32], v: Self::V) {
        if to.len() == LANES {
            return self.store(to, v);
        }
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, v);
        to.copy_from_slice(&lanes[..to.len()]);
    }
    /// Sixteen bytes as numbers.
    fn load_bytes(self, bytes: &[u8; LANES]) -> Self::V;
    /// a + b
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// a - b
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a / b
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a * b + c, rounded once
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Square root
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The larger of the two; `b` where `a` is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of the two; `b` where `a` is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `yes` where `a > b`, else `no`.
    fn select_gt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `yes` where `a == b`, else `no`.
    fn select_eq(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// A bit for each lane, the first the lowest: whether it is something other than 0 (NaN is).
    fn not_zero(self, a: Self::V) -> u32;
    /// `2^n` for integral `n` in -126..=127, given as a number.
    fn exp2_integral(self, n: Self::V) -> Self::V;
    /// The nearest integer, ties to even.
    fn round(self, a: Self::V) -> Self::V;
    /// The sum of the lanes, always added in the same order.
    fn sum(self, a: Self::V) -> f32;
    /// The sums of the lanes of 16 vectors.
    #[inline(always)]
    fn sums(self, vectors: [Self::V; LANES]) -> Self::V {
        let mut sums = [0.0; LANES];
        for i in 0..LANES {
            sums[i] = self.sum(vectors[i]);
        }
        self.load(&sums)
    }

    /// Rows become columns: `to[16 j + i] = from[i stride + j]` for 16 rows of 16 numbers.
    #[inline(always)]
    fn transpose(self, from: &[f32], stride: usize, to: &mut [f32; LANES * LANES]) {
        for i in 0..LANES {
            let row = &from[i * stride..][..LANES];
            for j in 0..LANES {
                to[j * LANES + i] = row[j];
            }
        }
    }

    /// `a`, or 0 where it is less than `limit`; NaN stays.
    #[inline(always)]
    fn unless_less(self, a: Self::V, limit: Self::V) -> Self::V {
        self.select_gt(limit, a, self.splat(0.0), a)
    }

    /// `a`, or 0 where it has [`FADED`]; NaN stays.
    #[inline(always)]
    fn unless_faded(self, a: Self::V) -> Self::V {
        let zero = self.splat(0.0);
        self.select_gt(self.splat(FADED), self.max(a, self.sub(zero, a)), zero, a)
    }

    /// e^a with an error below 2 ulp for results that are normal numbers; 0 below e^-87, and capped at e^88.
    #[inline(always)]
    fn exp(self, a: Self::V) -> Self::V {
        let clamped = self.max(self.splat(-87.0), self.min(self.splat(88.0), a));
        let n = self.round(self.mul(clamped, self.splat(std::f32::consts::LOG2_E)));
        // ln 2 in two parts (Cody and Waite), the first exact in 9 bits.
        let r = self.fma(n, self.splat(-0.693_359_4), clamped);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        // Minimax polynomial of Cephes' expf.
        let mut p = self.splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1] {
            p = self.fma(p, r, self.splat(c));
        }
        let p = self.fma(self.mul(r, r), p, self.add(r, self.splat(1.0)));
        let result = self.mul(p, self.exp2_integral(n));
        self.select_gt(self.splat(-87.0), a, self.splat(0.0), result)
    }

    /// e^a - 1 for a <= 0, without cancellation near zero.
    #[inline(always)]
    fn exp_m1_negative(self, a: Self::V) -> Self::V {
        // Near zero the series of the same degree without its leading one; elsewhere e^a - 1 is well conditioned.
        let mut p = self.splat(1.0 / 5040.0);
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
            p = self.fma(p, a, self.splat(c));
        }
        let near = self.mul(p, a);
        let far = self.sub(self.exp(a), self.splat(1.0));
        self.select_gt(a, self.splat(-0.35), near, far)
    }
}

/// The first 16 numbers of `from`, or all of them and zeros where there are fewer.
#[inline(always)]
pub fn load_some<S: Simd>(s: S, from: &[f32]) -> S::V {
    if from.len() >= LANES {
        return s.load(from);
    }
    let mut lanes = [0.0; LANES];
    lanes[..from.len()].copy_from_slice(from);
    s.load(&lanes)
}

/// Puts the lanes into the first 16 numbers of `to`, or as many as there are.
#[inline(always)]
pub fn store_some<S: Simd>(s: S, to: &mut [f32], v: S::V) {
    if to.len() >= LANES {
        return s.store(to, v);
    }
    let mut lanes = [0.0; LANES];
    s.store(&mut lanes, v);
    to.copy_from_slice(&lanes[..to.len()]);
}

/// Numbers that others are divided by, by products that take less time than divisions.
#[derive(Clone, Copy)]
pub struct Divisor<V> {
    negative: V,
    reciprocal: V,
}

impl<V: Copy> Divisor<V> {
    /// Divides by `number`.
    #[inline(always)]
    pub fn new<S: Simd<V = V>>(s: S, number: V) -> Self {
        Self { negative: s.sub(s.splat(0.0), number), reciprocal: s.div(s.splat(1.0), number) }
    }

    /// `a` divided by it, for numbers far from the limits of f32. The quotient by the reciprocal is corrected by what it leaves
    /// of `a`, which is exact where multiply-adds are rounded once: then the bits are those of a division (Markstein 1990).
    #[inline(always)]
    pub fn divide<S: Simd<V = V>>(&self, s: S, a: V) -> V {
        let quotient = s.mul(a, self.reciprocal);
        let rest = s.fma(quotient, self.negative, a);
        s.fma(rest, self.reciprocal, quotient)
    }
}

/// Sixteen numbers that no load has to gather from two cache lines.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct Vector(pub [f32; LANES]);

/// Lends memory of this thread in parts of so many vectors. What they hold is whatever was left there.
///
/// # Panics
/// When `work` borrows scratch memory itself.
pub fn scratch<const N: usize>(vectors: [usize; N], work: impl FnOnce([&mut [Vector]; N])) {
    thread_local! {
        static SCRATCH: RefCell<Vec<Vector>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let all = vectors.iter().sum();
        if scratch.len() < all {
            scratch.resize(all, Vector([0.0; LANES]));
        }
        let mut rest = scratch.as_mut_slice();
        work(vectors.map(|count| rest.split_off_mut(..count).unwrap_or_default()));
    });
}

/// Work that is generic over the instructions.
pub trait Kernel {
    /// Does it.
    fn run<S: Simd>(self, simd: S);
}

/// Runs a kernel with the best instructions of this processor.
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) {
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let counts_bits = is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi1");
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw");
        if has_avx2 && counts_bits && has_avx512 {
            // SAFETY: the features were just detected.
            return unsafe { x86::run_avx512(kernel) };
        }
        if has_avx2 && counts_bits {
            // SAFETY: the features were just detected.
            return unsafe { x86::run_avx2(kernel) };
        }
    }
    kernel.run(Plain);
}

/// Waits until what this thread has [streamed](Simd::stream) is in memory, so that it may tell other threads of it.
#[inline]
pub fn finish_streams() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has it.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// [`Simd::ACCUMULATORS`] of the instructions that [`dispatch`] picks.
pub fn accumulators() -> usize {
    let [accumulators, _] = accumulators_and_parts();
    accumulators
}

/// As many parts of vectors as the registers hold as accumulators, with the instructions that [`dispatch`] picks.
pub fn part_accumulators() -> usize {
    let [accumulators, parts] = accumulators_and_parts();
    accumulators * parts
}

fn accumulators_and_parts() -> [usize; 2] {
    struct Numbers<'a>(&'a mut [usize; 2]);
    impl Kernel for Numbers<'_> {
        fn run<S: Simd>(self, _: S) {
            *self.0 = [S::ACCUMULATORS, S::PARTS];
        }
    }
    let mut numbers = [0; 2];
    dispatch(Numbers(&mut numbers));
    numbers
}

/// The name of the instructions that [`dispatch`] picks.
pub fn instructions() -> &'static str {
    struct Name<'a>(&'a mut &'static str);
    impl Kernel for Name<'_> {
        fn run<S: Simd>(self, _: S) {
            *self.0 = std::any::type_name::<S>().rsplit("::").next().unwrap_or("");
        }
    }
    let mut name = "";
    dispatch(Name(&mut name));
    name
}

/// Rows become columns.
#[cfg(not(target_arch = "x86_64"))]
pub fn transpose_bytes(rows: &[[u8; LANES]; LANES]) -> [[u8; LANES]; LANES] {
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
}
/// Bit `i` of column `j` is bit `j` of row `i`.
#[cfg(not(target_arch = "x86_64"))]
pub fn transpose_bits(rows: &[u16; 64]) -> [u64; LANES] {
    let mut columns = [0; LANES];
    for (i, row) in rows.iter().enumerate() {
        for (j, column) in columns.iter_mut().enumerate() {
            *column |= u64::from(row >> j & 1) << i;
        }
    }
    columns
}
#[cfg(target_arch = "x86_64")]
pub use x86::{transpose_bits, transpose_bytes};

/// The part of [`Simd`] that is about parts, where a vector is one.
macro_rules! whole_vectors {
    () => {
        type Part = Self::V;
        const PARTS: usize = 1;
        #[inline(always)]
        fn load_one(self, from: &[f32; LANES], _: usize) -> Self::V {
            self.load(from)
        }
        #[inline(always)]
        fn store_one(self, to: &mut [f32; LANES], _: usize, v: Self::V) {
            self.store(to, v);
        }
        #[inline(always)]
        fn fma_one(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            self.fma(a, b, c)
        }
        #[inline(always)]
        fn splat_one(self, x: f32) -> Self::V {
            self.splat(x)
        }
        #[inline(always)]
        fn max_one(self, a: Self::V, b: Self::V) -> Self::V {
            self.max(a, b)
        }
        #[inline(always)]
        fn select_gt_one(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
            self.select_gt(a, b, yes, no)
        }
    };
}
#[cfg(target_arch = "x86_64")]
use whole_vectors;

/// Plain arrays, for processors without a version of their own.
#[derive(Clone, Copy)]
pub struct Plain;

#[inline(always)]
fn lanes(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    std::array::from_fn(f)
}

impl Simd for Plain {
    type V = [f32; LANES];
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };
    // SSE2 needs four of its 16 registers for a vector, NEON four of 32.
    const ACCUMULATORS: usize = if cfg!(target_arch = "x86_64") { 2 } else { 6 };
    whole_vectors!();
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        lanes(|i| from[i])
    }
    #[inline(always)]
    fn store(self, to: &mut [f32], v: Self::V) {
        to[..LANES].copy_from_slice(&v);
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8; LANES]) -> Self::V {
        lanes(|i| f32::from(bytes[i]))
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Where there is no fused instruction, `mul_add` is a slow library call.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            lanes(|i| a[i].mul_add(b[i], c[i]))
        } else {
            lanes(|i| a[i] * b[i] + c[i])
        }
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        lanes(|i| a[i].sqrt())
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn select_gt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        lanes(|i| if a[i] > b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn select_eq(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        lanes(|i| if a[i] == b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn not_zero(self, a: Self::V) -> u32 {
        (0..LANES).map(|i| u32::from(a[i] != 0.0) << i).sum()
    }
    #[inline(always)]
    fn exp2_integral(self, n: Self::V) -> Self::V {
        lanes(|i| f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        lanes(|i| a[i].round_ties_even())
    }
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        let mut half: [f32; 8] = std::array::from_fn(|i| a[i] + a[i + 8]);
        for width in [4, 2, 1] {
            for i in 0..width {
                half[i] += half[i + width];
            }
        }
        half[0]
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp<'a>(&'a [f32], &'a mut Vec<(f32, f32)>);
    impl Kernel for Exp<'_> {
        fn run<S: Simd>(self, s: S) {
            for chunk in self.0.chunks_exact(LANES) {
                let (mut e, mut m) = ([0.0; LANES], [0.0; LANES]);
                let v = s.load(chunk);
                s.store(&mut e, s.exp(v));
                s.store(&mut m, s.exp_m1_negative(v));
                self.1.extend(e.into_iter().zip(m));
            }
        }
    }

    fn check(run: impl Fn(Exp<'_>)) {
        let inputs: Vec<f32> = (0..160_000).map(|i| -86.9 + i as f32 * (174.0 / 160_000.0)).collect();
        let mut outputs = Vec::new();
        run(Exp(&inputs, &mut outputs));
        for (&x, &(e, m)) in inputs.iter().zip(&outputs) {
            let exact = f64::from(x).exp();
            assert!((f64::from(e) - exact).abs() <= exact * 2.4e-7, "exp({x}) = {e}, not {exact}");
            if x <= 0.0 {
                let exact = f64::from(x).exp_m1();
                assert!((f64::from(m) - exact).abs() <= exact.abs() * 4e-7, "exp_m1({x}) = {m}, not {exact}");
            }
        }
    }

    #[test]
    fn exp_is_accurate_with_every_set_of_instructions() {
        check(|k| dispatch(k));
        check(|k| k.run(Plain));
    }

    #[test]
    fn faded_numbers_become_zero_and_others_stay() {
        struct Fade<'a>(&'a mut [f32; LANES]);
        impl Kernel for Fade<'_> {
            fn run<S: Simd>(self, s: S) {
                let faded = s.unless_faded(s.load(self.0));
                s.store(self.0, faded);
            }
        }
        let mut values = [1.0; LANES];
        values[..7].copy_from_slice(&[0.9e-30, -0.9e-30, 1e-40, 1.1e-30, -1.1e-30, f32::INFINITY, f32::NAN]);
        let expected = values.map(|x| crate::ops::real::Real::unless_faded(x).to_bits());
        assert_eq!(expected[..3], [0; 3]);
        assert_eq!(expected[3..], values.map(f32::to_bits)[3..]);
        let mut plain = values;
        dispatch(Fade(&mut values));
        Fade(&mut plain).run(Plain);
        assert_eq!(values.map(f32::to_bits), expected);
        assert_eq!(plain.map(f32::to_bits), expected);
    }

    #[test]
    fn transposing_bytes_swaps_rows_and_columns() {
        let rows: [[u8; LANES]; LANES] = std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as u8));
        let columns = transpose_bytes(&rows);
        assert!((0..LANES * LANES).all(|i| columns[i / LANES][i % LANES] == rows[i % LANES][i / LANES]));
    }

    #[test]
    fn sums_of_vectors_are_their_sums_to_the_bit() {
        struct Sums<'a>(&'a [[f32; LANES]; LANES], &'a mut [[f32; LANES]; 2]);
        impl Kernel for Sums<'_> {
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let vectors = self.0.map(|vector| s.load(&vector));
                s.store(&mut self.1[0], s.sums(vectors));
                self.1[1] = vectors.map(|vector| s.sum(vector));
            }
        }
        let vectors = std::array::from_fn(|i| std::array::from_fn(|j| 1.0 / (7 * i + j * j + 3) as f32));
        let mut results = [[[0.0; LANES]; 2]; 2];
        let [best, plain] = &mut results;
        dispatch(Sums(&vectors, best));
        Sums(&vectors, plain).run(Plain);
        assert_eq!(best[0].map(f32::to_bits), best[1].map(f32::to_bits));
        assert_eq!(plain[0].map(f32::to_bits), best[0].map(f32::to_bits));
        assert_eq!(plain[1].map(f32::to_bits), best[0].map(f32::to_bits));
    }

    #[test]
    fn rows_become_columns() {
        struct Transpose<'a>(&'a [f32], &'a mut [f32; LANES * LANES]);
        impl Kernel for Transpose<'_> {
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                s.transpose(self.0, 19, self.1);
            }
        }
        let rows: [f32; 15 * 19 + LANES] = std::array::from_fn(|i| i as f32);
        let columns = std::array::from_fn(|i| (i % LANES * 19 + i / LANES) as f32);
        let (mut best, mut plain) = ([0.0; LANES * LANES], [0.0; LANES * LANES]);
        dispatch(Transpose(&rows, &mut best));
        Transpose(&rows, &mut plain).run(Plain);
        assert_eq!(best, columns);
        assert_eq!(plain, columns);
    }

    #[test]
    fn lanes_that_are_not_zero_have_a_bit() {
        struct NotZero<'a>(&'a [f32; LANES], &'a mut u32);
        impl Kernel for NotZero<'_> {
            fn run<S: Simd>(self, s: S) {
                *self.1 = s.not_zero(s.load(self.0));
            }
        }
        let mut values = [0.0; LANES];
        values[1..9].copy_from_slice(&[1.0, -0.0, f32::NAN, 1e-40, 0.0, -3.0, f32::INFINITY, 0.0]);
        values[15] = -1e-45;
        let (mut best, mut plain) = (0, 0);
        dispatch(NotZero(&values, &mut best));
        NotZero(&values, &mut plain).run(Plain);
        assert_eq!([best, plain], [0b1000_0000_1101_1010; 2]);
    }

    #[test]
    fn bits_of_rows_become_columns() {
        let rows: [u16; 64] = std::array::from_fn(|i| (i * i * 3701 % 65_521) as u16);
        let columns = transpose_bits(&rows);
        for (j, column) in columns.iter().enumerate() {
            assert!((0..64).all(|i| column >> i & 1 == u64::from(rows[i] >> j & 1)), "column {j}");
        }
    }

    #[test]
    fn products_with_corrections_have_the_bits_of_divisions() {
        struct Divide<'a>(&'a mut Vec<f32>, &'a [f32; LANES], f32);
        impl Kernel for Divide<'_> {
            fn run<S: Simd>(self, s: S) {
                let mut quotients = [0.0; LANES];
                s.store(&mut quotients, Divisor::new(s, s.splat(self.2)).divide(s, s.load(self.1)));
                self.0.extend(quotients);
            }
        }
        // Scalings of pixels, and norms of columns of up to 28 of them.
        let norms = (1..28 * 255 * 255).step_by(997).map(|squares| (squares as f32).sqrt());
        for (mean, divisor) in
            [(0.0, 255.0), (33.318_42, 78.567_49)].into_iter().chain(norms.map(|norm| (0.0, norm)))
        {
            let pixels: Vec<f32> = (0..256_u16).map(|pixel| f32::from(pixel) - mean).collect();
            let mut quotients = Vec::new();
            for pixels in pixels.as_chunks().0 {
                dispatch(Divide(&mut quotients, pixels, divisor));
            }
            for (pixel, quotient) in pixels.iter().zip(quotients) {
                let exact = pixel / divisor;
                // Only plain arrays without such an instruction round twice.
                let same = quotient == exact
                    || instructions() == "Plain" && (quotient - exact).abs() <= exact.abs() * f32::EPSILON;
                assert!(same, "{pixel} / {divisor} = {exact}, not {quotient}");
            }
        }
    }

    #[test]
    fn all_instructions_add_lanes_in_the_same_order() {
        struct Sum<'a>(&'a [f32], &'a mut f32);
        impl Kernel for Sum<'_> {
            fn run<S: Simd>(self, s: S) {
                *self.1 = s.sum(s.load(self.0));
            }
        }
        let values: Vec<f32> = (0..16).map(|i| 1.0 / (i as f32 + 3.0)).collect();
        let (mut best, mut plain) = (0.0, 1.0);
        dispatch(Sum(&values, &mut best));
        Sum(&values, &mut plain).run(Plain);
        assert_eq!(best.to_bits(), plain.to_bits());
    }
}
