//! What `sweep` and `reproduce` share: training one trial after the other, and writing what came of them.

use super::args::{DataArgs, DeviceArgs};
use super::console::Console;
use super::signals;
use crate::report::{self, Page, Part, Picture, Run, Section, Table};
use crate::sweep::shard::{Manifest, Shard};
use crate::sweep::trial::{self, Common, TrialResult};
use crate::sweep::{Sweep, Trial};
use crate::train::atomic;
use crate::train::event::{Event, Observer, Tick};
use crate::train::folder::SourceRecord;
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use std::path::Path;

/// Flags of both.
#[derive(Args)]
pub(super) struct TrialArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Use only the first N training images
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// The table as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// JSON Lines on stdout, one for each row
    #[arg(long)]
    json: bool,
    /// Nothing on stderr but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Which trials of a sweep to train, and what to leave beside them.
pub(super) struct Plan<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) out: &'a Path,
    pub(super) shard: Shard,
    /// The sweep's name, where its folder must hold no other sweep.
    pub(super) name: Option<&'a str>,
}

/// Trials that were trained, and what came of them.
pub(super) struct Trained<'a> {
    pub(super) trials: Vec<&'a Trial>,
    pub(super) results: Vec<TrialResult>,
}

impl TrialArgs {
    /// Trains what is left of the plan's trials.
    pub(super) fn train<'a>(&self, plan: &Plan<'a>) -> Result<Trained<'a>> {
        let stop = signals::stop_flag()?;
        let mut console = Console::new(false, self.quiet);
        let (device, line) = self.device.find()?;
        console.say(&line);
        let mut data = self.data.load()?;
        if let Some(limit) = self.limit {
            data.limit(limit)?;
        }
        if let Some(name) = plan.name {
            let sources = data.sources.iter().map(SourceRecord::from).collect();
            Manifest::new(name, plan.sweep, sources, self.limit)?.write(plan.out, plan.shard)?;
        }
        let common = Common {
            data: &data,
            spec: &self.data.data,
            limit: self.limit,
            device: &device,
            out: plan.out,
            stop: &stop,
        };
        let all = plan.sweep.trials.iter().enumerate();
        let trials: Vec<&Trial> = all.filter(|(i, _)| plan.shard.holds(*i)).map(|(_, trial)| trial).collect();
        let mut results = Vec::new();
        for (number, trial) in trials.iter().enumerate() {
            let title = format!("{}/{} {}", number + 1, trials.len(), trial.name);
            let mut observer = Shown { console: &mut console, title: &title, trained: false };
            let result = trial::train(trial, &common, &mut observer)?;
            let trained = observer.trained;
            console.clear();
            console.say(&format!("{title}: {}{}", outcome(&result), if trained { "" } else { ", as found" }));
            results.push(result);
        }
        Ok(Trained { trials, results })
    }

    /// The table, or a line of JSON for each row, on stdout.
    pub(super) fn print(&self, table: &Table, lines: &[impl Serialize]) -> Result<()> {
        if !self.json {
            let unicode = report::terminal::unicode();
            return super::print(&if self.markdown { table.markdown() } else { table.text(unicode) });
        }
        let lines = lines.iter().map(|line| Ok(serde_json::to_string(line)? + "\n"));
        super::print(&lines.collect::<Result<String>>()?)
    }
}

fn outcome(result: &TrialResult) -> String {
    match &result.summary {
        Some(summary) => format!(
            "test accuracy {:.4}, test loss {:.4}, {}",
            summary.test_accuracy,
            summary.test_loss,
            super::console::duration(summary.train_seconds)
        ),
        None => "diverged".to_owned(),
    }
}

/// Leaves `table.md`, `results.json`, the curves and a page of both in the sweep's folder.
pub(super) fn save(
    out: &Path,
    title: &str,
    table: &Table,
    lines: &[impl Serialize],
    runs: &[Run],
) -> Result<()> {
    let write = |name: &str, text: String| atomic::write(&out.join(name), text.as_bytes());
    write("table.md", table.markdown())?;
    write("results.json", serde_json::to_string_pretty(lines).context("the results")? + "\n")?;
    let curves: Option<Picture> = report::run::compared_history(runs);
    let mut parts = vec![Part::Table(table.clone())];
    if let Some(picture) = curves {
        report::run::save(out, &[("curves", picture.clone())])?;
        parts.push(Part::Picture(Box::new(picture)));
    }
    let sections = vec![Section { title: "Results".to_owned(), parts }];
    write("report.html", Page { title: title.to_owned(), sections }.html())
}

/// Shows one training among others.
struct Shown<'a> {
    console: &'a mut Console,
    title: &'a str,
    trained: bool,
}

impl Observer for Shown<'_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        if let Event::Start(start) = event {
            self.trained = true;
            let resumed = if start.first_step == 0 { "" } else { ", taken up" };
            self.console.say(&format!("{}: training{resumed}", self.title));
        }
        Ok(())
    }

    fn tick(&mut self, tick: &Tick) {
        self.console.tick(tick);
    }
}
