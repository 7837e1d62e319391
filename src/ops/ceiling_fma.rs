//! Chains of fused multiply-adds in registers: as many operations a second as the device can do at all.

use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read, slots, write,
};

params! {
    /// Size and length of the chains.
    Params {
        /// Elements: a multiple of 16.
        len: u32,
        /// Multiply-adds in one chain.
        rounds: u32,
    }
}

/// Independent chains of an element: enough to hide the latency of a multiply-add on every device that is known.
const CHAINS: usize = 8;

/// See the shader for the formula.
pub struct CeilingFma;

/// One part of the fast CPU version.
struct Run<'a> {
    rounds: u32,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl simd::Kernel for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, y) in self.x.chunks_exact(LANES).zip(self.y.chunks_exact_mut(LANES)) {
            let x = s.load(x);
            // No more chains at once than half of the registers, or they would spill.
            s.store(
                y,
                match S::REGISTERS {
                    0..8 => sum_of_chains::<S, 2>(s, x, self.rounds),
                    8..16 => sum_of_chains::<S, 4>(s, x, self.rounds),
                    _ => sum_of_chains::<S, CHAINS>(s, x, self.rounds),
                },
            );
        }
    }
}

/// All chains, `N` at a time.
#[inline(always)]
fn sum_of_chains<S: Simd, const N: usize>(s: S, x: S::V, rounds: u32) -> S::V {
    let half = s.splat(0.5);
    let mut sum = s.splat(0.0);
    for first in (0..CHAINS).step_by(N) {
        let mut chains = [x; N];
        for (chain, value) in chains.iter_mut().enumerate() {
            *value = s.splat((first + chain) as f32);
        }
        for _ in 0..rounds {
            for value in &mut chains {
                *value = s.fma(*value, half, x);
            }
        }
        for value in chains {
            sum = s.add(sum, value);
        }
    }
    sum
}

impl Formula for CeilingFma {
    type Params = Params;
    const NAME: &'static str = "ceiling_fma";
    const BINDINGS: &'static [Binding] = &[read("x"), write("y")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: linear_grid(p.len as usize, 64) }
    }

    fn cost(p: &Params) -> Cost {
        let len = u64::from(p.len);
        Cost { flops: len * CHAINS as u64 * (2 * u64::from(p.rounds) + 1), bytes: 8 * len }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y] = slots(args);
        let half = T::of(0.5);
        for (&x, y) in x.real()[..p.len as usize].iter().zip(y.real()) {
            *y = T::ZERO;
            for chain in 0..CHAINS {
                let mut value = T::of(chain as f64);
                for _ in 0..p.rounds {
                    value = value.mul_add(half, x);
                }
                *y += value;
            }
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let range = part.items(p.len as usize, LANES);
        let x = &args.input(0)[range.clone()];
        simd::dispatch(Run { rounds: p.rounds, x, y: args.output(1, range) });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |len: usize, rounds: u32| {
            Case::new(
                format!("{len} elements, {rounds} rounds"),
                Params { len: len as u32, rounds },
                vec![Fill::signed(len + 2), Fill::Output(len + 3)],
            )
        };
        vec![case(16, 0), case(16, 1), case(48, 7), case(80, 64)]
    }
}
