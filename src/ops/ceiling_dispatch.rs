//! The least that a call can do: count itself. What it takes is what a dispatch costs.

use super::case::{Case, Fill};
use super::real::Real;
use super::{Binding, Cost, DeviceClass, Formula, Kernel, Slot, params, slots, update_words};

params! {
    /// What is added.
    Params {
        /// The increment.
        increment: u32,
    }
}

/// See the shader for the formula.
pub struct CeilingDispatch;

impl Formula for CeilingDispatch {
    type Params = Params;
    const NAME: &'static str = "ceiling_dispatch";
    const BINDINGS: &'static [Binding] = &[update_words("count")];

    fn kernel(_: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: [1, 1, 1] }
    }

    fn cost(_: &Params) -> Cost {
        Cost { flops: 0, bytes: 8 }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [count] = slots(args);
        let count = count.words();
        count[0] = count[0].wrapping_add(p.increment);
    }

    fn cases() -> Vec<Case<Params>> {
        vec![Case::new("one of three", Params { increment: 1 }, vec![Fill::Words(vec![41, 7, 7])])]
    }
}
