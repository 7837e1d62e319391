//! Stochastic gradient descent with momentum and Nesterov momentum, over all parameters at once.

use super::case::{Case, Fill};
use super::control::{self, STEP};
use super::real::Real;
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, Slot, linear_grid, params, read, read_words, slots, update,
};

params! {
    /// Size and settings.
    Params {
        /// Parameters.
        len: u32,
        /// Momentum; 0 is plain descent.
        momentum: f32,
        /// 1: Nesterov momentum.
        nesterov: u32,
    }
}

/// See the shader for the formula.
pub struct Sgd;

impl Formula for Sgd {
    type Params = Params;
    const NAME: &'static str = "sgd";
    const BINDINGS: &'static [Binding] =
        &[read("gradients"), read("schedule"), read_words("control"), update("parameters"), update("velocity")];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: linear_grid(p.len as usize, 64) }
    }

    fn cost(p: &Params) -> Cost {
        let streams = if p.momentum == 0.0 { 3 } else { 5 };
        Cost { flops: streams * u64::from(p.len), bytes: 4 * streams * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [gradients, schedule, control, parameters, velocity] = slots(args);
        let (gradients, parameters, velocity) = (gradients.real(), parameters.real(), velocity.real());
        let rate = schedule.real()[control.words()[STEP] as usize * 2];
        let momentum = T::of(f64::from(p.momentum));
        for i in 0..p.len as usize {
            let change = rate * gradients[i];
            if p.momentum == 0.0 {
                parameters[i] = parameters[i] - change;
                continue;
            }
            velocity[i] = momentum * velocity[i] - change;
            let nesterov = momentum * velocity[i] - change;
            parameters[i] += if p.nesterov == 1 { nesterov } else { velocity[i] };
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |len: usize, momentum, nesterov| {
            Case::new(
                format!("{len} parameters, momentum {momentum}, Nesterov {nesterov}"),
                Params { len: len as u32, momentum, nesterov },
                vec![
                    Fill::signed(len + 2),
                    Fill::Values(vec![1.0, 1.0, 0.01, 0.02]),
                    Fill::Words(control::start(1, 1, 64, 32, 0, 1).to_vec()),
                    Fill::signed(len + 2),
                    Fill::signed(len + 2),
                ],
            )
        };
        vec![case(1, 0.0, 0), case(65, 0.0, 0), case(1000, 0.9, 0), case(4099, 0.9, 1)]
    }
}
