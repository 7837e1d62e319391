//! Adam and AdamW over all parameters at once.

use super::case::{Case, Fill};
use super::control::{self, STEP};
use super::real::{FADED, Real};
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
        let (gradients, parameters) = (gradients.real(), parameters.real());
        let (first, second) = (first.real(), second.real());
        let settings = Settings::new(p, rates(schedule.real(), control.words()));
        for i in 0..p.len as usize {
            settings.step(gradients[i], &mut parameters[i], &mut first[i], &mut second[i]);
        }
    }

    fn split(_: &Params) -> Split {
        Split::Shares
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
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

/// The rate of a step, and the rate with the moments' bias correction.
pub(super) fn rates<T: Copy>(schedule: &[T], control: &[u32]) -> [T; 2] {
    let step = control[STEP] as usize;
    [schedule[step * 2], schedule[step * 2 + 1]]
}

/// The settings of a step, as numbers or as vectors with all lanes equal.
#[derive(Clone, Copy)]
pub(super) struct Settings<T> {
    /// Whether `decay` is anything other than 0.
    has_decay: bool,
    decay: T,
    corrected_rate: T,
    new_first: T,
    new_second: T,
    epsilon: T,
}

impl<T: Real> Settings<T> {
    /// Settings at these rates.
    pub(super) fn new(p: &Params, [rate, corrected_rate]: [T; 2]) -> Self {
        let number = |x: f32| T::of(f64::from(x));
        Self {
            has_decay: p.weight_decay != 0.0,
            decay: rate * number(p.weight_decay),
            corrected_rate,
            new_first: number(p.one_minus_beta_1),
            new_second: number(p.one_minus_beta_2),
            epsilon: number(p.epsilon),
        }
    }

    /// Updates a parameter and its moments.
    pub(super) fn step(&self, gradient: T, parameter: &mut T, first: &mut T, second: &mut T) {
        *first = (gradient - *first).mul_add(self.new_first, *first).unless_faded();
        *second = (gradient * gradient - *second).mul_add(self.new_second, *second).unless_faded();
        let decayed = *parameter - self.decay * *parameter;
        *parameter = decayed - self.corrected_rate * *first / (second.sqrt() + self.epsilon);
    }
}

impl Settings<f32> {
    /// The same in all lanes.
    #[inline(always)]
    pub(super) fn splat<S: Simd>(&self, s: S) -> Settings<S::V> {
        Settings {
            has_decay: self.has_decay,
            decay: s.splat(self.decay),
            corrected_rate: s.splat(self.corrected_rate),
            new_first: s.splat(self.new_first),
            new_second: s.splat(self.new_second),
            epsilon: s.splat(self.epsilon),
        }
    }
}

impl<V: Copy> Settings<V> {
    /// Updates parameters and their moments as [`Settings::step`] does.
    #[inline(always)]
    pub(super) fn step_all<S: Simd<V = V>>(
        &self,
        s: S,
        gradients: &[f32],
        parameters_and_moments: [&mut [f32]; 3],
    ) {
        if self.has_decay {
            self.step_slices::<S, true>(s, gradients, parameters_and_moments);
        } else {
            self.step_slices::<S, false>(s, gradients, parameters_and_moments);
        }
    }

    #[inline(always)]
    fn step_slices<S: Simd<V = V>, const DECAY: bool>(
        &self,
        s: S,
        gradients: &[f32],
        [parameters, first, second]: [&mut [f32]; 3],
    ) {
        let mut numbers = gradients.chunks_exact(LANES);
        let (mut parameters, mut first) = (parameters.chunks_exact_mut(LANES), first.chunks_exact_mut(LANES));
        let mut second = second.chunks_exact_mut(LANES);
        let vectors = (&mut numbers).zip(&mut parameters).zip((&mut first).zip(&mut second));
        for ((gradient, parameter), (first, second)) in vectors {
            let old = [s.load(parameter), s.load(first), s.load(second)];
            let new = self.step_lanes::<S, DECAY>(s, s.load(gradient), old);
            s.store(parameter, new[0]);
            s.store(first, new[1]);
            s.store(second, new[2]);
        }
        let (gradient, parameter) = (numbers.remainder(), parameters.into_remainder());
        let (first, second) = (first.into_remainder(), second.into_remainder());
        if !gradient.is_empty() {
            let old = [s.load_part(parameter), s.load_part(first), s.load_part(second)];
            let new = self.step_lanes::<S, DECAY>(s, s.load_part(gradient), old);
            s.store_part(parameter, new[0]);
            s.store_part(first, new[1]);
            s.store_part(second, new[2]);
        }
    }

    /// New parameters and moments for old ones.
    #[inline(always)]
    fn step_lanes<S: Simd<V = V>, const DECAY: bool>(
        &self,
        s: S,
        gradient: V,
        [old, old_first, old_second]: [V; 3],
    ) -> [V; 3] {
        let first = s.unless_faded(s.fma(s.sub(gradient, old_first), self.new_first, old_first));
        let square = s.mul(gradient, gradient);
        let second = s.fma(s.sub(square, old_second), self.new_second, old_second);
        // It is never negative.
        let second = s.unless_less(second, s.splat(FADED));
        let decayed = if DECAY { s.sub(old, s.mul(self.decay, old)) } else { old };
        let root = s.add(s.sqrt(second), self.epsilon);
        [s.sub(decayed, s.div(s.mul(self.corrected_rate, first), root)), first, second]
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
        let settings = Settings::new(p, rates(args.input(1), args.input_words(2))).splat(s);
        let [parameters, first, second] = [3, 4, 5].map(|binding| args.output(binding, owned.clone()));
        settings.step_all(s, &args.input(0)[owned], [parameters, first, second]);
    }
}
