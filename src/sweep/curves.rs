//! Curves of groups side by side, each the mean over the group's seeds.

use super::table::Row;
use crate::report::Run;
use crate::report::plot::Curve;
use crate::train::folder::HISTORY;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The columns of a run's history.
#[derive(Clone, Debug, Default)]
struct Epochs {
    loss: Vec<f64>,
    accuracy: Vec<f64>,
    val_loss: Vec<f64>,
    val_accuracy: Vec<f64>,
}

/// Reads a run's history; empty where training ended before its first epoch did.
fn history(folder: &Path) -> Result<Epochs> {
    let path = folder.join(HISTORY);
    let mut epochs = Epochs::default();
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(epochs) };
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    for line in lines {
        for (name, cell) in names.iter().zip(line.split(',')) {
            let column = match *name {
                "loss" => &mut epochs.loss,
                "accuracy" => &mut epochs.accuracy,
                "val_loss" => &mut epochs.val_loss,
                "val_accuracy" => &mut epochs.val_accuracy,
                _ => continue,
            };
            if !cell.is_empty() {
                column
                    .push(cell.parse().with_context(|| format!("{}: {cell} is no number", path.display()))?);
            }
        }
    }
    Ok(epochs)
}

/// A row with its curves; `folders` are those of its seeds.
///
/// # Errors
/// When a history is no history.
pub fn run(row: &Row, folders: &[PathBuf]) -> Result<Run> {
    let histories = folders.iter().map(|folder| history(folder)).collect::<Result<Vec<_>>>()?;
    let curve = |column: fn(&Epochs) -> &Vec<f64>| {
        let columns: Vec<&Vec<f64>> = histories.iter().map(column).collect();
        Curve::new(&row.name, mean(&columns))
    };
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
        loss: filled([curve(|epochs| &epochs.loss), curve(|epochs| &epochs.val_loss)]),
        accuracy: filled([curve(|epochs| &epochs.accuracy), curve(|epochs| &epochs.val_accuracy)]),
        ..Run::default()
    })
}

/// The mean at each epoch over the columns that reach it.
fn mean(columns: &[&Vec<f64>]) -> Vec<(f64, f64)> {
    let longest = columns.iter().map(|column| column.len()).max().unwrap_or(0);
    let at = |epoch: usize| {
        let values: Vec<f64> = columns.iter().filter_map(|column| column.get(epoch).copied()).collect();
        ((epoch + 1) as f64, values.iter().sum::<f64>() / values.len() as f64)
    };
    (0..longest).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_the_runs_that_got_so_far() {
        assert_eq!(mean(&[&vec![1.0, 2.0], &vec![3.0]]), [(1.0, 2.0), (2.0, 2.0)]);
        assert_eq!(mean(&[]), []);
    }

    #[test]
    fn a_history_is_read_by_the_names_of_its_columns() {
        let folder = tempfile::tempdir().unwrap();
        let text = "epoch,accuracy,loss,val_accuracy,val_loss\n1,0.5,1.25,,\n2,0.75,0.5,0.7,0.6\n";
        std::fs::write(folder.path().join(HISTORY), text).unwrap();
        let epochs = history(folder.path()).unwrap();
        assert_eq!((epochs.loss, epochs.accuracy), (vec![1.25, 0.5], vec![0.5, 0.75]));
        assert_eq!((epochs.val_loss, epochs.val_accuracy), (vec![0.6], vec![0.7]));
        std::fs::write(folder.path().join(HISTORY), "epoch,loss\n1,x\n").unwrap();
        assert!(history(folder.path()).is_err());
    }
}
