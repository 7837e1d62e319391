//! `sweep`

use super::trials::{Plan, TrialArgs, save};
use crate::error::Error;
use crate::sweep::shard::{Manifest, Shard, merge};
use crate::sweep::table::{self, Row};
use crate::sweep::{curves, grid};
use anyhow::{Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};

/// Flags of `sweep`.
#[derive(Args)]
pub(super) struct Sweep {
    /// The grid: recipes, seeds, and a list of values for each key that varies
    #[arg(value_name = "FILE.toml", required_unless_present = "merge", conflicts_with = "merge")]
    file: Option<PathBuf>,
    /// The folder of the runs, where a stopped sweep also goes on [default: runs/<name of the file>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Train only part I of N
    #[arg(long, value_name = "I/N", conflicts_with = "merge")]
    shard: Option<Shard>,
    /// Put the folders of parts together: in --out, or where a single folder is given in that
    #[arg(long, value_name = "DIR", num_args = 1..)]
    merge: Vec<PathBuf>,
    #[command(flatten)]
    trials: TrialArgs,
}

impl Sweep {
    pub(super) fn run(&self) -> Result<()> {
        match &self.file {
            Some(file) => self.train(file),
            None => self.merge(),
        }
    }

    fn train(&self, file: &Path) -> Result<()> {
        let sweep = grid::load(file)?;
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("sweep");
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs").join(name));
        let shard = self.shard.unwrap_or(Shard::ALL);
        let trained = self.trials.train(&Plan { sweep: &sweep, out: &out, shard, name: Some(name) })?;
        let groups: Vec<usize> = trained.trials.iter().map(|trial| trial.group).collect();
        let mut rows = table::rows(&sweep.groups, &groups, &trained.results);
        if shard != Shard::ALL {
            // The table of the whole is for --merge to write.
            rows.retain(|row| row.n > 0);
            return self.trials.print(&table::table(&rows), &rows);
        }
        let folders: Vec<_> =
            trained.trials.iter().map(|trial| (trial.group, out.join(&trial.name))).collect();
        self.finish(&out, name, &rows, &folders)
    }

    fn merge(&self) -> Result<()> {
        let out = match (&self.out, self.merge.as_slice()) {
            (Some(out), _) => out,
            (None, [only]) => only,
            _ => bail!(Error::Usage("--merge of several folders needs --out DIR".into())),
        };
        let (Manifest { name, groups, trials, .. }, results) = merge(&self.merge, out)?;
        let groups_of: Vec<usize> = trials.iter().map(|trial| trial.group).collect();
        let folders: Vec<_> = trials.iter().map(|trial| (trial.group, out.join(&trial.name))).collect();
        self.finish(out, &name, &table::rows(&groups, &groups_of, &results), &folders)
    }

    /// Everything that there is to see of a whole sweep; of each trial, its group and its folder.
    fn finish(&self, out: &Path, name: &str, rows: &[Row], trials: &[(usize, PathBuf)]) -> Result<()> {
        let table = table::table(rows);
        save(out, name, &table, rows, &curves::runs(rows, trials)?)?;
        self.trials.print(&table, rows)
    }
}
