//! The run folder: all that a run needs to be repeated, looked at and taken up again.

use super::event::{DeviceEvent, EpochRecord, Event, to_json};
use super::{atomic, state::Checkpoint};
use crate::data::{DataSet, Source};
use crate::error::Error;
use crate::recipe::Recipe;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The model file.
pub const MODEL: &str = "model.safetensors";
/// The newest checkpoint.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The resolved recipe.
pub const RECIPE: &str = "recipe.toml";
/// Seed, data, version and device.
pub const RUN: &str = "run.json";
/// The figures of each epoch.
pub const HISTORY: &str = "history.csv";
/// The loss of each step.
pub const STEPS: &str = "steps.csv";
/// All events.
pub const EVENTS: &str = "events.jsonl";

/// What `run.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The program's version.
    pub version: String,
    /// The seed.
    pub seed: u64,
    /// What `--data` was.
    pub data: String,
    /// Name, size and SHA-256 of each file of the data set.
    pub sources: Vec<SourceRecord>,
    /// The limit on training images, if any.
    pub limit: Option<usize>,
    /// A run or file that the weights came from, if any.
    pub init_from: Option<String>,
    /// The device that the run started on.
    pub device: DeviceEvent,
}

/// A file of the data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The file's name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl From<&Source> for SourceRecord {
    fn from(source: &Source) -> Self {
        Self { name: source.name.clone(), bytes: source.bytes, sha256: source.sha256.clone() }
    }
}

/// A run folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder of a new run and puts recipe and record into it.
    ///
    /// # Errors
    /// [`Error::Usage`] when a run is there already; when it cannot be written.
    pub fn create(path: &Path, recipe: &Recipe, record: &RunRecord) -> Result<Self> {
        if path.join(RUN).exists() || path.join(MODEL).exists() || path.join(CHECKPOINT).exists() {
            bail!(Error::Usage(format!(
                "{0} already holds a run; choose another --out, or go on with it: --resume {0}",
                path.display()
            )));
        }
        fs::create_dir_all(path).with_context(|| {
            format!("cannot make the run folder {}; choose another --out", path.display())
        })?;
        let folder = Self { path: path.to_owned() };
        folder.write(RECIPE, recipe.to_toml()?.as_bytes())?;
        folder.write(RUN, serde_json::to_string_pretty(record)?.as_bytes())?;
        Ok(folder)
    }

    /// Opens the folder of a run.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it holds none.
    pub fn open(path: &Path) -> Result<(Self, Recipe, RunRecord)> {
        let missing = |file: &str| {
            Error::BadFile(format!(
                "{} holds no run ({file} is missing or unreadable); give the folder that `gpu-mnist train` printed",
                path.display()
            ))
        };
        let text = fs::read_to_string(path.join(RUN)).map_err(|_| missing(RUN))?;
        let record = serde_json::from_str(&text)
            .map_err(|error| Error::BadFile(format!("{}: {error}", path.join(RUN).display())))?;
        let recipe = path.join(RECIPE);
        let text = fs::read_to_string(&recipe).map_err(|_| missing(RECIPE))?;
        let recipe = Recipe::from_toml(&text, &recipe.display().to_string())?;
        Ok((Self { path: path.to_owned() }, recipe, record))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest checkpoint, if there is one.
    ///
    /// # Errors
    /// [`Error::BadFile`] when there is something else under its name.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        let path = self.path.join(CHECKPOINT);
        if path.exists() { Checkpoint::load(&path).map(Some) } else { Ok(None) }
    }

    /// Writes a file of the run, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        atomic::write(&self.path.join(name), bytes)
    }

    /// Writes the figures of the epochs so far, with Keras's column names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_history(&self, history: &[EpochRecord]) -> Result<()> {
        let mut text = String::from("epoch,accuracy,loss,val_accuracy,val_loss\n");
        let optional = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        for record in history {
            let EpochRecord { epoch, loss, accuracy, val_loss, val_accuracy, .. } = record;
            let (val_accuracy, val_loss) = (optional(*val_accuracy), optional(*val_loss));
            let _ = writeln!(text, "{epoch},{accuracy},{loss},{val_accuracy},{val_loss}");
        }
        self.write(HISTORY, text.as_bytes())
    }

    /// Writes the loss of every step so far.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_steps(&self, losses: impl Iterator<Item = f64>) -> Result<()> {
        let mut text = String::from("step,loss\n");
        for (step, loss) in losses.enumerate() {
            let _ = writeln!(text, "{},{loss}", step + 1);
        }
        self.write(STEPS, text.as_bytes())
    }

    /// Appends an event.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_event(&self, event: &Event) -> Result<()> {
        let path = self.path.join(EVENTS);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "{}", to_json(event)?).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The record of a run that starts now.
pub fn record(
    data: &DataSet,
    spec: &str,
    limit: Option<usize>,
    init_from: Option<String>,
    seed: u64,
    device: DeviceEvent,
) -> RunRecord {
    RunRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        seed,
        data: spec.to_owned(),
        sources: data.sources.iter().map(SourceRecord::from).collect(),
        limit,
        init_from,
        device,
    }
}
