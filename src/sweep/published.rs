//! The published results, `assets/published.toml`, as a sweep, and the table of published beside obtained.

use super::table::{Row, cell};
use super::{Group, Sweep, Trial, changed, file_name, leaves};
use crate::error::Error;
use crate::recipe::problem::nearest;
use crate::recipe::{Overrides, Recipe};
use crate::report::Table;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

const TEXT: &str = include_str!("../../assets/published.toml");

/// How far below the published accuracy a mean may be and count as reached: three standard errors of an accuracy of
/// 99 % that is measured on 10,000 images.
pub const MARGIN: f64 = 0.003;

/// A published result.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The row's name.
    pub name: String,
    /// The shipped recipe.
    pub recipe: String,
    /// Accuracy on the test set.
    pub accuracy: Option<f64>,
    /// Loss on the test set.
    pub loss: Option<f64>,
    /// Where the point is that training fails: the accuracy up to which it has.
    pub fails: Option<f64>,
    /// What is different from the recipe, keys as in a sweep's file.
    #[serde(default)]
    pub set: toml::Table,
}

/// What came of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The mean is at least the published accuracy less [`MARGIN`].
    Reached,
    /// Training fails, as published.
    Fails,
    /// Neither.
    Missed,
    /// Nothing was published.
    Unpublished,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Fails => "fails alike",
            Self::Missed => "missed",
            Self::Unpublished => "–",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    row: Vec<Published>,
}

/// All rows.
///
/// # Errors
/// None for the file that is shipped; a test reads it.
pub fn rows() -> Result<Vec<Published>> {
    let file: File = toml::from_str(TEXT).context("assets/published.toml")?;
    Ok(file.row)
}

/// The rows that `only` names (all, if it names none): a row by its name, or all rows of a recipe by the recipe's.
///
/// # Errors
/// [`Error::Usage`] for a name that is neither.
pub fn chosen(only: &[String]) -> Result<Vec<Published>> {
    let rows = rows()?;
    let names = |row: &Published, name: &String| row.name == *name || row.recipe == *name;
    for name in only {
        if !rows.iter().any(|row| names(row, name)) {
            let guess = nearest(name, rows.iter().map(|row| row.name.as_str()));
            let guess = guess.map_or(String::new(), |guess| format!(" (did you mean \"{guess}\"?)"));
            let known: Vec<String> = rows.iter().map(|row| format!("\"{}\"", row.name)).collect();
            bail!(Error::Usage(format!(
                "--only {name}: no such row or recipe{guess}; the rows are {}",
                known.join(", ")
            )));
        }
    }
    Ok(rows.into_iter().filter(|row| only.is_empty() || only.iter().any(|name| names(row, name))).collect())
}

/// A trial for each of these rows and each seed from 0 on; `changes` are made last.
///
/// # Errors
/// As [`Recipe::apply`].
pub fn sweep(rows: &[Published], seeds: u64, changes: &Overrides) -> Result<Sweep> {
    let mut sweep = Sweep::default();
    for (group, row) in rows.iter().enumerate() {
        let mut recipe = changed(&Recipe::preset(&row.recipe)?, &leaves(&row.set))?;
        recipe.apply(changes).with_context(|| format!("row \"{}\"", row.name))?;
        let folder = file_name(&row.name.replace([' ', '(', ')', ','], "-"));
        let folder = folder.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let trial =
            |seed| Trial { name: format!("{folder}-seed{seed}"), group, recipe: recipe.clone(), seed };
        sweep.trials.extend((0..seeds).map(trial));
        sweep.groups.push(Group { name: row.name.clone(), settings: vec![] });
    }
    Ok(sweep)
}

/// A row with what was obtained, for programs.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What was obtained.
    #[serde(flatten)]
    pub obtained: Row,
    /// The recipe.
    pub recipe: String,
    /// The published accuracy.
    pub published_accuracy: Option<f64>,
    /// The published loss.
    pub published_loss: Option<f64>,
    /// Whether the two agree.
    pub verdict: Verdict,
}

impl Line {
    /// A published result beside what was obtained. Training that diverged has failed.
    pub fn new(published: &Published, obtained: Row) -> Self {
        let accuracy = obtained.test_accuracy.map_or(0.0, |accuracy| accuracy.mean);
        let verdict = match (published.accuracy, published.fails) {
            (None, _) => Verdict::Unpublished,
            (Some(_), Some(most)) if accuracy <= most => Verdict::Fails,
            (Some(least), None) if obtained.diverged == 0 && accuracy >= least - MARGIN => Verdict::Reached,
            _ => Verdict::Missed,
        };
        Self {
            recipe: published.recipe.clone(),
            published_accuracy: published.accuracy,
            published_loss: published.loss,
            verdict,
            obtained,
        }
    }
}

/// Published beside obtained.
pub fn table(lines: &[Line]) -> Table {
    let mut table = Table::new(&[
        "recipe",
        "published accuracy",
        "obtained",
        "seeds",
        "published loss",
        "obtained loss",
        "seconds",
        "device",
        "verdict",
    ]);
    let figure = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
    for line in lines {
        let row = &line.obtained;
        let finished = row.n - row.diverged;
        let mut verdict = line.verdict.words().to_owned();
        if row.diverged > 0 {
            verdict += &format!(" ({} diverged)", row.diverged);
        }
        table.row([
            row.name.clone(),
            figure(line.published_accuracy),
            cell(row.test_accuracy, finished, 4),
            row.n.to_string(),
            figure(line.published_loss),
            cell(row.test_loss, finished, 4),
            cell(row.train_seconds, finished, 1),
            row.devices.join("; "),
            verdict,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::time_to::Mean;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_a_recipe_of_its_own_and_every_published_recipe_has_one() {
        let rows = rows().unwrap();
        let sweep = sweep(&rows, 2, &Overrides::default()).unwrap();
        assert_eq!((sweep.groups.len(), sweep.trials.len()), (rows.len(), 2 * rows.len()));
        let names: BTreeSet<&str> = sweep.trials.iter().map(|trial| trial.name.as_str()).collect();
        assert_eq!(names.len(), sweep.trials.len(), "folders must differ");
        assert!(names.contains("N-0-0.005-tanh-seed1"), "{names:?}");
        let recipes: BTreeSet<String> =
            sweep.trials.iter().map(|trial| trial.recipe.to_toml().unwrap()).collect();
        assert_eq!(recipes.len(), rows.len(), "trainings must differ");
        let sources: Vec<String> = sweep.trials.iter().map(|trial| trial.recipe.source.clone()).collect();
        assert!(sources.iter().all(|source| source.contains("tutorial")));
    }

    fn verdict(name: &str, accuracy: f64, diverged: usize) -> Verdict {
        let published = rows().unwrap().into_iter().find(|row| row.name == name).unwrap();
        let obtained = Row {
            schema: 1,
            name: name.to_owned(),
            settings: vec![],
            n: 3,
            diverged,
            test_accuracy: (diverged < 3).then_some(Mean { mean: accuracy, deviation: 0.0 }),
            test_loss: None,
            train_seconds: None,
            devices: vec![],
        };
        Line::new(&published, obtained).verdict
    }

    #[test]
    fn verdicts() {
        assert_eq!(verdict("cnn-16-36", 0.9895, 0), Verdict::Reached);
        assert_eq!(verdict("cnn-16-36", 0.9885, 0), Verdict::Missed);
        assert_eq!(
            verdict("cnn-16-36", 0.9999, 1),
            Verdict::Missed,
            "a row in which a seed diverges is not reached"
        );
        assert_eq!(verdict("cnn-16-36", f64::NAN, 0), Verdict::Missed);
        assert_eq!(verdict("N(0, 1), tanh", 0.1, 0), Verdict::Fails);
        assert_eq!(verdict("N(0, 1), tanh", 0.9, 0), Verdict::Missed);
        assert_eq!(verdict("N(0, 1), tanh", 0.0, 3), Verdict::Fails);
        assert_eq!(verdict("softmax", 0.9, 0), Verdict::Unpublished);
    }

    #[test]
    fn only_takes_rows_and_recipes() {
        let count = |only: &[&str]| {
            chosen(&only.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).map(|rows| rows.len())
        };
        assert_eq!(count(&[]).unwrap(), rows().unwrap().len());
        assert_eq!(count(&["he, relu"]).unwrap(), 1);
        assert_eq!(count(&["mlp-50x100", "softmax"]).unwrap(), 10);
        let error = count(&["cnn-61"]).unwrap_err().to_string();
        assert!(error.contains("did you mean \"cnn-16\"?"), "{error}");
    }
}
