//! RMSprop over all parameters at once.

use super::case::{Case, Fill};
use super::control::{self, STEP};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd, load_some, store_some};
use super::{
    Binding, Cost, DeviceClass, Formula, LANES, Slot, linear_grid, params, read, read_words, slots, update,
};

params! {
    /// Size and settings.
    Params {
        /// Parameters.
        len: u32,
        /// Share of the old mean square that stays.
        rho: f32,
        /// 1 - rho, the share of the new one.
        one_minus_rho: f32,
        /// Momentum; 0 is none.
        momentum: f32,
        /// Added to the mean square.
        epsilon: f32,
    }
}

/// See the shader for the formula.
pub struct RmsProp;

/// One share of the fast CPU version.
struct Step<'a> {
    p: &'a Params,
    rate: f32,
    gradients: &'a [f32],
    parameters: &'a mut [f32],
    mean_square: &'a mut [f32],
    velocity: &'a mut [f32],
}

impl simd::Kernel for Step<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (rho, one_minus_rho) = (s.splat(self.p.rho), s.splat(self.p.one_minus_rho));
        let (momentum, epsilon, rate) =
            (s.splat(self.p.momentum), s.splat(self.p.epsilon), s.splat(self.rate));
        for at in (0..self.gradients.len()).step_by(LANES) {
            let gradient = load_some(s, &self.gradients[at..]);
            let new = s.mul(one_minus_rho, s.mul(gradient, gradient));
            let square = s.unless_faded(s.fma(rho, load_some(s, &self.mean_square[at..]), new));
            store_some(s, &mut self.mean_square[at..], square);
            let mut change = s.div(s.mul(rate, gradient), s.sqrt(s.add(square, epsilon)));
            if self.p.momentum != 0.0 {
                change = s.unless_faded(s.fma(momentum, load_some(s, &self.velocity[at..]), change));
                store_some(s, &mut self.velocity[at..], change);
            }
            let parameter = s.sub(load_some(s, &self.parameters[at..]), change);
            store_some(s, &mut self.parameters[at..], parameter);
        }
    }
}

impl Formula for RmsProp {
    type Params = Params;
    const NAME: &'static str = "rmsprop";
    const BINDINGS: &'static [Binding] = &[
        read("gradients"),
        read("schedule"),
        read_words("control"),
        update("parameters"),
        update("mean_square"),
        update("velocity"),
    ];

    fn kernel(p: &Params, _: DeviceClass) -> super::Kernel {
        super::Kernel { constants: vec![], grid: linear_grid(p.len as usize, 64) }
    }

    fn cost(p: &Params) -> Cost {
        let streams = if p.momentum == 0.0 { 5 } else { 7 };
        Cost { flops: 10 * u64::from(p.len), bytes: 4 * streams * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [gradients, schedule, control, parameters, mean_square, velocity] = slots(args);
        let (gradients, parameters) = (gradients.real(), parameters.real());
        let (mean_square, velocity) = (mean_square.real(), velocity.real());
        let rate = schedule.real()[control.words()[STEP] as usize * 2];
        let (rho, one_minus_rho) = (T::of(f64::from(p.rho)), T::of(f64::from(p.one_minus_rho)));
        let (momentum, epsilon) = (T::of(f64::from(p.momentum)), T::of(f64::from(p.epsilon)));
        for i in 0..p.len as usize {
            mean_square[i] =
                (rho * mean_square[i] + one_minus_rho * (gradients[i] * gradients[i])).unless_faded();
            let change = rate * gradients[i] / (mean_square[i] + epsilon).sqrt();
            if p.momentum == 0.0 {
                parameters[i] = parameters[i] - change;
                continue;
            }
            velocity[i] = (momentum * velocity[i] + change).unless_faded();
            parameters[i] = parameters[i] - velocity[i];
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let range = part.items(p.len as usize, LANES);
        simd::dispatch(Step {
            p,
            rate: args.input(1)[args.input_words(2)[STEP] as usize * 2],
            gradients: &args.input(0)[range.clone()],
            parameters: args.output(3, range.clone()),
            mean_square: args.output(4, range.clone()),
            velocity: args.output(5, range),
        });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, len: usize, momentum, gradients: Fill, mean_square: Fill| {
            Case::new(
                format!("{name}: {len} parameters, momentum {momentum}"),
                Params { len: len as u32, rho: 0.9, one_minus_rho: 0.1, momentum, epsilon: 1e-7 },
                vec![
                    gradients,
                    Fill::Values(vec![1.0, 1.0, 0.01, 0.02]),
                    Fill::Words(control::start(1, 1, 64, 32, 0, 1).to_vec()),
                    Fill::signed(len + 2),
                    mean_square,
                    Fill::signed(len + 2),
                ],
            )
        };
        let ordinary = |len: usize, momentum| {
            case("ordinary", len, momentum, Fill::signed(len + 2), Fill::Uniform(len + 2, 0.0, 1.0))
        };
        let zeros = |len: usize| Fill::Values(vec![0.0; len + 2]);
        vec![
            ordinary(1, 0.0),
            ordinary(65, 0.0),
            ordinary(4099, 0.9),
            case("all zero", 17, 0.9, zeros(17), zeros(17)),
            case("first step", 31, 0.0, Fill::signed(33), zeros(31)),
            case("large gradients", 31, 0.5, Fill::Uniform(33, -1e6, 1e6), Fill::Uniform(33, 0.0, 1e12)),
        ]
    }
}
