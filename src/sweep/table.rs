//! Groups of trials as rows: means and deviations over seeds, for people and for programs.

use super::trial::TrialResult;
use super::{Group, SCHEMA};
use crate::bench::time_to::Mean;
use crate::report::Table;
use crate::train::event::Summary;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The figures of a group over its seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The group's name.
    pub name: String,
    /// The keys in which it differs from others.
    pub settings: Vec<(String, String)>,
    /// Seeds trained to the end, those that diverged too.
    pub n: usize,
    /// Seeds that diverged; they are in no mean.
    pub diverged: usize,
    /// Accuracy on the test set after the last epoch.
    pub test_accuracy: Option<Mean>,
    /// Loss on the test set after the last epoch.
    pub test_loss: Option<Mean>,
    /// Seconds of training alone.
    pub train_seconds: Option<Mean>,
    /// The devices, each once.
    pub devices: Vec<String>,
}

impl Row {
    /// Of the results of a group.
    pub fn new(group: &Group, results: &[&TrialResult]) -> Self {
        let summaries: Vec<&Summary> = results.iter().filter_map(|result| result.summary.as_ref()).collect();
        let mean = |figure: fn(&Summary) -> f64| {
            (!summaries.is_empty()).then(|| Mean::of(summaries.iter().map(|summary| figure(summary))))
        };
        let devices: BTreeSet<String> = results.iter().map(|result| result.device.to_string()).collect();
        Self {
            schema: SCHEMA,
            name: group.name.clone(),
            settings: group.settings.clone(),
            n: results.len(),
            diverged: results.len() - summaries.len(),
            test_accuracy: mean(|summary| summary.test_accuracy),
            test_loss: mean(|summary| summary.test_loss),
            train_seconds: mean(|summary| summary.train_seconds),
            devices: devices.into_iter().collect(),
        }
    }
}

/// The rows of all groups; `results` are of the trials at the same places in `groups_of`, which names their groups.
pub fn rows(groups: &[Group], groups_of: &[usize], results: &[TrialResult]) -> Vec<Row> {
    let of = |number: usize| {
        groups_of
            .iter()
            .zip(results)
            .filter(|(group, _)| **group == number)
            .map(|(_, result)| result)
            .collect()
    };
    groups.iter().enumerate().map(|(number, group)| Row::new(group, &of(number) as &Vec<_>)).collect()
}

/// Mean and deviation with so many decimals; the mean alone for a single seed, a dash for none.
pub(super) fn cell(mean: Option<Mean>, n: usize, decimals: usize) -> String {
    match mean {
        None => "–".to_owned(),
        Some(mean) if n < 2 => format!("{:.decimals$}", mean.mean),
        Some(Mean { mean, deviation }) => format!("{mean:.decimals$} ± {deviation:.decimals$}"),
    }
}

/// The table of a grid: a column for each key that varies, then the figures.
pub fn table(rows: &[Row]) -> Table {
    let keys: Vec<&str> =
        rows.first().map_or(vec![], |row| row.settings.iter().map(|(key, _)| key.as_str()).collect());
    let mut table = Table::new(&keys);
    if keys.is_empty() {
        table.headers.push("recipe".to_owned());
    }
    let diverged = rows.iter().any(|row| row.diverged > 0);
    table.headers.extend(["seeds", "test accuracy", "test loss", "seconds"].map(str::to_owned));
    if diverged {
        table.headers.push("diverged".to_owned());
    }
    for row in rows {
        let finished = row.n - row.diverged;
        let mut cells: Vec<String> = row.settings.iter().map(|(_, value)| value.clone()).collect();
        if cells.is_empty() {
            cells.push(row.name.clone());
        }
        cells.extend([
            row.n.to_string(),
            cell(row.test_accuracy, finished, 4),
            cell(row.test_loss, finished, 4),
            cell(row.train_seconds, finished, 1),
        ]);
        if diverged {
            cells.push(row.diverged.to_string());
        }
        table.row(cells);
    }
    table
}
