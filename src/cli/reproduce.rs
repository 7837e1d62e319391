//! `reproduce`

use super::trials::{Plan, Trained, TrialArgs, save};
use crate::recipe::Overrides;
use crate::sweep::published::{self, Line};
use crate::sweep::shard::Shard;
use crate::sweep::{curves, table};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Flags of `reproduce`.
#[derive(Args)]
pub(super) struct Reproduce {
    /// Train only this row of the table, or all rows of this recipe; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Seeds of each row: 0 and on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Train for so long instead of what was published
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// The folder of the runs, where a stopped reproduction also goes on
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    out: PathBuf,
    #[command(flatten)]
    trials: TrialArgs,
}

impl Reproduce {
    pub(super) fn run(&self) -> Result<()> {
        let rows = published::chosen(&self.only)?;
        let changes = Overrides { epochs: self.epochs, ..Overrides::default() };
        let sweep = published::sweep(&rows, self.seeds, &changes)?;
        let plan = Plan { sweep: &sweep, out: &self.out, shard: Shard::ALL, name: None };
        let Trained { trials, results } = self.trials.train(&plan)?;
        let groups: Vec<usize> = trials.iter().map(|trial| trial.group).collect();
        let obtained = table::rows(&sweep.groups, &groups, &results);
        let folders: Vec<_> = trials.iter().map(|trial| (trial.group, self.out.join(&trial.name))).collect();
        let runs = curves::runs(&obtained, &folders)?;
        let lines: Vec<Line> =
            rows.iter().zip(obtained).map(|(row, obtained)| Line::new(row, obtained)).collect();
        let table = published::table(&lines);
        save(&self.out, "Published beside obtained", &table, &lines, &runs)?;
        self.trials.print(&table, &lines)
    }
}
