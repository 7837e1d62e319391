//! Stochastic gradient descent with momentum and Nesterov momentum, over all parameters at once.

use super::case::{Case, Fill};
use super::control::{self, STEP};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read, read_words, slots,
    update,
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
    const BINDINGS: &'static [Binding] = &[
        read("gradients"),
        read("schedule"),
        read_words("control"),
        update("parameters"),
        update("velocity"),
    ];

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
        let settings = Settings::new(p, rate(schedule.real(), control.words()));
        for i in 0..p.len as usize {
            settings.step(gradients[i], &mut parameters[i], &mut velocity[i]);
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
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

/// The rate of a step.
pub(super) fn rate<T: Copy>(schedule: &[T], control: &[u32]) -> T {
    schedule[control[STEP] as usize * 2]
}

/// What a step does with the velocity.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Plain,
    Momentum,
    Nesterov,
}

/// The settings of a step, as numbers or as vectors with all lanes equal.
#[derive(Clone, Copy)]
pub(super) struct Settings<T> {
    rate: T,
    momentum: T,
    rule: Rule,
}

impl<T: Real> Settings<T> {
    /// Settings at this rate.
    pub(super) fn new(p: &Params, rate: T) -> Self {
        let rule = match (p.momentum == 0.0, p.nesterov) {
            (true, _) => Rule::Plain,
            (false, 1) => Rule::Nesterov,
            (false, _) => Rule::Momentum,
        };
        Self { rate, momentum: T::of(f64::from(p.momentum)), rule }
    }

    /// Updates a parameter and its velocity.
    pub(super) fn step(&self, gradient: T, parameter: &mut T, velocity: &mut T) {
        let change = self.rate * gradient;
        if self.rule == Rule::Plain {
            *parameter = *parameter - change;
            return;
        }
        *velocity = (self.momentum * *velocity - change).unless_faded();
        let nesterov = self.momentum * *velocity - change;
        *parameter += if self.rule == Rule::Nesterov { nesterov } else { *velocity };
    }
}

impl Settings<f32> {
    /// The same in all lanes.
    #[inline(always)]
    pub(super) fn splat<S: Simd>(&self, s: S) -> Settings<S::V> {
        Settings { rate: s.splat(self.rate), momentum: s.splat(self.momentum), rule: self.rule }
    }
}

impl<V: Copy> Settings<V> {
    /// Updates parameters and their velocities as [`Settings::step`] does.
    #[inline(always)]
    pub(super) fn step_all<S: Simd<V = V>>(
        &self,
        s: S,
        gradients: &[f32],
        parameters: &mut [f32],
        velocities: &mut [f32],
    ) {
        let parameters = parameters.chunks_mut(LANES).zip(velocities.chunks_mut(LANES));
        for (gradient, (parameter, velocity)) in gradients.chunks(LANES).zip(parameters) {
            let change = s.mul(self.rate, s.load_part(gradient));
            let old = s.load_part(parameter);
            if self.rule == Rule::Plain {
                s.store_part(parameter, s.sub(old, change));
                continue;
            }
            let new_velocity = s.unless_faded(s.sub(s.mul(self.momentum, s.load_part(velocity)), change));
            s.store_part(velocity, new_velocity);
            let nesterov = s.sub(s.mul(self.momentum, new_velocity), change);
            let step = if self.rule == Rule::Nesterov { nesterov } else { new_velocity };
            s.store_part(parameter, s.add(old, step));
        }
    }
}

struct Run<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    part: Part,
}

impl simd::Kernel for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, args, part } = self;
        let owned = part.items(p.len as usize, LANES);
        let settings = Settings::new(p, rate(args.input(1), args.input_words(2))).splat(s);
        let (parameters, velocities) = (args.output(3, owned.clone()), args.output(4, owned.clone()));
        settings.step_all(s, &args.input(0)[owned], parameters, velocities);
    }
}
