//! Each op at the shapes of a recipe.

use super::Subject;
use super::ceilings::{Bound, Ceilings};
use super::measure::{Effort, Figure};
use super::stage::{Stage, StagedCall};
use crate::ops::{Cost, Element};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The figures of an op at one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpFigures {
    /// The recipe.
    pub recipe: String,
    /// The layer or stage.
    pub place: String,
    /// The op.
    pub op: String,
    /// Calls of a step that do the same work.
    pub count: usize,
    /// The op's parameters at the first of them.
    pub params: Map<String, Value>,
    /// Of one call.
    pub seconds: Figure,
    /// Floating-point operations of one call.
    pub flops: u64,
    /// Bytes that one call touches.
    pub bytes: u64,
    /// 10^9 operations a second.
    pub gflop_per_s: f64,
    /// 10^9 bytes a second.
    pub gb_per_s: f64,
    /// Of the nearer ceiling: the least time by it over the time.
    pub share: f64,
    /// What keeps it from being faster.
    pub bound: Bound,
}

impl OpFigures {
    /// Seconds of all such calls in a step.
    pub fn seconds_of_step(&self) -> f64 {
        self.seconds.median * self.count as f64
    }
}

/// Measures every different call of a recipe's training step.
///
/// # Errors
/// When the recipe does not fit the data, or the device fails.
pub fn measure(
    subject: &Subject<'_>,
    ceilings: &Ceilings,
    effort: &Effort,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<OpFigures>> {
    let name = &subject.recipe.name;
    progress(&format!("{name}: preparing"));
    let mut stage = Stage::new(subject)?;
    let mut figures = Vec::new();
    for index in 0..stage.calls.len() {
        let StagedCall { call, .. } = &stage.calls[index];
        let (of, place, op) = (stage.calls.len(), &call.place, call.op.name());
        progress(&format!("{name}: op {} of {of}, {op} of {place}", index + 1));
        let seconds = stage.measure(index, effort)?;
        figures.push(describe(name, &stage.calls[index], seconds, ceilings));
    }
    Ok(figures)
}

fn describe(recipe: &str, staged: &StagedCall, seconds: Figure, ceilings: &Ceilings) -> OpFigures {
    let StagedCall { call, count, cost, .. } = staged;
    let Cost { flops, bytes } = *cost;
    let (least, bound) = ceilings.figures.least_seconds(cost);
    OpFigures {
        recipe: recipe.to_owned(),
        place: call.place.clone(),
        op: call.op.name().to_owned(),
        count: *count,
        params: params(staged),
        seconds,
        flops,
        bytes,
        gflop_per_s: flops as f64 / seconds.median * 1e-9,
        gb_per_s: bytes as f64 / seconds.median * 1e-9,
        share: least / seconds.median,
        bound,
    }
}

/// The fields of the parameter struct by name.
fn params(staged: &StagedCall) -> Map<String, Value> {
    let fields = staged.call.op.fields().iter().zip(&staged.call.params);
    let value = |element, word: u32| match element {
        Element::U32 => Value::from(word),
        Element::F32 => Value::from(f32::from_bits(word)),
    };
    fields.map(|((name, element), word)| ((*name).to_owned(), value(*element, *word))).collect()
}
