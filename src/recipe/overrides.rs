//! What the command line changes in a recipe.
//!
//! Every change is made in the untyped tree, before the recipe is decoded again, so that a wrong value gets the
//! same message wherever it was written.

use super::problem::Problem;
use super::tree::{Source, Tree};
use std::collections::BTreeMap;
use toml::Value;

/// No key of a recipe is nested near this deep; paths are walked by recursion.
const MAX_DEPTH: usize = 64;

/// The flags that change a recipe. They are applied in the order of the fields, `--set` last; so `layers.N` in a
/// `--set` counts the layers that `--batch-norm` left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--optimizer`: the name; the recipe's settings of another optimiser give way to the new one's defaults.
    pub optimizer: Option<String>,
    /// `--epochs`; takes the place of a length in steps.
    pub epochs: Option<u64>,
    /// `--batch-size`
    pub batch_size: Option<u64>,
    /// `--learning-rate`
    pub learning_rate: Option<f64>,
    /// `--validation-split`; 0 turns validation off.
    pub validation_split: Option<f64>,
    /// `--batch-norm`: false removes every batch norm, true adds one after each hidden dense and conv2d that has
    /// none, before its activation.
    pub batch_norm: Option<bool>,
    /// `--activation`: of every hidden layer that has one.
    pub activation: Option<String>,
    /// `--initializer`: of every layer with weights; a name, `name(a, b)` or `{ name = "...", std = ... }`.
    pub initializer: Option<String>,
    /// `--dropout`: the rate of every dropout layer.
    pub dropout: Option<f64>,
    /// `--set key=value`, as typed.
    pub set: Vec<String>,
}

impl Overrides {
    /// Changes the tree accordingly.
    pub(super) fn apply(&self, tree: &mut Tree) -> Result<(), Problem> {
        self.apply_plain(tree)?;
        if let Some(wanted) = self.batch_norm {
            set_batch_norm(tree, wanted)?;
        }
        if let Some(name) = &self.activation {
            set_activation(tree, name)?;
        }
        if let Some(text) = &self.initializer {
            set_initializer(tree, text)?;
        }
        if let Some(rate) = self.dropout {
            set_dropout(tree, rate)?;
        }
        let mut assignments = self.set.iter().map(|text| assignment(text)).collect::<Result<Vec<_>, _>>()?;
        // A new optimiser or layer type first, so that settings of it may stand before it on the command line.
        assignments.sort_by_key(|(key, _)| !is_choice(key));
        assignments.into_iter().try_for_each(|(key, value)| {
            let refuse = |problem: Problem| Problem::at("", format!("--set {key}: {}", problem.message));
            put(tree, key, value, &Source::Set).map_err(refuse)
        })
    }

    /// Those that stand for one key.
    fn apply_plain(&self, tree: &mut Tree) -> Result<(), Problem> {
        let whole = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let plain = [
            ("--optimizer", "optimizer.name", self.optimizer.clone().map(Value::String)),
            ("--epochs", "training.epochs", self.epochs.map(whole)),
            ("--batch-size", "training.batch_size", self.batch_size.map(whole)),
            ("--learning-rate", "optimizer.learning_rate", self.learning_rate.map(Value::Float)),
        ];
        for (flag, key, value) in plain {
            if let Some(value) = value {
                put(tree, key, value, &Source::Flag(flag))?;
            }
        }
        let Some(share) = self.validation_split else { return Ok(()) };
        let source = Source::Flag("--validation-split");
        let kind = if share == 0.0 { "none" } else { "split" };
        put(tree, "data.validation", Value::String(kind.into()), &source)?;
        put(tree, "data.validation_split", Value::Float(share), &source)
    }
}

/// Keys that decide which other keys there are.
fn is_choice(key: &str) -> bool {
    matches!(key, "optimizer.name" | "schedule.kind" | "data.validation") || key.ends_with(".type")
}

/// Splits `key=value`. The value is TOML, or else a bare string.
fn assignment(text: &str) -> Result<(&str, Value), Problem> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(Problem::at(
            "",
            format!("--set takes key=value, for example training.epochs=3, not \"{text}\""),
        ));
    };
    let (key, value) = (key.trim(), value.trim());
    if key.split('.').any(str::is_empty) || key.split('.').count() > MAX_DEPTH {
        return Err(Problem::at(
            "",
            format!("\"{key}\" is no key; write it like training.epochs or layers.2.units"),
        ));
    }
    Ok((key, toml_value(value).unwrap_or_else(|| Value::String(value.to_string()))))
}

fn toml_value(text: &str) -> Option<Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    (table.len() == 1).then(|| table.remove("value")).flatten()
}

/// Puts one value, and takes away what it makes meaningless.
fn put(tree: &mut Tree, key: &str, value: Value, source: &Source) -> Result<(), Problem> {
    let chosen = Tree::new(value, source);
    match key {
        "training.epochs" => drop_key(tree, "training", "steps"),
        "training.steps" => drop_key(tree, "training", "epochs"),
        "data.validation" => drop_recipe_keys(tree, "data", |key| key != "validation_split"),
        "optimizer.name" if differs(tree, key, &chosen) => drop_recipe_keys(tree, "optimizer", |_| false),
        "schedule.kind" if differs(tree, key, &chosen) => drop_recipe_keys(tree, "schedule", |_| false),
        _ => {}
    }
    tree.set(key, chosen)
}

fn differs(tree: &Tree, key: &str, chosen: &Tree) -> bool {
    match (tree.get(key), chosen) {
        (Some(Tree::Leaf(old, _)), Tree::Leaf(new, _)) => old != new,
        _ => true,
    }
}

fn drop_key(tree: &mut Tree, table: &str, key: &str) {
    if let Tree::Table(tables) = tree
        && let Some(table) = tables.get_mut(table)
    {
        table.remove(key);
    }
}

/// Drops the keys of a table that the recipe wrote and `keep` does not name; overrides stay.
fn drop_recipe_keys(tree: &mut Tree, table: &str, keep: impl Fn(&str) -> bool) {
    if let Tree::Table(tables) = tree
        && let Some(Tree::Table(table)) = tables.get_mut(table)
    {
        table.retain(|key, value| value.has_override() || keep(key));
    }
}

/// The recipe's `[[layers]]`.
fn layers(tree: &mut Tree) -> Option<&mut Vec<Tree>> {
    match tree {
        Tree::Table(table) => match table.get_mut("layers")? {
            Tree::Array(layers) => Some(layers),
            _ => None,
        },
        _ => None,
    }
}

/// The entries inside a `repeat`.
fn inner(layer: &mut Tree) -> Option<&mut Vec<Tree>> {
    if kind(layer) == "repeat" { layers(layer) } else { None }
}

fn kind(layer: &Tree) -> &str {
    layer.text("type").unwrap_or_default()
}

/// Whether a layer is a product with weights; the last of these is the output, those before it are hidden.
fn is_weighted(layer: &Tree) -> bool {
    matches!(kind(layer), "dense" | "conv2d")
}

/// Visits every layer in order, with the number of weighted layers from it on to the end, itself included.
fn visit(tree: &mut Tree, visitor: &mut impl FnMut(&mut Tree, usize)) {
    fn walk(layers: &mut [Tree], left: &mut usize, visitor: &mut impl FnMut(&mut Tree, usize)) {
        for layer in layers {
            match inner(layer) {
                Some(layers) => walk(layers, left, visitor),
                None => {
                    let weighted = is_weighted(layer);
                    visitor(layer, *left);
                    *left -= usize::from(weighted);
                }
            }
        }
    }
    let Some(layers) = layers(tree) else { return };
    let mut left = count_weighted(layers);
    walk(layers, &mut left, visitor);
}

fn count_weighted(layers: &mut [Tree]) -> usize {
    let mut count = 0;
    for layer in layers {
        count += match inner(layer) {
            Some(layers) => count_weighted(layers),
            None => usize::from(is_weighted(layer)),
        };
    }
    count
}

/// Sets `key` of every layer that `chosen` picks, and says whether there was one.
fn set_where(tree: &mut Tree, key: &str, value: &Tree, chosen: impl Fn(&Tree, usize) -> bool) -> bool {
    let mut found = false;
    visit(tree, &mut |layer, left| {
        if chosen(layer, left)
            && let Tree::Table(table) = layer
        {
            table.insert(key.to_string(), value.clone());
            found = true;
        }
    });
    found
}

fn set_activation(tree: &mut Tree, name: &str) -> Result<(), Problem> {
    let value = Tree::new(Value::String(name.to_string()), &Source::Flag("--activation"));
    let inline = set_where(tree, "activation", &value, |layer, left| {
        is_weighted(layer) && left > 1 && inline_activation(layer).is_some()
    });
    let apart = set_where(tree, "function", &value, |layer, left| kind(layer) == "activation" && left > 0);
    if inline || apart {
        return Ok(());
    }
    Err(Problem::at(
        "",
        "--activation: this recipe has no hidden layer with an activation; leave the flag out",
    ))
}

/// The activation that a weighted layer applies by itself, unless it is linear.
fn inline_activation(layer: &Tree) -> Option<&Tree> {
    layer.get("activation").filter(|_| layer.text("activation") != Some("linear"))
}

fn set_initializer(tree: &mut Tree, text: &str) -> Result<(), Problem> {
    let value = Tree::new(initializer_value(text)?, &Source::Flag("--initializer"));
    if set_where(tree, "initializer", &value, |layer, _| is_weighted(layer)) {
        return Ok(());
    }
    Err(Problem::at("", "--initializer: this recipe has no layer with weights; leave the flag out"))
}

/// A name, `name(a, b)` with the parameters in the order of the documentation, or an inline table.
fn initializer_value(text: &str) -> Result<Value, Problem> {
    if let Some(table @ Value::Table(_)) = toml_value(text) {
        return Ok(table);
    }
    let Some((name, arguments)) = text.split_once('(') else { return Ok(Value::String(text.to_string())) };
    let name = name.trim();
    let keys = if name == "random_uniform" { ["min", "max"] } else { ["mean", "std"] };
    let numbers: Vec<_> =
        arguments.trim_end().trim_end_matches(')').split(',').map(|n| toml_value(n.trim())).collect();
    if numbers.len() > keys.len() || numbers.contains(&None) {
        let message =
            format!("--initializer: \"{text}\" is not understood; write it like random_normal(0, 0.05)");
        return Err(Problem::at("", message));
    }
    let mut table: toml::Table =
        keys.iter().zip(numbers).filter_map(|(key, number)| Some((key.to_string(), number?))).collect();
    table.insert("name".to_string(), Value::String(name.to_string()));
    Ok(Value::Table(table))
}

fn set_dropout(tree: &mut Tree, rate: f64) -> Result<(), Problem> {
    let value = Tree::new(Value::Float(rate), &Source::Flag("--dropout"));
    if set_where(tree, "rate", &value, |layer, _| kind(layer) == "dropout") {
        return Ok(());
    }
    let message = "--dropout: this recipe has no dropout layer; leave the flag out, or add a layer of type \"dropout\" to a recipe file";
    Err(Problem::at("", message))
}

fn set_batch_norm(tree: &mut Tree, wanted: bool) -> Result<(), Problem> {
    let Some(layers) = layers(tree) else { return Ok(()) };
    if !wanted {
        remove_batch_norm(layers);
        return Ok(());
    }
    let mut left = count_weighted(layers);
    if left < 2 {
        let message = "--batch-norm true: this recipe has no hidden layer to normalise; leave the flag out";
        return Err(Problem::at("", message));
    }
    insert_batch_norm(layers, &mut left);
    Ok(())
}

fn remove_batch_norm(layers: &mut Vec<Tree>) {
    layers.retain(|layer| kind(layer) != "batch_norm");
    layers.iter_mut().filter_map(inner).for_each(remove_batch_norm);
}

/// Adds what is missing behind each weighted layer but the last, whose inline activation moves behind the batch norm.
fn insert_batch_norm(layers: &mut Vec<Tree>, left: &mut usize) {
    let old = std::mem::take(layers);
    let normalised: Vec<bool> = (0..old.len()).map(|index| is_normalised(&old[index + 1..])).collect();
    for (mut layer, normalised) in old.into_iter().zip(normalised) {
        if let Some(layers) = inner(&mut layer) {
            insert_batch_norm(layers, left);
        }
        let weighted = is_weighted(&layer);
        let hidden = weighted && *left > 1;
        *left -= usize::from(weighted);
        if !hidden || normalised {
            layers.push(layer);
            continue;
        }
        let activation = inline_activation(&layer).cloned();
        layer.remove("activation");
        layers.extend([layer, added("batch_norm", None)]);
        layers.extend(activation.map(|function| added("activation", Some(function))));
    }
}

/// Whether a batch norm comes before the next weighted layer.
fn is_normalised(following: &[Tree]) -> bool {
    let mut passed =
        following.iter().skip_while(|layer| matches!(kind(layer), "activation" | "dropout" | "max_pool"));
    passed.next().is_some_and(|layer| kind(layer) == "batch_norm")
}

/// A layer that `--batch-norm` makes.
fn added(kind: &str, function: Option<Tree>) -> Tree {
    let kind = Tree::Leaf(Value::String(kind.to_string()), Source::Flag("--batch-norm"));
    let function = function.map(|function| ("function".to_string(), function));
    Tree::Table(BTreeMap::from_iter(function.into_iter().chain([("type".to_string(), kind)])))
}
