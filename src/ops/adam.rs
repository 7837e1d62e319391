//! Adam and AdamW over all parameters at once.

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
        /// 1 - beta 1, the share of the new gradient in the first moment.
        one_minus_beta_1: f32,
        /// 1 - beta 2.
        one_minus_beta_2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
        /// Decoupled weight decay (AdamW), in units of the learning rate.
        weight_decay: f32,
    }
}

/// See the shader for the formula.
pub struct Adam;

impl Formula for Adam {
    type Params = Params;
    const NAME: &'static str = "adam";
    const BINDINGS: &'static [Binding] = &[
        read("gradients"),
        read("schedule"),
        read_words("control"),
        update("parameters"),
        update("first_moment"),
        update("second_moment"),
    ];

    fn kernel(p: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: linear_grid(p.len as usize, 64) }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 14 * u64::from(p.len), bytes: 28 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [gradients, schedule, control, parameters, first, second] = slots(args);
        let (gradients, schedule, parameters) = (gradients.real(), schedule.real(), parameters.real());
        let (first, second) = (first.real(), second.real());
        let step = control.words()[STEP] as usize;
        let (rate, corrected_rate) = (schedule[step * 2], schedule[step * 2 + 1]);
        let new_first = T::of(f64::from(p.one_minus_beta_1));
        let new_second = T::of(f64::from(p.one_minus_beta_2));
        let (epsilon, weight_decay) = (T::of(f64::from(p.epsilon)), T::of(f64::from(p.weight_decay)));
        for i in 0..p.len as usize {
            let gradient = gradients[i];
            first[i] = (gradient - first[i]).mul_add(new_first, first[i]);
            second[i] = (gradient * gradient - second[i]).mul_add(new_second, second[i]);
            let decayed = parameters[i] - rate * weight_decay * parameters[i];
            parameters[i] = decayed - corrected_rate * first[i] / (second[i].sqrt() + epsilon);
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |len: usize, weight_decay| {
            Case::new(
                format!("{len} parameters, weight decay {weight_decay}"),
                Params {
                    len: len as u32,
                    one_minus_beta_1: 0.1,
                    one_minus_beta_2: 0.001,
                    epsilon: 1e-7,
                    weight_decay,
                },
                vec![
                    Fill::signed(len + 2),
                    Fill::Values(vec![1.0, 1.0, 0.01, 0.02]),
                    Fill::Words(control::start(1, 1, 64, 32, 0, 1).to_vec()),
                    Fill::signed(len + 2),
                    Fill::signed(len + 2),
                    Fill::Uniform(len + 2, 0.0, 1.0),
                ],
            )
        };
        vec![case(1, 0.0), case(65, 0.0), case(4099, 0.004)]
    }
}
