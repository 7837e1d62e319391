//! Gathers a batch by index, scales its pixels and brings it to 16 images innermost.

use super::case::{Case, Fill};
use super::control::{self, BATCH, ROWS, STEP};
use super::dense_cpu;
use super::real::Real;
use super::share::{CpuArgs, Part, Region, Split};
use super::simd::{self, Divisor, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read_words, slots, write_activation,
};

params! {
    /// Shapes and pixel scaling.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Rows of an image.
        height: u32,
        /// Columns of an image.
        width: u32,
        /// 1: divide each column by its norm instead.
        l2_columns: u32,
        /// Subtracted from a byte.
        mean: f32,
        /// What the difference is divided by.
        divisor: f32,
    }
}

/// See the shader for the formula.
pub struct Gather;

fn byte(images: &[u32], index: usize) -> u32 {
    images[index / 4] >> (8 * (index % 4)) & 0xFF
}

impl Formula for Gather {
    type Params = Params;
    const NAME: &'static str = "gather";
    const BINDINGS: &'static [Binding] =
        &[read_words("images"), read_words("order"), read_words("control"), write_activation("x")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let columns = if p.width.is_multiple_of(4) { 4 } else { 1 };
        // Norms take whole columns; otherwise a GPU has more to do at a time by parts of them.
        let height = if class == DeviceClass::Gpu && p.l2_columns == 0 { p.height.min(4) } else { p.height };
        let fours = p.blocks * LANES as u32 / 4;
        Kernel {
            constants: vec![("COLUMNS", columns), ("HEIGHT", height)],
            grid: [fours.div_ceil(8), p.width.div_ceil(columns).div_ceil(8), p.height.div_ceil(height)],
        }
    }

    fn cost(p: &Params) -> Cost {
        let pixels = u64::from(p.blocks * p.height * p.width) * LANES as u64;
        Cost { flops: 2 * pixels, bytes: 5 * pixels }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [images, order, control, x] = slots(args);
        let (images, order, control, x) = (images.words(), order.words(), control.words(), x.real());
        let (height, width) = (p.height as usize, p.width as usize);
        for n in 0..p.blocks as usize * LANES {
            let out = n / LANES * height * width * LANES + n % LANES;
            if n >= control[ROWS] as usize {
                (0..height * width).for_each(|i| x[out + i * LANES] = T::ZERO);
                continue;
            }
            let row = order[(control[STEP] * control[BATCH]) as usize + n] as usize;
            for column in 0..width {
                let pixel = |y: usize| T::of(f64::from(byte(images, (row * height + y) * width + column)));
                let mut divisor = T::of(f64::from(p.divisor));
                if p.l2_columns != 0 {
                    let squares = (0..height).fold(T::ZERO, |sum, y| pixel(y).mul_add(pixel(y), sum));
                    divisor = if squares > T::ZERO { squares.sqrt() } else { T::ONE };
                }
                for y in 0..height {
                    x[out + (y * width + column) * LANES] = (pixel(y) - T::of(f64::from(p.mean))) / divisor;
                }
            }
        }
    }

    fn split(p: &Params) -> Split {
        // The update of a dense layer's weights reads the pixels of its share once more; but norms take all pixels.
        let count = p.blocks as usize;
        if p.l2_columns == 0 && count < dense_cpu::MANY_BLOCKS {
            Split::Shares
        } else {
            Split::Blocks { count, align: 1 }
        }
    }

    fn regions(p: &Params, binding: usize) -> Vec<Region> {
        vec![if binding == 3 { Region::features(p.height * p.width) } else { Region::ALL }]
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let pixels = part.features((p.height * p.width) as usize);
        // Vectors of four bytes a lane.
        simd::scratch([pixels.len().div_ceil(4)], |[bytes]| {
            let bytes = &mut bytemuck::cast_slice_mut(bytes)[..pixels.len()];
            simd::dispatch(Run { p, args, part, bytes });
        });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, batch: usize, (height, width): (usize, usize), step, total, l2_columns| {
            let images = 37_usize;
            let blocks = super::blocks(batch);
            let p = Params {
                blocks: blocks as u32,
                height: height as u32,
                width: width as u32,
                l2_columns,
                mean: if l2_columns == 0 { 33.318 } else { 0.0 },
                divisor: 78.567,
            };
            let bytes = |i: u32| {
                (0..4).fold(0, |word, k| word | (((i * 4 + k) * 97 % 251) & 0xFE & (i % 3 * 127)) << (8 * k))
            };
            let words = (images * height * width).div_ceil(4) as u32;
            Case::new(
                name,
                p,
                vec![
                    Fill::Words((0..words).map(bytes).collect()),
                    Fill::Words((0..total as u32).map(|i| i * 29 % images as u32).collect()),
                    Fill::Words(control::start(step, 0, total, batch, 0, 1).to_vec()),
                    Fill::Output(blocks * height * width * LANES),
                ],
            )
        };
        vec![
            case("full batch", 32, (28, 28), 0, 64, 0),
            case("second, ragged batch", 20, (7, 5), 1, 33, 0),
            case("one image of one pixel", 1, (1, 1), 0, 1, 0),
            case("columns by their norms, some zero", 17, (9, 3), 1, 30, 1),
        ]
    }
}

/// Bytes that come from memory together.
const CACHE_LINE: usize = 64;

struct Run<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    part: Part,
    /// Memory for a block.
    bytes: &'a mut [[u8; LANES]],
}

impl simd::Kernel for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, args, part, bytes } = self;
        let (order, control) = (args.input_words(1), args.input_words(2));
        let all: &[u8] = bytemuck::cast_slice(args.input_words(0));
        let pixels = (p.height * p.width) as usize;
        let own = part.features(pixels);
        let mean = s.splat(p.mean);
        let mut columns =
            vec![Divisor::new(s, s.splat(1.0)); if p.l2_columns == 0 { 0 } else { p.width as usize }];
        for block in part.blocks_of(p.blocks as usize) {
            let x = args.output(3, (block * pixels + own.start) * LANES..(block * pixels + own.end) * LANES);
            let first = block * LANES;
            let rows = (control[ROWS] as usize).saturating_sub(first).min(LANES);
            let start = (control[STEP] * control[BATCH]) as usize + first;
            // Lanes past the batch get some image's bytes, and then zeros.
            let mut images = [&[][..]; LANES];
            // What the same block of the next step will need: it is somewhere in memory.
            let mut later = [0; LANES];
            if rows == 0 {
                x.fill(0.0);
                continue;
            }
            for (lane, image) in images.iter_mut().enumerate() {
                let row = order[start + lane.min(rows - 1)] as usize;
                *image = &all[row * pixels..][own.clone()];
                let row = order.get(start + control[BATCH] as usize + lane).map_or(0, |&row| row as usize);
                later[lane] = row * pixels + own.start;
            }
            interleave(s, &images, (all, &later), bytes);
            if p.l2_columns == 0 {
                let divisor = Divisor::new(s, s.splat(p.divisor));
                for (x, bytes) in x.chunks_exact_mut(LANES).zip(&*bytes) {
                    s.store(x, divisor.divide(s, s.sub(s.load_bytes(bytes), mean)));
                }
            } else {
                column_norms(s, bytes, &mut columns);
                let rows = x.chunks_exact_mut(LANES * columns.len()).zip(bytes.chunks_exact(columns.len()));
                for (x, bytes) in rows {
                    for ((x, bytes), norm) in x.chunks_exact_mut(LANES).zip(bytes).zip(&columns) {
                        s.store(x, norm.divide(s, s.sub(s.load_bytes(bytes), mean)));
                    }
                }
            }
            if rows < LANES {
                x.chunks_exact_mut(LANES).for_each(|x| x[rows..].fill(0.0));
            }
        }
    }
}

/// The bytes of 16 images, 16 images innermost; brings those closer that begin at `later` among all.
#[inline(always)]
fn interleave<S: Simd>(
    s: S,
    images: &[&[u8]; LANES],
    (all, later): (&[u8], &[usize; LANES]),
    into: &mut [[u8; LANES]],
) {
    let mut rows = [[0; LANES]; LANES];
    let mut groups = into.chunks_exact_mut(LANES);
    let mut first = 0;
    for columns in &mut groups {
        for (row, image) in rows.iter_mut().zip(images) {
            row.copy_from_slice(&image[first..first + LANES]);
        }
        columns.copy_from_slice(&simd::transpose_bytes(&rows));
        if first.is_multiple_of(CACHE_LINE) {
            later.iter().for_each(|image| s.prefetch(all, image + first));
        }
        first += LANES;
    }
    let columns = groups.into_remainder();
    for (row, image) in rows.iter_mut().zip(images) {
        let rest = &image[first..];
        row[..rest.len()].copy_from_slice(rest);
    }
    columns.copy_from_slice(&simd::transpose_bytes(&rows)[..columns.len()]);
}

/// The norm of every column of every image, one instead of zero.
#[inline(always)]
fn column_norms<S: Simd>(s: S, bytes: &[[u8; LANES]], norms: &mut [Divisor<S::V>]) {
    let width = norms.len();
    for (column, norm) in norms.iter_mut().enumerate() {
        let mut squares = s.splat(0.0);
        for bytes in bytes[column..].iter().step_by(width) {
            let x = s.load_bytes(bytes);
            squares = s.fma(x, x, squares);
        }
        let zero = s.splat(0.0);
        *norm = Divisor::new(s, s.select_gt(squares, zero, s.sqrt(squares), s.splat(1.0)));
    }
}
