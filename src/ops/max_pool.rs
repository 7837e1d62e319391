//! The maximum of each window of an image; windows do not overlap, and what is left at the edges is dropped.

use super::case::{Case, Fill};
use super::control;
use super::dropout::{Epilogue as Dropout, Mask};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd, dispatch};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read_activation,
    read_words, slots, write_activation,
};

params! {
    /// Shapes.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Channels.
        channels: u32,
        /// Rows of the input.
        height: u32,
        /// Columns of the input.
        width: u32,
        /// Rows and columns of a window, and the step from one to the next.
        size: u32,
        /// Rows of the output.
        out_height: u32,
        /// Columns of the output.
        out_width: u32,
        /// Number of the dropout layer that follows: each draws numbers of its own.
        dropout_layer: u32,
        /// Share of the elements that it makes zero, below one; 0 for no dropout.
        dropout_rate: f32,
    }
}

impl Params {
    fn dropout(&self) -> Dropout {
        Dropout { layer: self.dropout_layer, rate: self.dropout_rate }
    }
}

/// See the shader for the formula.
pub struct MaxPool;

impl Formula for MaxPool {
    type Params = Params;
    const NAME: &'static str = "max_pool";
    const BINDINGS: &'static [Binding] =
        &[read_activation("x"), read_words("control"), write_activation("y")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        let outputs = (p.blocks * p.channels * p.out_height * p.out_width) as usize * LANES;
        let sizes = [("SIZE", p.size), ("OUT_WIDTH", p.out_width), ("OUT_HEIGHT", p.out_height)];
        let constants = sizes.into_iter().chain([p.dropout().constant()]).collect();
        Kernel { constants, grid: linear_grid(outputs, 64) }
    }

    fn cost(p: &Params) -> Cost {
        let planes = u64::from(p.blocks) * u64::from(p.channels) * LANES as u64;
        let outputs = u64::from(p.out_height * p.out_width);
        let covered = outputs * u64::from(p.size * p.size);
        Cost { flops: planes * (covered - outputs), bytes: 4 * planes * (covered + outputs) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, control, y] = slots(args);
        let (x, control, y) = (x.real(), control.words(), y.real());
        let (height, width, size) = (p.height as usize, p.width as usize, p.size as usize);
        let (out_height, out_width) = (p.out_height as usize, p.out_width as usize);
        for plane in 0..(p.blocks * p.channels) as usize {
            for window in 0..out_height * out_width {
                let (oy, ox) = (window / out_width, window % out_width);
                for lane in 0..LANES {
                    let at = |k: usize| {
                        let (iy, ix) = (oy * size + k / size, ox * size + k % size);
                        x[((plane * height + iy) * width + ix) * LANES + lane]
                    };
                    let best =
                        (1..size * size).map(at).fold(at(0), |best, x| if x > best { x } else { best });
                    let i = (plane * out_height * out_width + window) * LANES + lane;
                    y[i] = p.dropout().apply(control, i, best);
                }
            }
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let inputs = (p.channels * p.height * p.width) as usize * LANES;
        let outputs = (p.channels * p.out_height * p.out_width) as usize * LANES;
        for block in part.blocks() {
            let x = args.input_block(0, block, inputs);
            let y = args.output(2, block * outputs..(block + 1) * outputs);
            let dropout = p.dropout().mask(args.input_words(1)).map(|mask| (mask, block * outputs));
            match p.size {
                2 => dispatch(Pass::<2> { p, x, y, dropout }),
                _ => dispatch(Pass::<0> { p, x, y, dropout }),
            }
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case =
            |blocks: usize, channels: usize, (height, width): (usize, usize), size: usize, rate: f32| {
                let (out_height, out_width) = (height / size, width / size);
                let p = Params {
                    blocks: blocks as u32,
                    channels: channels as u32,
                    height: height as u32,
                    width: width as u32,
                    size: size as u32,
                    out_height: out_height as u32,
                    out_width: out_width as u32,
                    dropout_layer: 5,
                    dropout_rate: rate,
                };
                Case::new(
                    format!(
                        "{blocks} blocks, {channels} of {height} x {width}, windows of {size}, dropout {rate}"
                    ),
                    p,
                    vec![
                        Fill::signed(blocks * channels * height * width * LANES),
                        Fill::Words(control::start(1, 7, 64, 32, 0, 0x1234_5678_9ABC_DEF0).to_vec()),
                        Fill::Output(blocks * channels * out_height * out_width * LANES + 16),
                    ],
                )
            };
        vec![
            case(1, 1, (1, 1), 1, 0.0),
            case(1, 1, (2, 2), 2, 0.0),
            case(2, 3, (28, 28), 2, 0.0),
            case(3, 5, (13, 13), 2, 0.0),
            case(5, 1, (7, 4), 2, 0.0),
            case(2, 7, (9, 11), 3, 0.0),
            case(1, 2, (5, 5), 5, 0.0),
            case(1, 3, (3, 17), 3, 0.0),
            case(1, 1, (2, 2), 2, 0.5),
            case(2, 5, (14, 14), 2, 0.25),
            case(3, 5, (9, 11), 3, 0.1),
        ]
    }
}

/// A block to be pooled on the CPU, by windows of `SIZE`, or of any size if that is 0.
struct Pass<'a, const SIZE: usize> {
    p: &'a Params,
    x: &'a [f32],
    y: &'a mut [f32],
    /// What drops elements, and the number of the first.
    dropout: Option<(Mask, usize)>,
}

impl<const SIZE: usize> simd::Kernel for Pass<'_, SIZE> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (height, width) = (self.p.height as usize, self.p.width as usize);
        let (out_height, out_width) = (self.p.out_height as usize, self.p.out_width as usize);
        let size = if SIZE == 0 { self.p.size as usize } else { SIZE };
        let (x, _) = self.x.as_chunks::<LANES>();
        let (vectors, _) = self.y.as_chunks_mut::<LANES>();
        for (row, y) in vectors.chunks_exact_mut(out_width).enumerate() {
            let (plane, oy) = (row / out_height, row % out_height);
            let x = &x[(plane * height + oy * size) * width..][..size * width];
            for (ox, y) in y.iter_mut().enumerate() {
                let mut best = s.load(&x[ox * size]);
                for k in 1..size * size {
                    // Keeps what is there where the new one is not larger, or where either is NaN, as the reference does.
                    best = s.max(s.load(&x[k / size * width + ox * size + k % size]), best);
                }
                s.store(y, best);
            }
        }
        if let Some((mask, first)) = self.dropout {
            mask.apply(s, first, self.y);
        }
    }
}
