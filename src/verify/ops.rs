//! Every test case of every op, run on a backend and compared with the f64 reference.

use super::compare::{self, Comparison, Difference, Storage};
use crate::backend::Backend;
use crate::ops::case::Case;
use crate::ops::tracked::Tracked;
use crate::ops::{self, Access, Element, Op, Slot};
use crate::plan::{BufferId, Call, Lifetime, Plan, ProgramId};
use anyhow::Result;
use std::cell::OnceCell;

/// A case and its place in the plan.
pub struct PlacedCase {
    /// The op.
    pub op: &'static dyn Op,
    /// Its case.
    pub case: Case<Vec<u32>>,
    program: ProgramId,
    buffers: Vec<BufferId>,
}

/// All cases of all ops (or of the one called `only`) as one plan, a program each.
pub fn plan(only: Option<&str>) -> (Plan, Vec<PlacedCase>) {
    let mut plan = Plan::default();
    let mut placed = Vec::new();
    for &op in ops::ALL.iter().filter(|op| only.is_none_or(|name| name == op.name())) {
        for case in op.cases() {
            placed.push(place(&mut plan, op, case));
        }
    }
    (plan, placed)
}

/// Adds a program for one case.
pub fn place(plan: &mut Plan, op: &'static dyn Op, case: Case<Vec<u32>>) -> PlacedCase {
    let program = plan.program(format!("{}: {}", op.name(), case.name));
    let buffers: Vec<BufferId> = contents(&case)
        .iter()
        .zip(op.bindings())
        .map(|(words, binding)| plan.buffer(binding.name, words.len(), Lifetime::Run))
        .collect();
    plan.programs[program.0].calls.push(Call {
        op,
        params: case.params.clone(),
        buffers: buffers.clone(),
        place: case.name.clone(),
    });
    PlacedCase { op, case, program, buffers }
}

fn contents(case: &Case<Vec<u32>>) -> Vec<Vec<u32>> {
    case.buffers.iter().enumerate().map(|(i, fill)| fill.make(0x5EED, i)).collect()
}

/// What became of one case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The op's name.
    pub op: &'static str,
    /// The case's name.
    pub case: String,
    /// The largest error as a share of what is allowed.
    pub worst: f64,
    /// That error.
    pub error: f64,
    /// What is allowed there.
    pub allowed: f64,
    /// The first wrong number and the buffer it is in.
    pub wrong: Option<(&'static str, Difference)>,
}

/// Runs a case on a backend that was made for the plan that it is in, and compares every buffer afterwards: outputs with the
/// reference, and what must not change with what it was.
///
/// # Errors
/// When the backend fails.
pub fn check(backend: &mut dyn Backend, placed: &PlacedCase) -> Result<CaseReport> {
    let reports = check_each(&mut [backend], placed)?;
    reports.into_iter().next().ok_or_else(|| anyhow::anyhow!("no backend, no report"))
}

/// The same on several backends, one report each.
///
/// # Errors
/// When a backend fails.
pub fn check_each(backends: &mut [&mut dyn Backend], placed: &PlacedCase) -> Result<Vec<CaseReport>> {
    let before = contents(&placed.case);
    let expected = References::new(placed.op, &placed.case.params, &before);
    backends.iter_mut().map(|backend| check_one(*backend, placed, &before, &expected)).collect()
}

fn check_one(
    backend: &mut dyn Backend,
    placed: &PlacedCase,
    before: &[Vec<u32>],
    expected: &References<'_>,
) -> Result<CaseReport> {
    let mut stored = before.to_vec();
    let mut is_rounded = false;
    for (&id, words) in placed.buffers.iter().zip(&mut stored) {
        if backend.is_half(id) {
            is_rounded = true;
            limit(words, LARGEST_HALF);
            backend.write(id, 0, words)?;
            *words = read(backend, id, words.len())?;
        } else {
            backend.write(id, 0, words)?;
        }
    }
    // The reference is of what the device has.
    let of_stored = References::new(placed.op, &placed.case.params, &stored);
    let (before, expected) =
        if is_rounded { (&stored[..], of_stored.of(backend)) } else { (before, expected.of(backend)) };
    backend.run(placed.program, 1)?;
    let (op, case) = (placed.op.name(), placed.case.name.clone());
    let mut report = CaseReport { op, case, worst: 0.0, error: 0.0, allowed: 0.0, wrong: None };
    for (i, binding) in placed.op.bindings().iter().enumerate() {
        let id = placed.buffers[i];
        let found = read(backend, id, before[i].len())?;
        let comparison = match &expected[i] {
            _ if binding.access == Access::Read => compare::words(&found, &before[i]),
            expected => expected.compare(&found, storage(backend, id)),
        };
        report.add(binding.name, comparison);
    }
    Ok(report)
}

/// Numbers in half precision are no larger before a call, so that it can hold what layers make of them too: a quarter of the
/// largest.
const LARGEST_HALF: f32 = 16_384.0;

/// Makes the numbers in `words` no larger than `most`.
fn limit(words: &mut [u32], most: f32) {
    words.iter_mut().for_each(|word| *word = f32::from_bits(*word).clamp(-most, most).to_bits());
}

/// What a buffer holds.
pub(super) fn read(backend: &mut dyn Backend, id: BufferId, words: usize) -> Result<Vec<u32>> {
    let mut found = vec![0; words];
    backend.read(id, 0, &mut found)?;
    Ok(found)
}

/// How a backend stores a buffer.
pub(super) fn storage(backend: &dyn Backend, id: BufferId) -> Storage {
    if backend.is_half(id) { Storage::Half } else { Storage::Whole }
}

impl CaseReport {
    fn add(&mut self, buffer: &'static str, comparison: Comparison) {
        if !(comparison.worst <= self.worst) {
            (self.worst, self.error, self.allowed) = (comparison.worst, comparison.error, comparison.allowed);
        }
        if self.wrong.is_none() {
            self.wrong = comparison.first.map(|difference| (buffer, difference));
        }
    }
}

/// What a buffer should hold after a call.
pub enum Expected {
    /// Numbers with the error that f32 may have.
    Numbers(Vec<Tracked>),
    /// Words, exactly.
    Words(Vec<u32>),
}

impl Expected {
    /// Compares what a device has.
    pub fn compare(&self, found: &[u32], storage: Storage) -> Comparison {
        match self {
            Self::Numbers(expected) => compare::numbers(bytemuck::cast_slice(found), expected, storage),
            Self::Words(expected) => compare::words(found, expected),
        }
    }
}

/// What the buffers of a call should hold after it.
pub struct References<'a> {
    op: &'a dyn Op,
    params: &'a [u32],
    before: &'a [Vec<u32>],
    formula: OnceCell<Vec<Expected>>,
    of_cpu: OnceCell<Vec<Expected>>,
    of_half_factors: OnceCell<Vec<Expected>>,
}

impl<'a> References<'a> {
    /// For buffers that hold `before`, given as words.
    pub fn new(op: &'a dyn Op, params: &'a [u32], before: &'a [Vec<u32>]) -> Self {
        let [formula, of_cpu, of_half_factors] = [const { OnceCell::new() }; 3];
        Self { op, params, before, formula, of_cpu, of_half_factors }
    }

    /// From the reference in f64, with error bounds for the algorithm that this backend goes by.
    pub fn of(&self, backend: &dyn Backend) -> &[Expected] {
        let Self { op, params, formula, of_cpu, of_half_factors, .. } = self;
        let reference = |slots: Vec<Slot<'_, Tracked>>| op.reference_tracked(params, slots);
        if backend.device().is_cpu() && op.cpu_differs(params) {
            of_cpu.get_or_init(|| self.run(|slots| op.cpu_reference_tracked(params, slots), false))
        } else if backend.has_half_factors() {
            of_half_factors.get_or_init(|| self.run(reference, true))
        } else {
            formula.get_or_init(|| self.run(reference, false))
        }
    }

    /// `half_factors`: whether matrices take the factors of products in half precision.
    fn run(&self, reference: impl Fn(Vec<Slot<'_, Tracked>>), half_factors: bool) -> Vec<Expected> {
        let mut buffers: Vec<Expected> = self
            .before
            .iter()
            .zip(self.op.bindings())
            .map(|(words, binding)| match binding.element {
                Element::U32 => Expected::Words(words.clone()),
                Element::F32 => Expected::Numbers(
                    words.iter().map(|&w| Tracked::input(f32::from_bits(w), half_factors)).collect(),
                ),
            })
            .collect();
        let slots = buffers
            .iter_mut()
            .map(|buffer| match buffer {
                Expected::Numbers(values) => Slot::Real(values.as_mut_slice()),
                Expected::Words(words) => Slot::Words(words.as_mut_slice()),
            })
            .collect();
        reference(slots);
        buffers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_references_of_an_op_have_the_same_values() {
        for &op in ops::ALL {
            for case in op.cases() {
                let before = contents(&case);
                let references = References::new(op, &case.params, &before);
                let formula = references.run(|slots| op.reference_tracked(&case.params, slots), false);
                let of_cpu = references.run(|slots| op.cpu_reference_tracked(&case.params, slots), false);
                for (formula, of_cpu) in formula.iter().zip(&of_cpu) {
                    match (formula, of_cpu) {
                        (Expected::Words(formula), Expected::Words(of_cpu)) => assert_eq!(formula, of_cpu),
                        (Expected::Numbers(formula), Expected::Numbers(of_cpu)) => {
                            for (formula, of_cpu) in formula.iter().zip(of_cpu) {
                                let same_bits = formula.value.to_bits() == of_cpu.value.to_bits();
                                let off = (formula.value - of_cpu.value).abs();
                                // f64 is 2^29 times as fine as the f32 that the errors are of.
                                let least = formula.error.min(of_cpu.error) * 1e-6;
                                assert!(
                                    same_bits || off <= least,
                                    "{}, {}: {formula:?} {of_cpu:?}",
                                    op.name(),
                                    case.name
                                );
                            }
                        }
                        _ => panic!("{}: the same buffers hold the same elements", op.name()),
                    }
                }
            }
        }
    }
}
