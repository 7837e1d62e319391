//! A copy: as many bytes a second as the device can move at all.

use super::case::{Case, Fill};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read, slots, write,
};

params! {
    /// Size.
    Params {
        /// Elements: a multiple of 4.
        len: u32,
    }
}

/// See the shader for the formula.
pub struct CeilingCopy;

impl Formula for CeilingCopy {
    type Params = Params;
    const NAME: &'static str = "ceiling_copy";
    const BINDINGS: &'static [Binding] = &[read("x"), write("y")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let turns = match class {
            DeviceClass::Gpu => 1,
            DeviceClass::Software => 16,
        };
        let grid = linear_grid((p.len as usize / 4).div_ceil(turns as usize), 64);
        Kernel { constants: vec![("TURNS", turns)], grid }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 0, bytes: 8 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, y] = slots(args);
        let len = p.len as usize;
        y.real()[..len].copy_from_slice(&x.real()[..len]);
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let range = part.items(p.len as usize, LANES);
        args.output(1, range.clone()).copy_from_slice(&args.input(0)[range]);
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |len: usize| {
            Case::new(
                format!("{len} elements"),
                Params { len: len as u32 },
                vec![Fill::signed(len + 8), Fill::Output(len + 8)],
            )
        };
        vec![case(4), case(252), case(260), case(4096)]
    }
}
