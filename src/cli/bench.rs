//! `bench`

use super::args::{ChangeArgs, DEFAULT_RECIPE, DataArgs, DeviceArgs};
use super::console::eprint_line;
use super::signals;
use super::train::utc_now;
use crate::bench::compare::compare;
use crate::bench::measure::Effort;
use crate::bench::report::{Machine, Report, SCHEMA};
use crate::bench::time_to::{Finish, Race, time_to};
use crate::bench::{self, Options};
use crate::error::Error;
use crate::recipe::{Recipe, preset};
use crate::train::event::{Event, Observer, Tick};
use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What `--json` is without a file: stdout.
const STDOUT: &str = "-";
/// What `--quick` measures unless told otherwise.
const QUICK_RECIPES: [&str; 2] = ["mlp-16-16", "cnn-16"];
/// Training images of `--quick`: enough for an epoch of some steps.
const QUICK_IMAGES: usize = 4096;
/// Without a terminal, a line of progress this often.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(1);

/// Flags of `bench`.
#[derive(Args)]
pub(super) struct Bench {
    #[command(flatten)]
    device: DeviceArgs,
    /// A shipped recipe or a TOML file; may be given several times [default: all shipped recipes]
    #[arg(long, alias = "model", value_name = "NAME|FILE.toml")]
    recipe: Vec<String>,
    #[command(flatten)]
    changes: ChangeArgs,
    #[command(flatten)]
    data: DataArgs,
    /// A few seconds for two recipes, to see that everything works: the figures mean little
    #[arg(long)]
    quick: bool,
    /// Hold two reports of `--json` against each other instead of measuring
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all = ["recipe", "time_to", "quick"])]
    compare: Option<Vec<PathBuf>>,
    /// Train a recipe with several seeds instead, and say how long it takes and how many reach this test accuracy
    #[arg(long, value_name = "ACCURACY", conflicts_with = "quick")]
    time_to: Option<f64>,
    /// Seeds of `--time-to`: 0 and on
    #[arg(long, value_name = "N", default_value_t = 10, requires = "time_to", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Write JSON to a file, or instead of the tables to stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STDOUT)]
    json: Option<String>,
}

impl Bench {
    pub(super) fn run(&self) -> Result<()> {
        match (&self.compare, self.time_to) {
            (Some(files), _) => self.compare(files),
            (None, Some(target)) => self.time_to(target),
            (None, None) => self.measure(),
        }
    }

    fn measure(&self) -> Result<()> {
        let (device, line) = self.device.find()?;
        let mut progress = Progress::new();
        progress.line(&line);
        let recipes = self.recipes()?;
        let mut data = self.data.load()?;
        if self.quick {
            data.limit(QUICK_IMAGES)?;
        }
        let effort = if self.quick { Effort::QUICK } else { Effort::FULL };
        let (machine, date) = (machine(), utc_now());
        let options = Options { recipes: &recipes, data: &data, device: &device, effort, machine, date };
        let report = bench::run(options, &mut |what| progress.now(what))?;
        progress.clear();
        self.print(&report, || report.text())
    }

    fn recipes(&self) -> Result<Vec<Recipe>> {
        let names: Vec<&str> = match (self.recipe.is_empty(), self.quick) {
            (false, _) => self.recipe.iter().map(String::as_str).collect(),
            (true, false) => preset::names().collect(),
            (true, true) => QUICK_RECIPES.into(),
        };
        names.into_iter().map(|name| self.load(name)).collect()
    }

    fn load(&self, name: &str) -> Result<Recipe> {
        let mut recipe = Recipe::load(name)?;
        recipe.apply(&self.changes.overrides())?;
        Ok(recipe)
    }

    fn compare(&self, files: &[PathBuf]) -> Result<()> {
        let [a, b] = files else { bail!(Error::Usage("--compare takes two files".into())) };
        let comparison = compare(&read(a)?, &read(b)?);
        self.print(&comparison, || comparison.text())
    }

    fn time_to(&self, target: f64) -> Result<()> {
        if !(0.0..=1.0).contains(&target) {
            bail!(Error::Usage(format!("--time-to {target} is no accuracy: give a share, such as 0.99")));
        }
        let recipe = match self.recipe.as_slice() {
            [] => self.load(DEFAULT_RECIPE)?,
            [name] => self.load(name)?,
            _ => bail!(Error::Usage("--time-to trains one recipe: give --recipe once".into())),
        };
        let stop = signals::stop_flag()?;
        let (device, line) = self.device.find()?;
        let progress = Progress::new();
        progress.line(&line);
        let data = self.data.load()?;
        let race =
            Race { recipe: &recipe, data: &data, device: &device, target, seeds: self.seeds, stop: &stop };
        let mut trainings = Trainings { progress, seed: 0 };
        let result = time_to(&race, &mut trainings, |_: &Finish| {})?;
        trainings.progress.clear();
        self.print(&result, || result.text())
    }

    /// Tables to stdout and JSON to its file, or JSON to stdout.
    fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        match self.json.as_deref() {
            Some(STDOUT) => super::print(&format!("{}\n", serde_json::to_string(value)?)),
            Some(file) => {
                let json = format!("{}\n", serde_json::to_string_pretty(value)?);
                std::fs::write(file, json).with_context(|| format!("cannot write {file}"))?;
                super::print(&text())
            }
            None => super::print(&text()),
        }
    }
}

/// A report from its file.
fn read(path: &Path) -> Result<Report> {
    let bad = |what: &str| {
        let hint = "make one with: gpu-mnist bench --json FILE";
        Error::BadFile(format!("{}: {what}; {hint}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(&error.to_string()))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| bad(&error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(other) => bail!(bad(&format!("its schema is {other}, and this program knows {SCHEMA}"))),
        None => bail!(bad("it has no schema, so it is no report of bench")),
    }
    Ok(serde_json::from_value(value).map_err(|error| bad(&error.to_string()))?)
}

/// The host that this runs on.
fn machine() -> Machine {
    // Only Linux tells in a file.
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
    Machine {
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        processor: name.map_or(String::new(), |(_, name)| name.trim().to_owned()),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// What is being measured: a line that is overwritten where stderr is a terminal, else a line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    last: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(indicatif::ProgressStyle::default_spinner());
            bar
        });
        Self { bar, last: None }
    }

    fn now(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(what.to_owned());
                bar.tick();
            }
            None if self.last.is_none_or(|last| last.elapsed() >= PLAIN_LINE_EVERY) => {
                self.last = Some(Instant::now());
                eprint_line(&format!("measuring {what}"));
            }
            None => {}
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprint_line(line)),
            None => eprint_line(line),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows trainings that follow each other.
struct Trainings {
    progress: Progress,
    seed: u64,
}

impl Observer for Trainings {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Start(start) => self.seed = start.seed,
            Event::Result(summary) => self.progress.line(&format!(
                "seed {}: test accuracy {:.4} after {:.1} s",
                self.seed, summary.test_accuracy, summary.train_seconds
            )),
            Event::Step { .. } | Event::Epoch(_) => {}
        }
        Ok(())
    }

    fn tick(&mut self, tick: &Tick) {
        let Tick { epoch, epochs, step, steps, images_per_second, .. } = tick;
        let seed = self.seed;
        let what = format!(
            "seed {seed}, epoch {epoch}/{epochs}, step {step}/{steps}, {images_per_second:.0} images/s"
        );
        self.progress.now(&what);
    }
}
