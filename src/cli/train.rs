//! `train`

use super::args::{DataArgs, DeviceArgs, RecipeArgs};
use super::console::Console;
use super::serve::Page;
use super::signals;
use super::watchers::{TensorBoard, Watchers};
use crate::backend::device::Device;
use crate::data::DataSet;
use crate::error::Error;
use crate::layers::{self, Shape};
use crate::plan::network::place_parameters;
use crate::recipe::Recipe;
use crate::train::engine::Weights;
use crate::train::event::DeviceEvent;
use crate::train::folder::{self, Folder, RunRecord};
use crate::train::histograms::HISTOGRAMS;
use crate::train::model::initial_weights;
use crate::train::record;
use crate::train::run::{Job, Outcome, run};
use crate::train::state::Checkpoint;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Steps between points of the loss on the page, where `--log-every` does not say.
const STEPS_ON_PAGE: usize = 20;

/// Flags of `train`.
#[derive(Args)]
pub(super) struct Train {
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Decides everything random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The run folder [default: runs/<recipe>-<time>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take a run up where it stopped
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "recipe", "seed", "data", "limit", "init_from"])]
    resume: Option<PathBuf>,
    /// Fail with exit code 6 if the test accuracy is below
    #[arg(long, value_name = "X")]
    min_accuracy: Option<f64>,
    /// Use only the first N training images
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Start from the weights of a run or a model file
    #[arg(long, value_name = "RUN|FILE.safetensors")]
    init_from: Option<PathBuf>,
    /// A `step` event every N steps
    #[arg(long, value_name = "N", default_value_t = 0)]
    log_every: usize,
    /// A checkpoint every N steps, beside that of each epoch
    #[arg(long, value_name = "N", default_value_t = 0)]
    checkpoint_steps: usize,
    /// A checkpoint after so many seconds within an epoch
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    checkpoint_seconds: f64,
    /// Show the curves on a local page while it trains, and draw on it when it has; Ctrl-C ends the page
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = crate::serve::PORT)]
    serve: Option<u16>,
    /// Write the page of the run too, report.html
    #[arg(long)]
    report: bool,
    /// Histograms of activations, weights and gradients, once an epoch
    #[arg(long)]
    histograms: bool,
    /// An event file for TensorBoard in the run folder, with scalars and histograms
    #[arg(long)]
    tensorboard: bool,
    /// Print each value of the recipe and where it comes from, and do nothing
    #[arg(long)]
    print_config: bool,
    /// JSON Lines on stdout
    #[arg(long)]
    json: bool,
    /// Nothing on stderr but errors
    #[arg(short, long)]
    quiet: bool,
    /// More on stderr
    #[arg(short, long)]
    verbose: bool,
}

/// A run that is about to start.
struct Start {
    recipe: Recipe,
    data: DataSet,
    seed: u64,
    folder: Folder,
    initial: Option<Weights>,
    checkpoint: Option<Checkpoint>,
}

impl Train {
    pub(super) fn run(&self) -> Result<()> {
        if self.print_config {
            return super::print(&self.recipe.load()?.print_config()?);
        }
        let stop = signals::stop_flag()?;
        let page = self.serve.map(Page::bind).transpose()?;
        let mut console = Console::new(self.json, self.quiet);
        // A folder that holds no run is said before any driver is woken.
        let resumed = self.resume.as_ref().map(|path| resume(path)).transpose()?;
        let (device, start) = match resumed {
            Some(start) => (self.find(&mut console)?, start),
            None => self.begin(&mut console)?,
        };
        if self.verbose {
            console.say(&start.recipe.to_toml()?);
        }
        let path = start.folder.path();
        let tensorboard = self.tensorboard.then(|| TensorBoard::create(path)).transpose()?;
        // A run that had histograms goes on having them.
        let histograms = self.histograms || self.tensorboard || path.join(HISTOGRAMS).exists();
        let page = page.map(|page| page.show(path, &stop)).transpose()?;
        if let Some(page) = &page {
            console.say(&format!("the run is on {}", page.url));
        }
        let outcome = run(
            Job {
                recipe: &start.recipe,
                data: &start.data,
                device: &device,
                seed: start.seed,
                initial: start.initial,
                checkpoint: start.checkpoint,
                folder: Some(&start.folder),
                log_every: self.log_every(),
                checkpoint_steps: self.checkpoint_steps,
                checkpoint_seconds: self.checkpoint_seconds,
                stop: &stop,
            },
            &mut Watchers { console: &mut console, histograms, tensorboard },
        )?;
        console.course(&outcome.losses);
        record::keep(&start.folder, &outcome, &start.data)?;
        let report = path.join(record::PAGE);
        let written = record::draw(path, self.report.then_some(&report))?;
        console.say(&format!(
            "drawn: {}",
            written.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        ));
        if let Some(page) = page {
            console.say(&format!("draw on {}; Ctrl-C ends it", page.url));
            page.wait();
        }
        self.judge(&outcome)
    }

    /// A page wants to see something move.
    fn log_every(&self) -> usize {
        if self.serve.is_some() && self.log_every == 0 { STEPS_ON_PAGE } else { self.log_every }
    }

    fn load_data(&self) -> Result<DataSet> {
        let mut data = self.data.load()?;
        if let Some(limit) = self.limit {
            data.limit(limit)?;
        }
        Ok(data)
    }

    fn find(&self, console: &mut Console) -> Result<Device> {
        let (device, line) = self.device.find()?;
        console.say(&line);
        Ok(device)
    }

    fn begin(&self, console: &mut Console) -> Result<(Device, Start)> {
        let recipe = self.recipe.load()?;
        // Searching for adapters takes as long as reading data: do both at once.
        let (device, data) = std::thread::scope(|scope| {
            let data = scope.spawn(|| self.load_data());
            (self.find(console), data.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (device, data) = (device?, data?);
        // Whatever cannot work is said before a folder is made.
        let (height, width) = (data.train.images.height, data.train.images.width);
        let layers = layers::resolve(&recipe, Shape { channels: 1, height, width }, data.classes)?;
        let initial = match &self.init_from {
            Some(path) => Some(initial_weights(path, &place_parameters(&layers))?),
            None => None,
        };
        let from = self.init_from.as_ref().map(|path| path.display().to_string());
        let info = DeviceEvent::from(&device.info());
        let record = folder::record(&data, &self.data.data, self.limit, from, self.seed, info);
        let path = self.out.clone().unwrap_or_else(|| default_folder(&recipe));
        let folder = Folder::create(&path, &recipe, &record)?;
        Ok((device, Start { recipe, data, seed: self.seed, folder, initial, checkpoint: None }))
    }

    fn judge(&self, outcome: &Outcome) -> Result<()> {
        let accuracy = outcome.summary.test_accuracy;
        match self.min_accuracy {
            // Written so that NaN fails.
            Some(least) if !(accuracy >= least) => bail!(Error::Threshold(format!(
                "the test accuracy {accuracy:.4} is below --min-accuracy {least}; train longer (--epochs) or with another --recipe"
            ))),
            _ => Ok(()),
        }
    }
}

/// Everything of a run from its folder.
fn resume(path: &Path) -> Result<Start> {
    let (folder, recipe, record) = Folder::take_up(path)?;
    let mut data = DataSet::load(&record.data).context("the run's data set")?;
    if let Some(limit) = record.limit {
        let bad = |error| Error::BadFile(format!("{}: {error}", folder.path().join(folder::RUN).display()));
        data.limit(limit).map_err(bad)?;
    }
    check_sources(&record, &data)?;
    let checkpoint = folder.checkpoint()?;
    let (height, width) = (data.train.images.height, data.train.images.width);
    let layers = layers::resolve(&recipe, Shape { channels: 1, height, width }, data.classes)?;
    let initial = match (&record.init_from, &checkpoint) {
        (Some(from), None) => Some(initial_weights(Path::new(from), &place_parameters(&layers))?),
        _ => None,
    };
    Ok(Start { recipe, data, seed: record.seed, folder, initial, checkpoint })
}

fn check_sources(record: &RunRecord, data: &DataSet) -> Result<()> {
    for (then, now) in record.sources.iter().zip(&data.sources) {
        if then.sha256 != now.sha256 {
            bail!(Error::BadFile(format!(
                "the data file {} has changed since the run began (SHA-256 {}, it was {}); bring the old file back, or start a \
                 new run",
                now.name, now.sha256, then.sha256
            )));
        }
    }
    Ok(())
}

/// `runs/<recipe>-<time>`, with a number where that is taken.
fn default_folder(recipe: &Recipe) -> PathBuf {
    let base = format!("{}-{}", recipe.name, utc_now());
    let mut path = Path::new("runs").join(&base);
    let mut number = 2;
    while path.exists() {
        path = Path::new("runs").join(format!("{base}-{number}"));
        number += 1;
    }
    path
}

/// The time in UTC, as [`utc`] writes it.
pub(super) fn utc_now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}

/// `20261122-103000` in UTC. Source: Howard Hinnant, "chrono-compatible low-level date algorithms".
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "19700101-000000");
        assert_eq!(utc(951_782_400), "20000229-000000");
        assert_eq!(utc(1_795_343_400), "20261122-103000");
    }
}
