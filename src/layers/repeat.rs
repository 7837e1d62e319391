//! `repeat`: a stack of layers, several times over. It exists in recipes only.

use super::{Entry, LayerConfig};
use crate::recipe::{Problem, problem};
use serde::{Deserialize, Serialize};

/// Depth beyond which a recipe is a mistake.
const MAX_LAYERS: usize = 10_000;

/// Settings of a repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: usize,
    /// What.
    pub layers: Vec<Entry>,
}

/// Checks the settings of every entry.
///
/// # Errors
/// The first problem, its path relative to `layers`.
pub(crate) fn check(entries: &[Entry]) -> Result<(), Problem> {
    if entries.is_empty() {
        return Err(Problem::at("", "there are no layers; a network needs at least one of type \"dense\""));
    }
    for (index, entry) in entries.iter().enumerate() {
        let checked = match entry.single() {
            Ok(layer) => layer.as_layer().check(),
            Err(repeat) => problem::at_least("times", repeat.times as u64, 1)
                .and_then(|()| check(&repeat.layers).map_err(|problem| problem.inside("layers"))),
        };
        checked.map_err(|problem| problem.inside(&index.to_string()))?;
    }
    match count(entries) {
        ..=MAX_LAYERS => Ok(()),
        many => {
            Err(Problem::at("", format!("{many} layers are too many; at most {MAX_LAYERS} are possible")))
        }
    }
}

fn count(entries: &[Entry]) -> usize {
    let of = |entry: &Entry| entry.single().map_or_else(|r| r.times.saturating_mul(count(&r.layers)), |_| 1);
    entries.iter().map(of).fold(0, usize::saturating_add)
}

/// The layers in the order of execution, each with its path (`layers.0.layers.2`).
pub(super) fn expand(entries: &[Entry], prefix: &str, out: &mut Vec<(String, LayerConfig)>) {
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("{prefix}layers.{index}");
        match entry.single() {
            Ok(layer) => out.push((path, layer)),
            Err(repeat) => (0..repeat.times).for_each(|_| expand(&repeat.layers, &format!("{path}."), out)),
        }
    }
}
