//! Clips all gradients together by their norm.

use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd, load_some, store_some};
use super::{Binding, Cost, DeviceClass, Formula, LANES, Slot, linear_grid, params, read, slots, update};

params! {
    /// Sizes and the limit.
    Params {
        /// Gradients.
        len: u32,
        /// Partial sums of squares.
        parts: u32,
        /// The largest norm that stays as it is, above zero.
        norm: f32,
    }
}

/// See the shader for the formula.
pub struct ClipNorm;

/// One share of the fast CPU version.
struct Scale<'a>(f32, &'a mut [f32]);

impl simd::Kernel for Scale<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let scale = s.splat(self.0);
        for gradients in self.1.chunks_mut(LANES) {
            let scaled = s.mul(load_some(s, gradients), scale);
            store_some(s, gradients, scaled);
        }
    }
}

fn scale<T: Real>(p: &Params, partials: &[T]) -> T {
    let sum = partials[..p.parts as usize].iter().fold(T::ZERO, |sum, &partial| sum + partial);
    let norm = T::of(f64::from(p.norm));
    norm / sum.sqrt().max(norm)
}

impl Formula for ClipNorm {
    type Params = Params;
    const NAME: &'static str = "clip_norm";
    const BINDINGS: &'static [Binding] = &[read("partials"), update("gradients")];

    fn kernel(p: &Params, class: DeviceClass) -> super::Kernel {
        let (width, each) = match class {
            DeviceClass::Gpu => (64, 16),
            DeviceClass::Software => (8, 512),
        };
        let constants = vec![("WIDTH", width), ("EACH", each)];
        super::Kernel { constants, grid: linear_grid(p.len as usize, (width * each) as usize) }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: u64::from(p.len), bytes: 8 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [partials, gradients] = slots(args);
        let scale = scale(p, partials.real());
        gradients.real()[..p.len as usize].iter_mut().for_each(|gradient| *gradient *= scale);
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let gradients = args.output(1, part.items(p.len as usize, LANES));
        simd::dispatch(Scale(scale(p, args.input(0)), gradients));
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, len: u32, parts: u32, norm: f32, largest: f32| {
            let buffers =
                vec![Fill::Uniform(parts as usize + 1, 0.0, largest), Fill::signed(len as usize + 3)];
            let p = Params { len, parts, norm };
            Case::new(format!("{name}: {len} gradients, {parts} parts, norm {norm}"), p, buffers)
        };
        vec![
            case("clipped", 1, 1, 1e-3, 1.0),
            case("clipped", 4099, 67, 1.0, 10.0),
            case("several workgroups", 9001, 1, 0.1, 1e6),
            case("not clipped", 65, 64, 1e3, 1.0),
            case("nothing to clip", 17, 3, 1.0, 0.0),
        ]
    }
}
