//! Sums of the squares of the gradients, by pieces: the first half of clipping them by their norm.

use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd, load_some};
use super::{Binding, Cost, DeviceClass, Formula, LANES, Slot, params, read, slots, write};

params! {
    /// Sizes.
    Params {
        /// Gradients.
        len: u32,
        /// Pieces; the last ones may be short or empty.
        parts: u32,
    }
}

/// See the shader for the formula.
pub struct SquaredNorm;

/// Some pieces of the fast CPU version.
struct Sums<'a> {
    each: usize,
    pieces: std::ops::Range<usize>,
    gradients: &'a [f32],
    partials: &'a mut [f32],
}

impl simd::Kernel for Sums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (piece, partial) in self.pieces.zip(self.partials) {
            let mut sums = [s.splat(0.0); 4];
            for chunk in piece_of(self.gradients, self.each, piece).chunks(4 * LANES) {
                for (g, gradients) in chunk.chunks(LANES).enumerate() {
                    let gradient = load_some(s, gradients);
                    sums[g] = s.fma(gradient, gradient, sums[g]);
                }
            }
            *partial = s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])));
        }
    }
}

fn piece_of<T>(gradients: &[T], each: usize, piece: usize) -> &[T] {
    let len = gradients.len();
    &gradients[(piece * each).min(len)..((piece + 1) * each).min(len)]
}

impl Formula for SquaredNorm {
    type Params = Params;
    const NAME: &'static str = "squared_norm";
    const BINDINGS: &'static [Binding] = &[read("gradients"), write("partials")];

    fn kernel(p: &Params, class: DeviceClass) -> super::Kernel {
        let width = match class {
            DeviceClass::Gpu => 64,
            DeviceClass::Software => 8,
        };
        super::Kernel { constants: vec![("WIDTH", width)], grid: [p.parts, 1, 1] }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 2 * u64::from(p.len), bytes: 4 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [gradients, partials] = slots(args);
        let gradients = &gradients.real()[..p.len as usize];
        let each = p.len.div_ceil(p.parts) as usize;
        for (piece, partial) in partials.real()[..p.parts as usize].iter_mut().enumerate() {
            let gradients = piece_of(gradients, each, piece);
            *partial = gradients.iter().fold(T::ZERO, |sum, &g| g.mul_add(g, sum));
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let pieces = part.items(p.parts as usize, 1);
        simd::dispatch(Sums {
            each: p.len.div_ceil(p.parts) as usize,
            gradients: &args.input(0)[..p.len as usize],
            partials: args.output(1, pieces.clone()),
            pieces,
        });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |len: u32, parts: u32, range: f32| {
            let buffers =
                vec![Fill::Uniform(len as usize + 2, -range, range), Fill::Output(parts as usize + 1)];
            Case::new(format!("{len} gradients to {range}, {parts} parts"), Params { len, parts }, buffers)
        };
        vec![case(1, 1, 1.0), case(65, 1, 1.0), case(4099, 64, 1.0), case(10, 7, 1e6), case(3, 8, 1e-3)]
    }
}
