//! Recipes: a TOML file that says what to train on, which network, and how.
//!
//! The text becomes a tree whose leaves know their source (`tree`), the command line changes the tree
//! (`overrides`), and serde decodes it into the structs of this folder (`decode`); every error names its key as
//! `--set` takes it, with layers counted from 0. `crate::layers::resolve` goes on from here.

pub mod augment;
pub mod data;
mod decode;
pub mod initializer;
pub mod optimizer;
pub mod overrides;
pub mod preset;
pub mod problem;
pub mod schedule;
mod tagged;
pub mod training;
mod tree;

pub use augment::Augment;
pub use data::{Data, Validation};
pub use initializer::Initializer;
pub use optimizer::Optimizer;
pub use overrides::Overrides;
pub use problem::Problem;
pub use schedule::Schedule;
pub(crate) use tagged::tagged;
pub use training::{EarlyStopping, Length, Monitor, Reduction, Training};
pub use tree::Source;

use crate::error::{Error, printable};
use crate::layers::Entry;
use anyhow::{Context, Result, bail};
use problem::join;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::io::Read;
use tree::Tree;

/// No recipe is near this long; what is, is not a recipe.
const MAX_BYTES: u64 = 1 << 20;

/// Nor does any reason for refusing one need more characters; what does, quotes it.
const LONGEST_REASON: usize = 1000;

/// A decoded and checked recipe. Reading the fields is the purpose; to change one, go through
/// [`Recipe::apply`], which keeps the record of where values came from.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The settings.
    settings: Settings,
    /// What they were decoded from.
    tree: Tree,
    /// The file or preset, for messages.
    origin: String,
}

/// The fields of a recipe, in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Short name, used for run folders: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What the network is.
    #[serde(default)]
    pub description: String,
    /// What it reproduces.
    #[serde(default)]
    pub source: String,
    /// Scaling and validation.
    #[serde(default)]
    pub data: Data,
    /// How training images vary from epoch to epoch.
    #[serde(default)]
    pub augment: Augment,
    /// Batches, length, loss.
    pub training: Training,
    /// How gradients become steps.
    pub optimizer: Optimizer,
    /// The learning rate over time.
    #[serde(default)]
    pub schedule: Schedule,
    /// The network, from the image on.
    pub layers: Vec<Entry>,
}

/// One line of `--print-config`.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The key, as `--set` takes it.
    pub key: String,
    /// The value, as TOML.
    pub value: String,
    /// Who decided it.
    pub source: Source,
}

impl std::ops::Deref for Recipe {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Recipe {
    /// The shipped recipe called `name`.
    ///
    /// # Errors
    /// [`Error::Usage`] with the list of names and the nearest one, if there is none such.
    pub fn preset(name: &str) -> Result<Self> {
        match preset::text(name) {
            Some(text) => Self::from_toml(text, name),
            None => bail!(Error::Usage(no_such_recipe(name))),
        }
    }

    /// Reads a preset by name, or a TOML file by path.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that is neither, [`Error::BadFile`] for a file that cannot be used.
    pub fn load(name_or_path: &str) -> Result<Self> {
        let path = std::path::Path::new(name_or_path);
        let is_path = path.extension().is_some_and(|extension| extension == "toml") || path.is_file();
        if preset::text(name_or_path).is_some() || !is_path {
            return Self::preset(name_or_path);
        }
        let mut text = String::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        if let Err(error) = read {
            bail!(Error::BadFile(format!("cannot read the recipe {name_or_path}: {error}; check the path")));
        }
        Self::from_toml(&text, name_or_path)
    }

    /// Decodes and checks the text of a recipe; `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::BadFile`] with the line for broken TOML, with the key and the cure for anything else.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        if text.len() as u64 > MAX_BYTES {
            bail!(Error::BadFile(format!("{origin} is longer than {MAX_BYTES} bytes; that is no recipe")));
        }
        let table: toml::Table = match toml::from_str(text) {
            Ok(table) => table,
            // The library quotes the line, however long.
            Err(error) => {
                let reason = printable(&error.to_string(), LONGEST_REASON);
                bail!(Error::BadFile(format!("recipe {origin} is not valid TOML: {reason}")))
            }
        };
        let tree = Tree::new(toml::Value::Table(table), &Source::Recipe);
        match decode_and_check(&tree) {
            Ok(settings) => Ok(Self { settings, tree, origin: origin.to_string() }),
            Err(problem) => bail!(report(&tree, origin, &problem, false)),
        }
    }

    /// Changes what the flags ask for, or nothing if the result would not be a recipe.
    ///
    /// # Errors
    /// [`Error::Usage`], naming the flag and the key.
    pub fn apply(&mut self, overrides: &Overrides) -> Result<()> {
        let mut tree = self.tree.clone();
        if let Err(problem) = overrides.apply(&mut tree) {
            bail!(Error::Usage(locate(&tree, &problem)));
        }
        match decode_and_check(&tree) {
            Ok(settings) => (self.settings, self.tree) = (settings, tree),
            Err(problem) => bail!(report(&tree, &self.origin, &problem, true)),
        }
        Ok(())
    }

    /// Changes one field: `training.epochs=3`, `layers.2.units=64`.
    ///
    /// # Errors
    /// As [`Recipe::apply`].
    pub fn apply_set(&mut self, assignment: &str) -> Result<()> {
        self.apply(&Overrides { set: vec![assignment.to_string()], ..Overrides::default() })
    }

    /// The whole recipe with every default spelled out; [`Recipe::from_toml`] reads it back to the same settings.
    ///
    /// # Errors
    /// None for a recipe that was decoded.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(&self.settings).context("writing the recipe")
    }

    /// Every value with its source, in the order of [`Recipe::to_toml`].
    ///
    /// # Errors
    /// None for a recipe that was decoded.
    pub fn provenance(&self) -> Result<Vec<Provenance>> {
        let resolved = toml::Value::try_from(&self.settings).context("listing the recipe")?;
        let entry = |(key, value): (String, &toml::Value)| {
            let source = match self.tree.get(&key) {
                Some(Tree::Leaf(_, source)) => source.clone(),
                _ => Source::Default,
            };
            Provenance { key, value: value.to_string(), source }
        };
        Ok(tree::leaves(&resolved).into_iter().map(entry).collect())
    }

    /// What `--print-config` prints: `key = value   # from flag --epochs`.
    ///
    /// # Errors
    /// None for a recipe that was decoded.
    pub fn print_config(&self) -> Result<String> {
        let entries = self.provenance()?;
        let width = |entry: &Provenance| entry.key.chars().count() + entry.value.chars().count() + 3;
        // Long texts (description, source) do not push the column of comments away.
        let column = entries.iter().map(width).filter(|width| *width <= 50).max().unwrap_or(0);
        let mut text = String::new();
        for entry in &entries {
            let gap = column.saturating_sub(width(entry)) + 3;
            writeln!(text, "{} = {}{:gap$}# from {}", entry.key, entry.value, "", entry.source)?;
        }
        Ok(text)
    }

    /// The file or preset this was read from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The error for a network that cannot be built: the command line's fault if it changed anything, else the file's.
    pub(crate) fn fault(&self, problem: &Problem) -> Error {
        report(&self.tree, &self.origin, problem, self.tree.has_override())
    }
}

fn no_such_recipe(name: &str) -> String {
    let guess = problem::nearest(name, preset::names());
    let guess = guess.map_or(String::new(), |guess| format!(" (did you mean {guess}?)"));
    let known: Vec<_> = preset::names().collect();
    format!(
        "there is no recipe \"{name}\"{guess}. Give the path of a .toml file, or one of: {}",
        known.join(", ")
    )
}

fn decode_and_check(tree: &Tree) -> Result<Settings, Problem> {
    let settings: Settings = decode::decode(tree)?;
    settings.check()?;
    Ok(settings)
}

impl Settings {
    fn check(&self) -> Result<(), Problem> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(allowed) {
            let message = "names a folder: use letters, digits, - and _, for example \"my-cnn\"";
            return Err(Problem::at("name", message));
        }
        self.data.check().map_err(|problem| problem.inside("data"))?;
        self.augment.check().map_err(|problem| problem.inside("augment"))?;
        self.training.check(self.data.validation).map_err(|problem| problem.inside("training"))?;
        self.optimizer.check().map_err(|problem| problem.inside("optimizer"))?;
        self.schedule.check().map_err(|problem| problem.inside("schedule"))?;
        crate::layers::check(&self.layers).map_err(|problem| problem.inside("layers"))
    }
}

/// The problem as an error of the right kind: wrong usage if the command line `changed` the recipe, else a bad file.
fn report(tree: &Tree, origin: &str, problem: &Problem, changed: bool) -> Error {
    let message = printable(&locate(tree, problem), LONGEST_REASON);
    match tree.get(&problem.path) {
        Some(Tree::Leaf(_, source)) if source.is_override() => Error::Usage(format!("{source}: {message}")),
        _ if changed => Error::Usage(format!("recipe {origin}, as changed by flags: {message}")),
        _ => Error::BadFile(format!("recipe {origin}: {message}")),
    }
}

/// Replaces a path into the layers by the layer's number and type: `layer 2 (dense), units`.
fn locate(tree: &Tree, problem: &Problem) -> String {
    let mut layer = String::new();
    let mut rest = problem.path.as_str();
    while let Some(after) = rest.strip_prefix("layers.") {
        let (index, after) = after.split_once('.').unwrap_or((after, ""));
        layer = join(&join(&layer, if layer.is_empty() { "" } else { "layers" }), index);
        rest = after;
    }
    if layer.is_empty() {
        return problem.to_string();
    }
    let kind = tree.get(&format!("layers.{layer}")).and_then(|entry| entry.text("type"));
    let kind = kind.map_or(String::new(), |kind| format!(" ({kind})"));
    let key = if rest.is_empty() { String::new() } else { format!(", {rest}") };
    format!("layer {layer}{kind}{key}: {}", problem.message)
}
