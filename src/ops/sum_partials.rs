//! Adds the partial gradients of the slices of a batch, in order.

use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd, dispatch};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read, slots, write,
};

params! {
    /// Sizes.
    Params {
        /// Partial sums of each gradient.
        slices: u32,
        /// Gradients.
        len: u32,
    }
}

/// See the shader for the formula.
pub struct SumPartials;

impl Formula for SumPartials {
    type Params = Params;
    const NAME: &'static str = "sum_partials";
    const BINDINGS: &'static [Binding] = &[read("partials"), write("gradients")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: linear_grid(p.len as usize, 64) }
    }

    fn cost(p: &Params) -> Cost {
        let (slices, len) = (u64::from(p.slices), u64::from(p.len));
        Cost { flops: slices * len, bytes: 4 * (slices + 1) * len }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [partials, gradients] = slots(args);
        let (partials, gradients) = (partials.real(), gradients.real());
        for i in 0..p.len as usize {
            let slices = (0..p.slices as usize).map(|slice| partials[slice * p.len as usize + i]);
            gradients[i] = slices.fold(T::ZERO, |sum, partial| sum + partial);
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let len = p.len as usize;
        // Runs as long as cache lines, so that threads rarely write into the same one.
        let items = part.items(len, LANES);
        dispatch(Pass {
            partials: &args.input(0)[..p.slices as usize * len],
            len,
            first: items.start,
            sums: args.output(1, items),
        });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |slices: usize, len: usize| {
            Case::new(
                format!("{slices} slices of {len}"),
                Params { slices: slices as u32, len: len as u32 },
                vec![Fill::signed(slices * len), Fill::Output(len + 5)],
            )
        };
        vec![case(1, 1), case(16, 160), case(7, 63), case(5, 65), case(3, 1009), case(64, 15)]
    }
}

/// A share of the sums on the CPU.
struct Pass<'a> {
    partials: &'a [f32],
    len: usize,
    first: usize,
    sums: &'a mut [f32],
}

impl simd::Kernel for Pass<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (vectors, rest) = self.sums.as_chunks_mut::<LANES>();
        let rest_first = self.first + vectors.len() * LANES;
        for (i, sums) in vectors.iter_mut().enumerate() {
            let mut sum = s.splat(0.0);
            for slice in self.partials.chunks_exact(self.len) {
                sum = s.add(sum, s.load(&slice[self.first + i * LANES..]));
            }
            s.store(sums, sum);
        }
        for (i, sum) in rest.iter_mut().enumerate() {
            *sum = self.partials.chunks_exact(self.len).fold(0.0, |sum, slice| sum + slice[rest_first + i]);
        }
    }
}
