//! The gradient of the maximum of each window: all of it goes to the first maximum.

use super::activation::Activation;
use super::activation_simd::derivative_from_output;
use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd, dispatch};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read, read_activation,
    slots, write,
};

params! {
    /// Shapes, and the activation that made the input.
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
        /// Number of the [`Activation`] whose output the input is.
        activation: u32,
    }
}

/// See the shader for the formula.
pub struct MaxPoolGrad;

impl Formula for MaxPoolGrad {
    type Params = Params;
    const NAME: &'static str = "max_pool_grad";
    const BINDINGS: &'static [Binding] = &[read("y_grad"), read_activation("x"), write("x_grad")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        let (x, y) = (p.width.div_ceil(p.size), p.height.div_ceil(p.size));
        Kernel {
            constants: vec![
                ("SIZE", p.size),
                ("WINDOWS_X", x),
                ("WINDOWS_Y", y),
                ("ACTIVATION", p.activation),
            ],
            grid: linear_grid((p.blocks * p.channels * x * y) as usize * LANES, 64),
        }
    }

    fn cost(p: &Params) -> Cost {
        let planes = u64::from(p.blocks) * u64::from(p.channels) * LANES as u64;
        let (inputs, outputs) = (u64::from(p.height * p.width), u64::from(p.out_height * p.out_width));
        let covered = outputs * u64::from(p.size * p.size);
        Cost { flops: planes * covered, bytes: 4 * planes * (covered + outputs + inputs) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [y_grad, x, x_grad] = slots(args);
        let (y_grad, x, x_grad) = (y_grad.real(), x.real(), x_grad.real());
        let (height, width, size) = (p.height as usize, p.width as usize, p.size as usize);
        let (out_height, out_width) = (p.out_height as usize, p.out_width as usize);
        let activation = Activation::from_code(p.activation);
        let planes = (p.blocks * p.channels) as usize;
        x_grad[..planes * height * width * LANES].fill(T::ZERO);
        for plane in 0..planes {
            for window in 0..out_height * out_width {
                let (oy, ox) = (window / out_width, window % out_width);
                for lane in 0..LANES {
                    let at = |k: usize| {
                        let (iy, ix) = (oy * size + k / size, ox * size + k % size);
                        ((plane * height + iy) * width + ix) * LANES + lane
                    };
                    let first = (1..size * size)
                        .map(at)
                        .fold(at(0), |best, at| if x[at] > x[best] { at } else { best });
                    let gradient = y_grad[(plane * out_height * out_width + window) * LANES + lane];
                    x_grad[first] = gradient * activation.derivative_from_output(x[first]);
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
            let y_grad = args.input_block(0, block, outputs);
            let x = args.input_block(1, block, inputs);
            let x_grad = args.output(2, block * inputs..(block + 1) * inputs);
            match p.size {
                2 => dispatch(Pass::<2> { p, y_grad, x, x_grad }),
                _ => dispatch(Pass::<0> { p, y_grad, x, x_grad }),
            }
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |blocks: usize,
                    channels: usize,
                    (height, width): (usize, usize),
                    size: usize,
                    activation,
                    ties| {
            let (out_height, out_width) = (height / size, width / size);
            let p = Params {
                blocks: blocks as u32,
                channels: channels as u32,
                height: height as u32,
                width: width as u32,
                size: size as u32,
                out_height: out_height as u32,
                out_width: out_width as u32,
                activation: activation as u32,
            };
            let inputs = blocks * channels * height * width * LANES;
            Case::new(
                format!(
                    "{blocks} blocks, {channels} of {height} x {width}, windows of {size}, {activation:?}, ties {ties}"
                ),
                p,
                vec![
                    Fill::signed(blocks * channels * out_height * out_width * LANES),
                    if ties {
                        // Few different numbers, zeros of both signs among them, as after relu.
                        Fill::Values(
                            (0..inputs).map(|i| [0.0, 0.5, -0.0, 0.25, 0.5][i * i % 31 % 5]).collect(),
                        )
                    } else {
                        Fill::signed(inputs)
                    },
                    Fill::Output(inputs + 16),
                ],
            )
        };
        let mut cases = vec![
            case(1, 1, (1, 1), 1, Activation::Linear, false),
            case(1, 1, (2, 2), 2, Activation::Relu, true),
            case(2, 3, (28, 28), 2, Activation::Relu, true),
            case(3, 5, (13, 13), 2, Activation::Relu, false),
            case(5, 1, (7, 4), 2, Activation::Linear, true),
            case(2, 7, (9, 11), 3, Activation::Relu, true),
            case(1, 2, (5, 5), 5, Activation::Linear, true),
            case(1, 3, (3, 17), 3, Activation::Linear, false),
        ];
        let fusible = Activation::ALL.into_iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|activation| case(1, 2, (5, 6), 2, activation, false)));
        cases
    }
}

/// A block's gradient on the CPU, by windows of `SIZE`, or of any size if that is 0.
struct Pass<'a, const SIZE: usize> {
    p: &'a Params,
    y_grad: &'a [f32],
    x: &'a [f32],
    x_grad: &'a mut [f32],
}

impl<const SIZE: usize> simd::Kernel for Pass<'_, SIZE> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (height, width) = (self.p.height as usize, self.p.width as usize);
        let (out_height, out_width) = (self.p.out_height as usize, self.p.out_width as usize);
        let size = if SIZE == 0 { self.p.size as usize } else { SIZE };
        let activation = Activation::from_code(self.p.activation);
        let zero = s.splat(0.0);
        let (y_grad, _) = self.y_grad.as_chunks::<LANES>();
        let (x, _) = self.x.as_chunks::<LANES>();
        let (x_grad, _) = self.x_grad.as_chunks_mut::<LANES>();
        let planes = x.chunks_exact(height * width).zip(x_grad.chunks_exact_mut(height * width));
        for (plane, (x, x_grad)) in planes.enumerate() {
            for oy in 0..out_height {
                let y_grad = &y_grad[(plane * out_height + oy) * out_width..][..out_width];
                let x = &x[oy * size * width..][..size * width];
                let x_grad = &mut x_grad[oy * size * width..][..size * width];
                for (ox, y_grad) in y_grad.iter().enumerate() {
                    let mut best = s.load(&x[ox * size]);
                    for k in 1..size * size {
                        best = s.max(s.load(&x[k / size * width + ox * size + k % size]), best);
                    }
                    // What the first maximum takes is gone for those after it.
                    let mut left = s.mul(s.load(y_grad), derivative_from_output(s, activation, best));
                    for k in 0..size * size {
                        let at = k / size * width + ox * size + k % size;
                        let value = s.load(&x[at]);
                        s.store(&mut x_grad[at], s.select_eq(value, best, left, zero));
                        left = s.select_eq(value, best, zero, left);
                    }
                }
                for row in x_grad.chunks_exact_mut(width) {
                    row[out_width * size..].fill([0.0; LANES]);
                }
            }
            x_grad[out_height * size * width..].fill([0.0; LANES]);
        }
    }
}
