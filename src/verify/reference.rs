//! An interpreter of plans that runs the formulas themselves: in f64 it is what backends are measured against.
//!
//! It shares nothing with them: no threads, no slots, no device. Each buffer is a vector of its own, and what lives
//! for a step starts every run as NaN, so that a value that is read before it is written shows in the result.

use crate::ops::tracked::Tracked;
use crate::ops::{Element, Op, Slot, real::Real};
use crate::plan::{BufferId, Lifetime, Plan, ProgramId};

/// A number type that references run over.
pub trait Number: Real {
    /// Runs the formula of `op`.
    fn reference(op: &dyn Op, params: &[u32], args: Vec<Slot<'_, Self>>);
}

impl Number for f32 {
    fn reference(op: &dyn Op, params: &[u32], args: Vec<Slot<'_, Self>>) {
        op.reference_f32(params, args);
    }
}
impl Number for f64 {
    fn reference(op: &dyn Op, params: &[u32], args: Vec<Slot<'_, Self>>) {
        op.reference_f64(params, args);
    }
}
impl Number for Tracked {
    fn reference(op: &dyn Op, params: &[u32], args: Vec<Slot<'_, Self>>) {
        op.reference_tracked(params, args);
    }
}

/// What a buffer holds.
#[derive(Clone, Debug)]
enum Contents<T> {
    Numbers(Vec<T>),
    Words(Vec<u32>),
}

impl<T: Real> Contents<T> {
    fn new(element: Element, words: usize) -> Self {
        match element {
            Element::F32 => Self::Numbers(vec![T::ZERO; words]),
            Element::U32 => Self::Words(vec![0; words]),
        }
    }

    fn slot(&mut self) -> Slot<'_, T> {
        match self {
            Self::Numbers(numbers) => Slot::Real(numbers),
            Self::Words(words) => Slot::Words(words),
        }
    }

    fn poison(&mut self) {
        match self {
            Self::Numbers(numbers) => numbers.fill(T::of(f64::NAN)),
            Self::Words(words) => words.fill(u32::MAX),
        }
    }
}

/// Runs a plan by its formulas.
#[derive(Clone)]
pub struct ReferenceBackend<T> {
    plan: Plan,
    buffers: Vec<Contents<T>>,
}

impl<T: Number> ReferenceBackend<T> {
    /// Zeros for all buffers of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let mut elements = vec![Element::F32; plan.buffers.len()];
        for call in plan.programs.iter().flat_map(|program| &program.calls) {
            for (id, binding) in call.buffers.iter().zip(call.op.bindings()) {
                elements[id.0] = binding.element;
            }
        }
        let contents = plan.buffers.iter().zip(elements).map(|(b, element)| Contents::new(element, b.words));
        Self { plan: plan.clone(), buffers: contents.collect() }
    }

    /// The numbers of an f32 buffer, to be read and changed.
    pub fn numbers(&mut self, buffer: BufferId) -> &mut [T] {
        self.buffers[buffer.0].slot().real()
    }

    /// The words of a u32 buffer, to be read and changed.
    pub fn words(&mut self, buffer: BufferId) -> &mut [u32] {
        self.buffers[buffer.0].slot().words()
    }

    /// Runs a program once.
    pub fn run(&mut self, program: ProgramId) {
        let lifetimes = self.plan.buffers.iter().map(|buffer| buffer.lifetime);
        let step = self.buffers.iter_mut().zip(lifetimes).filter(|(_, life)| *life == Lifetime::Step);
        step.for_each(|(contents, _)| contents.poison());
        for call in &self.plan.programs[program.0].calls {
            let none = || Contents::Words(Vec::new());
            let take = |id: &BufferId| std::mem::replace(&mut self.buffers[id.0], none());
            let mut taken: Vec<Contents<T>> = call.buffers.iter().map(take).collect();
            T::reference(call.op, &call.params, taken.iter_mut().map(Contents::slot).collect());
            for (id, contents) in call.buffers.iter().zip(taken) {
                self.buffers[id.0] = contents;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sgd::{Params, Sgd};

    /// Parameters 1, 2, 3, each less 0.5 times its gradient.
    fn step<T: Number>(gradients: Lifetime) -> Vec<f64> {
        let mut plan = Plan::default();
        let program = plan.program("descend");
        let gradients = plan.buffer("gradients", 3, gradients);
        let [schedule, control, parameters, velocity] =
            [2, 8, 3, 3].map(|words| plan.buffer("", words, Lifetime::Run));
        let params = Params { len: 3, momentum: 0.0, nesterov: 0 };
        plan.call(program, "", &Sgd, &params, &[gradients, schedule, control, parameters, velocity]);
        let mut backend = ReferenceBackend::<T>::new(&plan);
        backend.numbers(schedule)[0] = T::of(0.5);
        for (i, x) in [1.0, 2.0, 3.0].into_iter().enumerate() {
            backend.numbers(parameters)[i] = T::of(x);
            backend.numbers(gradients)[i] = T::of(2.0);
        }
        backend.run(program);
        assert_eq!(backend.words(control), [0; 8]);
        backend.numbers(parameters).iter().map(|x| x.to_f64()).collect()
    }

    #[test]
    fn programs_run_over_every_number_type() {
        assert_eq!(step::<f64>(Lifetime::Run), [0.0, 1.0, 2.0]);
        assert_eq!(step::<f32>(Lifetime::Run), [0.0, 1.0, 2.0]);
        assert_eq!(step::<Tracked>(Lifetime::Run), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn what_no_call_has_written_is_nan() {
        assert!(step::<f64>(Lifetime::Step).iter().all(|x| x.is_nan()));
    }
}
