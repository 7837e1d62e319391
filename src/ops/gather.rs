//! Gathers a batch by index, scales its pixels and brings it to 16 images innermost.

use super::case::{Case, Fill};
use super::control::{self, BATCH, ROWS, STEP};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read_words, slots, write};

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
        &[read_words("images"), read_words("order"), read_words("control"), write("x")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: [(p.blocks * LANES as u32).div_ceil(64), p.width, 1] }
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
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let (images, order, control) = (args.input_words(0), args.input_words(1), args.input_words(2));
        let images: &[u8] = bytemuck::cast_slice(images);
        let (height, width) = (p.height as usize, p.width as usize);
        let pixels = height * width;
        let scaled: [f32; 256] = std::array::from_fn(|byte| (byte as f32 - p.mean) / p.divisor);
        let mut norms = vec![1.0_f32; width];
        for block in part.blocks() {
            let x = args.output(3, block * pixels * LANES..(block + 1) * pixels * LANES);
            for lane in 0..LANES {
                let n = block * LANES + lane;
                if n >= control[ROWS] as usize {
                    x[lane..].iter_mut().step_by(LANES).for_each(|x| *x = 0.0);
                    continue;
                }
                let row = order[(control[STEP] * control[BATCH]) as usize + n] as usize;
                let image = &images[row * pixels..][..pixels];
                let lane_values = x[lane..].iter_mut().step_by(LANES);
                if p.l2_columns == 0 {
                    lane_values.zip(image).for_each(|(x, &byte)| *x = scaled[byte as usize]);
                    continue;
                }
                norms.fill(0.0);
                for row in image.chunks_exact(width) {
                    norms.iter_mut().zip(row).for_each(|(n, &byte)| *n += f32::from(byte) * f32::from(byte));
                }
                norms.iter_mut().for_each(|n| *n = if *n > 0.0 { n.sqrt() } else { 1.0 });
                let norm_of_pixel = norms.iter().cycle();
                for ((x, &byte), norm) in lane_values.zip(image).zip(norm_of_pixel) {
                    *x = (f32::from(byte) - p.mean) / norm;
                }
            }
        }
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
            let bytes = |i: u32| (0..4).fold(0, |word, k| word | (((i * 4 + k) * 97 % 251) & 0xFE & (i % 3 * 127)) << (8 * k));
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
