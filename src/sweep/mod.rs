//! Many trainings that belong together: a grid of settings and seeds, or the published results.
//!
//! A [`Sweep`] is a list of [`Trial`]s, each one recipe with one seed and a run folder of its own; trials that differ in the
//! seed alone form a [`Group`], which is one row of the table. [`grid`] makes a sweep from a user's file, [`published`] from the
//! figures shipped with the program. [`trial`] trains one and leaves `result.json` in its run folder, so that a sweep that is
//! stopped goes on where it was; [`shard`] takes a fixed part of the list and puts parts together; [`table`] and [`curves`]
//! are what there is to see.

pub mod curves;
pub mod grid;
pub mod published;
pub mod shard;
pub mod table;
pub mod trial;

use crate::recipe::{Overrides, Recipe};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use toml::Value;

/// The schema of every JSON that a sweep writes.
pub const SCHEMA: u32 = 1;

/// Trials that differ in the seed alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// For tables and curves.
    pub name: String,
    /// The keys in which it differs from other groups, with their values.
    pub settings: Vec<(String, String)>,
}

/// One recipe with one seed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The name of its run folder, inside the sweep's.
    pub name: String,
    /// Its group, by number.
    pub group: usize,
    /// What to train.
    pub recipe: Recipe,
    /// The seed.
    pub seed: u64,
}

/// What is to be trained.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// The rows of the table.
    pub groups: Vec<Group>,
    /// In the order in which they are trained.
    pub trials: Vec<Trial>,
}

/// The recipe with these keys changed: those of `--set`, or flags of `train` without dashes, which mean what the
/// flags mean.
///
/// # Errors
/// As [`Recipe::apply`].
fn changed(recipe: &Recipe, settings: &[(String, Value)]) -> Result<Recipe> {
    let mut overrides = Overrides::default();
    for (key, value) in settings {
        let text = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let number = || value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
        let whole = || value.as_integer().and_then(|n| u64::try_from(n).ok());
        // A value of another kind goes the way of --set, whose message names the key and what it wants.
        let taken = match key.as_str() {
            "activation" => set(&mut overrides.activation, Some(text())),
            "initializer" => set(&mut overrides.initializer, Some(text())),
            "optimizer" => set(&mut overrides.optimizer, Some(text())),
            "batch_norm" => set(&mut overrides.batch_norm, value.as_bool()),
            "batch_size" => set(&mut overrides.batch_size, whole()),
            "dropout" => set(&mut overrides.dropout, number()),
            "epochs" => set(&mut overrides.epochs, whole()),
            "learning_rate" => set(&mut overrides.learning_rate, number()),
            "validation_split" => set(&mut overrides.validation_split, number()),
            _ => false,
        };
        if !taken {
            overrides.set.push(format!("{key}={value}"));
        }
    }
    let mut recipe = recipe.clone();
    recipe.apply(&overrides)?;
    Ok(recipe)
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// A value as a cell of a table shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Rust writes no exponents by itself, however long the number.
        Value::Float(x) if *x != 0.0 && !(1e-5..1e7).contains(&x.abs()) => format!("{x:e}"),
        Value::Float(x) => x.to_string(),
        other => other.to_string(),
    }
}

/// Letters that every file system takes; others become `_`.
fn file_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.=,".contains(c) { c } else { '_' };
    text.chars().map(safe).take(100).collect()
}

/// The leaves of nested tables with dotted keys, in their order. Arrays are leaves.
fn leaves(table: &toml::Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(leaves(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => found.push((key.clone(), value.clone())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_keys_change_a_recipe_alike() {
        let recipe = Recipe::preset("mlp-50x100").unwrap();
        let table: toml::Table = toml::from_str(
            "initializer = 'random_normal(0, 0.005)'\nactivation = 'tanh'\nbatch_norm = false\nepochs = 3\n\
             learning_rate = 1\nbatch_size = 64\ntraining.shuffle = false\n'layers.1.times' = 4",
        )
        .unwrap();
        let changed = changed(&recipe, &leaves(&table)).unwrap();
        let text = changed.print_config().unwrap();
        for line in [
            "training.epochs = 3 ",
            "training.batch_size = 64 ",
            "training.shuffle = false ",
            "optimizer.learning_rate = 1.0 ",
            "layers.1.times = 4 ",
            "layers.1.layers.0.initializer.std = 0.005 ",
            "layers.1.layers.1.function = \"tanh\" ",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn every_flag_is_known_and_a_wrong_value_names_its_key() {
        let recipe = Recipe::preset("cnn-16").unwrap();
        for flag in [
            "activation = 'elu'",
            "batch_norm = true",
            "batch_size = 64",
            "dropout = 0.5",
            "epochs = 2",
            "initializer = 'he_normal'",
            "learning_rate = 0.5",
            "optimizer = 'sgd'",
            "validation_split = 0.1",
        ] {
            let table: toml::Table = toml::from_str(flag).unwrap();
            let after = changed(&recipe, &leaves(&table)).unwrap();
            assert_ne!(after.to_toml().unwrap(), recipe.to_toml().unwrap(), "{flag}");
        }
        let error = changed(&recipe, &[("epochs".to_owned(), Value::Float(1.5))]).unwrap_err();
        assert!(error.to_string().contains("epochs"), "{error}");
    }

    #[test]
    fn folder_names_are_tame() {
        assert_eq!(
            shown(&Value::Float(1e30)) + &shown(&Value::Float(-2e-7)) + &shown(&Value::Float(0.001)),
            "1e30-2e-70.001"
        );
        assert_eq!(file_name("a/b c{=0.1,é}"), "a_b_c_=0.1,__");
    }
}
