//! Softmax over the channels, where it is a layer and not part of the loss.

use super::case::{Case, Fill};
use super::channels::Shape;
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, LANES, Slot, params, read_activation, slots, write_activation,
};

params! {
    /// Shapes.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Channels (features, after a dense product).
        channels: u32,
        /// Pixels of a channel.
        pixels: u32,
    }
}

/// See the shader for the formula.
pub struct Softmax;

/// Some blocks of the fast CPU version.
struct Normalise<'a> {
    shape: Shape,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl simd::Kernel for Normalise<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let each = self.shape.pixels * LANES;
        let block = self.shape.channels * each;
        for (x, y) in self.x.chunks_exact(block).zip(self.y.chunks_exact_mut(block)) {
            for pixel in (0..each).step_by(LANES) {
                let mut largest = s.load(&x[pixel..]);
                for c in 1..self.shape.channels {
                    largest = s.max(s.load(&x[c * each + pixel..]), largest);
                }
                let mut total = s.splat(0.0);
                for c in 0..self.shape.channels {
                    let at = c * each + pixel;
                    let e = s.exp(s.sub(s.load(&x[at..]), largest));
                    s.store(&mut y[at..], e);
                    total = s.add(total, e);
                }
                let scale = s.div(s.splat(1.0), total);
                for c in 0..self.shape.channels {
                    let y = &mut y[c * each + pixel..];
                    s.store(y, s.mul(s.load(y), scale));
                }
            }
        }
    }
}

fn shape(p: &Params) -> Shape {
    Shape::new(p.blocks, p.channels, p.pixels)
}

impl Formula for Softmax {
    type Params = Params;
    const NAME: &'static str = "softmax";
    const BINDINGS: &'static [Binding] = &[read_activation("x"), write_activation("y")];

    fn kernel(p: &Params, class: DeviceClass) -> super::Kernel {
        shape(p).column_kernel(class)
    }

    fn cost(p: &Params) -> Cost {
        let values = shape(p).len() as u64;
        Cost { flops: 10 * values, bytes: 8 * values }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y] = slots(args);
        let (x, y) = (x.real(), y.real());
        for column in shape(p).columns() {
            let largest = column.clone().map(|i| x[i]).reduce(T::max).unwrap_or(T::ZERO);
            let total = column.clone().fold(T::ZERO, |sum, i| sum + (x[i] - largest).exp());
            column.for_each(|i| y[i] = (x[i] - largest).exp() / total);
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let shape = shape(p);
        let range = part.block_items(shape.channels * shape.pixels * LANES);
        simd::dispatch(Normalise { shape, x: args.input_part(0, range.clone()), y: args.output(1, range) });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, blocks: u32, channels: u32, pixels: u32, range: f32| {
            let len = shape(&Params { blocks, channels, pixels }).len();
            Case::new(
                format!("{name}: {blocks} blocks, {channels} x {pixels}"),
                Params { blocks, channels, pixels },
                vec![Fill::Uniform(len, -range, range), Fill::Output(len + 3)],
            )
        };
        vec![
            case("one channel", 1, 1, 1, 1.0),
            case("ten classes", 8, 10, 1, 4.0),
            case("logits of a hundred", 2, 10, 1, 100.0),
            case("equal", 1, 62, 1, 0.0),
            case("maps", 3, 7, 5, 10.0),
            case("large", 2, 3, 2, 1e6),
        ]
    }
}
