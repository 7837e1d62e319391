//! Curves of groups side by side, each the mean over the group's seeds.

use super::table::Row;
use crate::report::Run;
use crate::report::plot::Curve;
use crate::train::folder::HISTORY;
use crate::train::record::rows;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Columns of a run's history.
const ACCURACY: usize = 1;
const LOSS: usize = 2;
const VAL_ACCURACY: usize = 3;
const VAL_LOSS: usize = 4;

/// The rows with their curves. Of each trial, its group and its folder: the row of a group is the one of that number.
///
/// # Errors
/// When a history is no history.
pub fn runs(rows: &[Row], trials: &[(usize, PathBuf)]) -> Result<Vec<Run>> {
    let run = |(group, row)| {
        let members = trials.iter().filter(|(of, _)| *of == group);
        run(row, &members.map(|(_, folder)| folder.as_path()).collect::<Vec<_>>())
    };
    rows.iter().enumerate().map(run).collect()
}

/// A row with its curves; `folders` are those of its seeds.
fn run(row: &Row, folders: &[&Path]) -> Result<Run> {
    let histories = folders.iter().map(|folder| rows(&folder.join(HISTORY))).collect::<Result<Vec<_>>>()?;
    let curve = |column: usize| Curve::new(&row.name, mean(&histories, column));
    let filled = |curves: [Curve; 2]| curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
    let mut facts = row.settings.clone();
    let seeds = row.n - row.diverged;
    facts.push(("seeds".to_owned(), row.n.to_string()));
    facts.push(("test accuracy".to_owned(), super::table::cell(row.test_accuracy, seeds, 4)));
    facts.push(("test loss".to_owned(), super::table::cell(row.test_loss, seeds, 4)));
    Ok(Run {
        name: row.name.clone(),
        facts,
        x_label: "epoch".to_owned(),
        loss: filled([curve(LOSS), curve(VAL_LOSS)]),
        accuracy: filled([curve(ACCURACY), curve(VAL_ACCURACY)]),
        ..Run::default()
    })
}

/// The mean of a column at each epoch over the runs that have it there; NaN is what was not measured.
fn mean(histories: &[Vec<Vec<f64>>], column: usize) -> Vec<(f64, f64)> {
    let longest = histories.iter().map(Vec::len).max().unwrap_or(0);
    let at = |epoch: usize| {
        let cells = histories.iter().filter_map(|history| history.get(epoch)?.get(column).copied());
        let values: Vec<f64> = cells.filter(|value| !value.is_nan()).collect();
        (!values.is_empty()).then(|| ((epoch + 1) as f64, values.iter().sum::<f64>() / values.len() as f64))
    };
    (0..longest).filter_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_runs_that_got_so_far() {
        let one = vec![vec![1.0, 0.5, f64::NAN], vec![2.0, 0.75, f64::NAN]];
        let other = vec![vec![1.0, 1.0, f64::NAN]];
        assert_eq!(mean(&[one.clone(), other], 1), [(1.0, 0.75), (2.0, 0.75)]);
        assert_eq!(mean(std::slice::from_ref(&one), 2), []);
        assert_eq!(mean(&[one], 9), []);
    }
}
