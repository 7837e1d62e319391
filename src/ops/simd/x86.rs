//! The instructions of x86-64 processors.

use super::{FADED, Kernel, LANES, Simd};
use std::arch::x86_64::*;

/// Rows become columns: four rounds, each of which interleaves row i with row i + 8.
#[inline(always)]
pub fn transpose_bytes(rows: &[[u8; LANES]; LANES]) -> [[u8; LANES]; LANES] {
    let mut rows: [__m128i; LANES] = bytemuck::cast(*rows);
    for _ in 0..4 {
        let mut next = rows;
        for i in 0..LANES / 2 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe {
                next[2 * i] = _mm_unpacklo_epi8(rows[i], rows[i + LANES / 2]);
                next[2 * i + 1] = _mm_unpackhi_epi8(rows[i], rows[i + LANES / 2]);
            }
        }
        rows = next;
    }
    bytemuck::cast(rows)
}

/// Bit `i` of column `j` is bit `j` of row `i`.
#[inline(always)]
pub fn transpose_bits(rows: &[u16; 64]) -> [u64; LANES] {
    let rows: [__m128i; 8] = bytemuck::cast(*rows);
    let mut columns = [0; LANES];
    let (low_columns, high_columns) = columns.split_at_mut(LANES / 2);
    for i in 0..4 {
        // SAFETY: SSE2 is part of x86-64.
        let (mut low, mut high) = unsafe {
            let [a, b] = [rows[2 * i], rows[2 * i + 1]];
            let byte = _mm_set1_epi16(0xFF);
            let low = _mm_packus_epi16(_mm_and_si128(a, byte), _mm_and_si128(b, byte));
            (low, _mm_packus_epi16(_mm_srli_epi16::<8>(a), _mm_srli_epi16::<8>(b)))
        };
        for j in (0..8).rev() {
            // SAFETY: as above.
            unsafe {
                // The highest bit of each byte; the next one takes its place.
                low_columns[j] |= (_mm_movemask_epi8(low) as u64) << (16 * i);
                high_columns[j] |= (_mm_movemask_epi8(high) as u64) << (16 * i);
                low = _mm_add_epi8(low, low);
                high = _mm_add_epi8(high, high);
            }
        }
    }
    columns
}

/// AVX-512: one register a vector.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// AVX2 with FMA: two registers a vector.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,popcnt,bmi1")]
pub(super) fn run_avx512<K: Kernel>(kernel: K) {
    kernel.run(Avx512(()));
}

#[target_feature(enable = "avx2,fma,popcnt,bmi1")]
pub(super) fn run_avx2<K: Kernel>(kernel: K) {
    kernel.run(Avx2(()));
}

/// One method of a [`Simd`] over intrinsics.
macro_rules! method {
    ($name:ident($($arg:ident),*) $body:expr) => {
        #[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::V {
            // SAFETY: the token exists only where `dispatch` detected the features.
            unsafe { $body }
        }
    };
}

impl Simd for Avx512 {
    type V = __m512;
    const REGISTERS: usize = 32;
    const ACCUMULATORS: usize = 27;
    super::whole_vectors!();
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the token exists only where the features were detected (so below).
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        let from = &from[..LANES];
        // SAFETY: 16 numbers, checked above; unaligned loads are allowed.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, to: &mut [f32], v: __m512) {
        let to = &mut to[..LANES];
        // SAFETY: 16 numbers, checked above.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn stream(self, to: &mut [f32], v: __m512) {
        let to = &mut to[..LANES];
        if !to.as_ptr().cast::<super::Vector>().is_aligned() {
            return self.store(to, v);
        }
        // SAFETY: 16 numbers and their alignment, checked above.
        unsafe { _mm512_stream_ps(to.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn prefetch<T>(self, from: &[T], at: usize) {
        // SAFETY: prefetching reads nothing; any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().wrapping_add(at).cast()) }
    }
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> __m512 {
        if from.len() == LANES {
            return self.load(from);
        }
        // SAFETY: lanes past the end of `from` are not touched.
        unsafe { _mm512_maskz_loadu_ps(first_lanes(from.len()), from.as_ptr()) }
    }
    #[inline(always)]
    fn store_part(self, to: &mut [f32], v: __m512) {
        if to.len() == LANES {
            return self.store(to, v);
        }
        // SAFETY: lanes past the end of `to` are not touched.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), v) }
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8; LANES]) -> __m512 {
        // SAFETY: 16 bytes; unaligned loads are allowed.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()))) }
    }
    method!(add(a, b) _mm512_add_ps(a, b));
    method!(sub(a, b) _mm512_sub_ps(a, b));
    method!(mul(a, b) _mm512_mul_ps(a, b));
    method!(div(a, b) _mm512_div_ps(a, b));
    method!(fma(a, b, c) _mm512_fmadd_ps(a, b, c));
    method!(sqrt(a) _mm512_sqrt_ps(a));
    method!(max(a, b) _mm512_max_ps(a, b));
    method!(min(a, b) _mm512_min_ps(a, b));
    method!(select_gt(a, b, yes, no) _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes));
    method!(select_eq(a, b, yes, no) _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), no, yes));
    #[inline(always)]
    fn not_zero(self, a: __m512) -> u32 {
        // SAFETY: as above.
        unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(a, _mm512_setzero_ps())) }
    }
    method!(unless_less(a, limit) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(a, limit), a));
    method!(unless_faded(a) _mm512_maskz_mov_ps(
        _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(a), _mm512_set1_ps(FADED)), a));
    method!(exp2_integral(n) _mm512_castsi512_ps(_mm512_slli_epi32::<23>(
        _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)))));
    method!(round(a) _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a));
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        // SAFETY: as above.
        unsafe { sum256(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a))) }
    }
    #[inline(always)]
    fn transpose(self, from: &[f32], stride: usize, to: &mut [f32; LANES * LANES]) {
        let (mut a, mut b) = ([self.splat(0.0); LANES], [self.splat(0.0); LANES]);
        for i in 0..LANES {
            a[i] = self.load(&from[i * stride..]);
        }
        // SAFETY: as above.
        unsafe {
            // Quarters of a vector become 2 and then 4 numbers of one column, and then the quarters change places.
            for i in (0..LANES).step_by(2) {
                b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
                b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
            }
            for i in (0..LANES).step_by(4) {
                for j in 0..2 {
                    let (x, y) = (_mm512_castps_pd(b[i + j]), _mm512_castps_pd(b[i + j + 2]));
                    a[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                    a[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
                }
            }
            for i in [0, 1, 2, 3, 8, 9, 10, 11] {
                b[i] = _mm512_shuffle_f32x4::<0b10_00_10_00>(a[i], a[i + 4]);
                b[i + 4] = _mm512_shuffle_f32x4::<0b11_01_11_01>(a[i], a[i + 4]);
            }
            for i in 0..8 {
                a[i] = _mm512_shuffle_f32x4::<0b10_00_10_00>(b[i], b[i + 8]);
                a[i + 8] = _mm512_shuffle_f32x4::<0b11_01_11_01>(b[i], b[i + 8]);
            }
        }
        for i in 0..LANES {
            self.store(&mut to[i * LANES..], a[i]);
        }
    }
    #[inline(always)]
    fn sums(self, vectors: [__m512; LANES]) -> __m512 {
        // SAFETY: as above.
        unsafe {
            // Lanes 8, 4, 2 and 1 apart are added, as in `sum`, two vectors becoming one each time: first of vectors 8 apart,
            // whose halves swap places, then 4, 2 and 1 apart, whose quarters, pairs and single lanes do.
            let mut v = vectors;
            for i in 0..8 {
                let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(v[i], v[i + 8]);
                let high = _mm512_shuffle_f32x4::<0b11_10_11_10>(v[i], v[i + 8]);
                v[i] = _mm512_add_ps(low, high);
            }
            for i in 0..4 {
                let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(v[i], v[i + 4]);
                let high = _mm512_shuffle_f32x4::<0b11_01_11_01>(v[i], v[i + 4]);
                v[i] = _mm512_add_ps(low, high);
            }
            for i in 0..2 {
                let low = _mm512_shuffle_ps::<0b01_00_01_00>(v[i], v[i + 2]);
                let high = _mm512_shuffle_ps::<0b11_10_11_10>(v[i], v[i + 2]);
                v[i] = _mm512_add_ps(low, high);
            }
            let low = _mm512_shuffle_ps::<0b10_00_10_00>(v[0], v[1]);
            let high = _mm512_shuffle_ps::<0b11_01_11_01>(v[0], v[1]);
            let sums = _mm512_add_ps(low, high);
            let order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
            _mm512_permutexvar_ps(order, sums)
        }
    }
}

/// The mask of the first `count` lanes.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    debug_assert!(count <= LANES);
    ((1_u32 << count) - 1) as __mmask16
}

/// Adds eight lanes pairwise: 4, 2, 1 apart, as `Plain` does.
#[inline(always)]
unsafe fn sum256(a: __m256) -> f32 {
    // SAFETY: called with the features detected.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        let one = _mm_add_ss(two, _mm_shuffle_ps::<1>(two, two));
        _mm_cvtss_f32(one)
    }
}

/// Rows become columns.
#[inline(always)]
fn transpose8(rows: [__m256; 8]) -> [__m256; 8] {
    let (mut a, mut b) = (rows, rows);
    // SAFETY: called with the features detected.
    unsafe {
        // Halves of a vector become 2 and then 4 numbers of one column, and then the halves change places.
        for i in (0..8).step_by(2) {
            b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
            b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
        }
        for i in (0..8).step_by(4) {
            for j in 0..2 {
                a[i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(b[i + j], b[i + j + 2]);
                a[i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(b[i + j], b[i + j + 2]);
            }
        }
        for i in 0..4 {
            b[i] = _mm256_permute2f128_ps::<0x20>(a[i], a[i + 4]);
            b[i + 4] = _mm256_permute2f128_ps::<0x31>(a[i], a[i + 4]);
        }
    }
    b
}

/// One method over the two halves.
macro_rules! halves {
    ($name:ident($($arg:ident),*) $body:expr) => {
        #[inline(always)]
        fn $name(self, $($arg: Self::V),*) -> Self::V {
            let half = |$($arg: __m256),*| {
                // SAFETY: the token exists only where `dispatch` detected the features.
                unsafe { $body }
            };
            [half($($arg[0]),*), half($($arg[1]),*)]
        }
    };
}

impl Simd for Avx2 {
    type V = [__m256; 2];
    const REGISTERS: usize = 8;
    const ACCUMULATORS: usize = 6;
    type Part = __m256;
    const PARTS: usize = 2;
    #[inline(always)]
    fn load_one(self, from: &[f32; LANES], part: usize) -> __m256 {
        let from = &from[8 * part..][..8];
        // SAFETY: eight numbers, checked above.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store_one(self, to: &mut [f32; LANES], part: usize, v: __m256) {
        let to = &mut to[8 * part..][..8];
        // SAFETY: eight numbers, checked above.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn fma_one(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the token exists only where the features were detected.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn splat_one(self, x: f32) -> __m256 {
        self.splat(x)[0]
    }
    #[inline(always)]
    fn max_one(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn select_gt_one(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) }
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        // SAFETY: the token exists only where the features were detected (so below).
        let half = unsafe { _mm256_set1_ps(x) };
        [half, half]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        let from = &from[..LANES];
        // SAFETY: 16 numbers, checked above.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }
    #[inline(always)]
    fn prefetch<T>(self, from: &[T], at: usize) {
        // SAFETY: prefetching reads nothing; any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().wrapping_add(at).cast()) }
    }
    #[inline(always)]
    fn store(self, to: &mut [f32], v: Self::V) {
        let to = &mut to[..LANES];
        // SAFETY: 16 numbers, checked above.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), v[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v[1]);
        }
    }
    #[inline(always)]
    fn stream(self, to: &mut [f32], v: Self::V) {
        let to = &mut to[..LANES];
        if !to.as_ptr().cast::<super::Vector>().is_aligned() {
            return self.store(to, v);
        }
        // SAFETY: 16 numbers and their alignment, checked above.
        unsafe {
            _mm256_stream_ps(to.as_mut_ptr(), v[0]);
            _mm256_stream_ps(to.as_mut_ptr().add(8), v[1]);
        }
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8; LANES]) -> Self::V {
        // SAFETY: 8 bytes from each half.
        unsafe {
            let low = _mm_loadl_epi64(bytes.as_ptr().cast());
            let high = _mm_loadl_epi64(bytes.as_ptr().add(8).cast());
            [low, high].map(|half| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(half)))
        }
    }
    halves!(add(a, b) _mm256_add_ps(a, b));
    halves!(sub(a, b) _mm256_sub_ps(a, b));
    halves!(mul(a, b) _mm256_mul_ps(a, b));
    halves!(div(a, b) _mm256_div_ps(a, b));
    halves!(fma(a, b, c) _mm256_fmadd_ps(a, b, c));
    halves!(sqrt(a) _mm256_sqrt_ps(a));
    halves!(max(a, b) _mm256_max_ps(a, b));
    halves!(min(a, b) _mm256_min_ps(a, b));
    halves!(select_gt(a, b, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)));
    halves!(select_eq(a, b, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)));
    #[inline(always)]
    fn not_zero(self, a: Self::V) -> u32 {
        let half = |a| {
            // SAFETY: as above.
            unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(a, _mm256_setzero_ps())) as u32 }
        };
        half(a[0]) | half(a[1]) << 8
    }
    #[inline(always)]
    fn transpose(self, from: &[f32], stride: usize, to: &mut [f32; LANES * LANES]) {
        let from = &from[..15 * stride + LANES];
        for (row, column) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            // SAFETY: eight numbers of each of eight rows, the last of which was looked at above, and of eight columns.
            unsafe {
                let from = from.as_ptr().add(row * stride + column);
                let mut rows = [_mm256_setzero_ps(); 8];
                for i in 0..8 {
                    rows[i] = _mm256_loadu_ps(from.add(i * stride));
                }
                let to = to.as_mut_ptr().add(column * LANES + row);
                let columns = transpose8(rows);
                for i in 0..8 {
                    _mm256_storeu_ps(to.add(i * LANES), columns[i]);
                }
            }
        }
    }
    halves!(unless_less(a, limit) _mm256_and_ps(a, _mm256_cmp_ps::<_CMP_NLT_UQ>(a, limit)));
    halves!(unless_faded(a) {
        let size = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        _mm256_and_ps(a, _mm256_cmp_ps::<_CMP_NLT_UQ>(size, _mm256_set1_ps(FADED)))
    });
    halves!(exp2_integral(n) _mm256_castsi256_ps(_mm256_slli_epi32::<23>(
        _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)))));
    halves!(round(a) _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a));
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        // SAFETY: as above.
        unsafe { sum256(_mm256_add_ps(a[0], a[1])) }
    }
}
