//! A user's grid: a TOML file that names recipes, seeds, and a list of values for each key that varies.
//!
//! ```toml
//! recipe = "mlp-128-128"   # or a list of names and files; files are sought beside this one
//! seeds = 3                # 0, 1 and 2; or a list
//!
//! [set]                    # for all
//! training.epochs = 2
//!
//! [grid]                   # every combination; the last key varies fastest, and the seed faster still
//! optimizer.learning_rate = [0.001, 0.003]
//! activation = ["relu", "selu"]
//! ```
//! Keys are those of `--set`, or flags of `train` without the dashes: `activation`, `batch_norm`, `batch_size`, `dropout`,
//! `epochs`, `initializer`, `learning_rate`, `optimizer`, `validation_split`.

use super::{Group, Sweep, Trial, changed, file_name, leaves, shown};
use crate::error::Error;
use crate::recipe::{Recipe, preset};
use anyhow::{Context, Result, bail};
use std::path::Path;
use toml::Value;

/// More trials than this are a mistake.
const MOST_TRIALS: usize = 100_000;
/// No grid is near this long.
const MAX_BYTES: u64 = 1 << 20;

/// One key that varies, and its values.
type Axis = (String, Vec<Value>);

/// Reads a grid.
///
/// # Errors
/// [`Error::BadFile`] when the file is no grid or a combination is no recipe, saying which.
pub fn load(path: &Path) -> Result<Sweep> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text)).map_err(
        |error| Error::BadFile(format!("cannot read the sweep {}: {error}; check the path", path.display())),
    )?;
    let beside = path.parent().unwrap_or(Path::new(""));
    parse(&text, beside)
        .map_err(|error| Error::BadFile(format!("sweep {}: {error:#}", path.display())).into())
}

/// Decodes a grid; files of recipes are sought in `beside`.
///
/// # Errors
/// What is wrong, without the file's name.
pub fn parse(text: &str, beside: &Path) -> Result<Sweep> {
    if text.len() as u64 > MAX_BYTES {
        bail!("longer than {MAX_BYTES} bytes; that is no sweep");
    }
    let mut table: toml::Table = toml::from_str(text).context("not valid TOML")?;
    let recipes = recipes(table.remove("recipe"))?;
    let seeds = seeds(table.remove("seeds"))?;
    let fixed = leaves(&section(&mut table, "set")?);
    let axes = axes(&section(&mut table, "grid")?)?;
    if let Some(key) = table.keys().next() {
        bail!("unknown key {key}; the keys here are recipe, seeds, [set] and [grid]");
    }
    let count = axes.iter().map(|(_, values)| values.len()).chain([recipes.len(), seeds.len()]);
    let count = count.fold(1_usize, usize::saturating_mul);
    if count > MOST_TRIALS {
        bail!("the grid has {count} trainings, more than {MOST_TRIALS}; make it smaller");
    }
    let mut sweep = Sweep::default();
    for name in &recipes {
        let base = changed(&open(name, beside)?, &fixed).context("[set]")?;
        for combination in combinations(&axes) {
            let mut settings: Vec<_> =
                combination.iter().map(|(key, value)| (key.clone(), shown(value))).collect();
            if recipes.len() > 1 {
                settings.insert(0, ("recipe".to_owned(), base.name.clone()));
            }
            let name = describe(&settings, &base);
            let recipe = changed(&base, &combination).with_context(|| name.clone())?;
            add(&mut sweep, Group { name, settings }, &recipe, &seeds, count);
        }
    }
    Ok(sweep)
}

/// Adds a group with a trial for each seed.
fn add(sweep: &mut Sweep, group: Group, recipe: &Recipe, seeds: &[u64], count: usize) {
    let digits = count.to_string().len();
    for &seed in seeds {
        let number = sweep.trials.len() + 1;
        let name = file_name(&format!("{number:0digits$}-{}", group.name)) + &format!("-seed{seed}");
        sweep.trials.push(Trial { name, group: sweep.groups.len(), recipe: recipe.clone(), seed });
    }
    sweep.groups.push(group);
}

/// `optimizer.learning_rate=0.1,activation=relu`, without the tables that keys lie in.
fn describe(settings: &[(String, String)], base: &Recipe) -> String {
    if settings.is_empty() {
        return base.name.clone();
    }
    let short = |key: &str| {
        let last = key.rsplit('.').next().unwrap_or(key).to_owned();
        let alone = settings.iter().filter(|(other, _)| other.rsplit('.').next() == Some(&last)).count() == 1;
        if alone { last } else { key.to_owned() }
    };
    settings.iter().map(|(key, value)| format!("{}={value}", short(key))).collect::<Vec<_>>().join(",")
}

fn open(name: &str, beside: &Path) -> Result<Recipe> {
    let file = beside.join(name);
    match file.to_str() {
        Some(path) if preset::text(name).is_none() && file.is_file() => Recipe::load(path),
        _ => Recipe::load(name),
    }
}

fn recipes(value: Option<Value>) -> Result<Vec<String>> {
    let names = match value {
        None => bail!("recipe is missing; write, for example, recipe = \"cnn-16\""),
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| {
                name.as_str().map(str::to_owned).with_context(|| format!("recipe: {name} is no name"))
            })
            .collect::<Result<_>>()?,
        Some(other) => bail!("recipe: expected a name or a list of names, found {other}"),
    };
    if names.is_empty() {
        bail!("recipe: the list is empty; name one at least");
    }
    Ok(names)
}

fn seeds(value: Option<Value>) -> Result<Vec<u64>> {
    let whole = |value: &Value| value.as_integer().and_then(|n| u64::try_from(n).ok());
    let seeds: Option<Vec<u64>> = match &value {
        None => Some(vec![0]),
        Some(Value::Array(seeds)) => seeds.iter().map(whole).collect(),
        Some(count) => {
            whole(count).filter(|&count| count <= MOST_TRIALS as u64).map(|count| (0..count).collect())
        }
    };
    match seeds {
        Some(seeds) if !seeds.is_empty() => Ok(seeds),
        _ => bail!(
            "seeds: expected how many (1 or more) or a list of whole numbers, such as seeds = [0, 1, 2]"
        ),
    }
}

fn section(table: &mut toml::Table, name: &str) -> Result<toml::Table> {
    match table.remove(name) {
        None => Ok(toml::Table::new()),
        Some(Value::Table(section)) => Ok(section),
        Some(other) => bail!("{name}: expected a table [{name}], found {other}"),
    }
}

fn axes(grid: &toml::Table) -> Result<Vec<Axis>> {
    let axis = |(key, value): (String, Value)| match value {
        Value::Array(values) if !values.is_empty() => Ok((key, values)),
        other => bail!("grid.{key}: expected a list of values, such as {key} = [{other}]"),
    };
    leaves(grid).into_iter().map(axis).collect()
}

/// Every combination of one value for each axis, the last axis varying fastest.
fn combinations(axes: &[Axis]) -> Vec<Vec<(String, Value)>> {
    let mut all = vec![Vec::new()];
    for (key, values) in axes {
        let longer = |combination: Vec<(String, Value)>| {
            values.iter().map(move |value| {
                let mut combination = combination.clone();
                combination.push((key.clone(), value.clone()));
                combination
            })
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(text: &str) -> Result<Sweep> {
        parse(text, Path::new(""))
    }

    #[test]
    fn every_combination_of_values_and_seeds_is_one_trial() {
        let sweep = grid(
            "recipe = 'mlp-16-16'\nseeds = [4, 7]\n[set]\ntraining.epochs = 1\n\
             [grid]\noptimizer.learning_rate = [0.1, 0.2, 0.3]\nactivation = ['relu', 'tanh']",
        )
        .unwrap();
        assert_eq!((sweep.groups.len(), sweep.trials.len()), (6, 12));
        assert_eq!(sweep.groups[1].name, "learning_rate=0.1,activation=tanh");
        assert_eq!(sweep.trials[3].name, "04-learning_rate=0.1,activation=tanh-seed7");
        let rates: Vec<f64> =
            sweep.trials.iter().map(|trial| trial.recipe.optimizer.learning_rate()).collect();
        assert_eq!(rates, [0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3]);
        assert_eq!(sweep.trials.iter().map(|trial| trial.seed).collect::<Vec<_>>(), [4, 7].repeat(6));
        let names: std::collections::BTreeSet<_> = sweep.trials.iter().map(|trial| &trial.name).collect();
        assert_eq!(names.len(), 12);
    }

    #[test]
    fn recipes_can_be_an_axis_and_seeds_a_number() {
        let sweep = grid("recipe = ['mlp-16-16', 'softmax']\nseeds = 2").unwrap();
        let groups: Vec<_> = sweep.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!(groups, ["recipe=mlp-16-16", "recipe=softmax"]);
        assert_eq!(sweep.trials.len(), 4);
        assert_eq!(grid("recipe = 'softmax'").unwrap().groups[0].name, "softmax");
    }

    #[test]
    fn what_is_no_grid_is_refused_with_advice() {
        for (text, says) in [
            ("", "recipe is missing"),
            ("recipe = 3", "expected a name"),
            ("recipe = []", "the list is empty"),
            ("recipe = 'mlp-16-61'", "did you mean mlp-16-16?"),
            ("recipe = 'softmax'\nseeds = 0", "seeds: expected how many"),
            ("recipe = 'softmax'\nseeds = [-1]", "seeds: expected how many"),
            ("recipe = 'softmax'\nset = 3", "expected a table"),
            ("recipe = 'softmax'\nextra = 3", "unknown key extra"),
            ("recipe = 'softmax'\n[grid]\ntraining.steps = 3", "grid.training.steps: expected a list"),
            ("recipe = 'softmax'\n[grid]\ntraining.step = [3]", "did you mean `steps`?"),
            ("recipe = 'softmax'\n[set]\ndropout = 0.5", "--dropout"),
            ("recipe = 'softmax'\nseeds = 90000\n[grid]\ntraining.steps = [1, 2]", "make it smaller"),
            ("recipe = ", "not valid TOML"),
        ] {
            let error = format!("{:#}", grid(text).expect_err(text));
            assert!(error.contains(says), "{text}\ngave: {error}\nexpected: {says}");
        }
    }
}
