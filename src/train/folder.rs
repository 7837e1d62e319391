//! The run folder: all that a run needs to be repeated, looked at and taken up again.

use super::disk::{Disk, System};
use super::event::{DeviceEvent, EpochRecord, Event, to_json};
use super::{atomic, state::Checkpoint};
use crate::data::{DataSet, Source, open_regular};
use crate::error::{Error, reason};
use crate::recipe::Recipe;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// Neither a record nor a recipe is longer, in bytes.
const LONGEST_TEXT: u64 = 1 << 20;

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
    /// Locked while this process trains in the folder; the system unlocks it whatever becomes of the process.
    lock: Option<Arc<File>>,
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
        System.create_folder(path).and_then(|()| System.sync_folder(atomic::folder_of(path))).with_context(
            || format!("cannot make the run folder {}; choose another --out", path.display()),
        )?;
        let mut folder = Self { path: path.to_owned(), lock: None };
        folder.write(RECIPE, recipe.to_toml()?.as_bytes())?;
        folder.write(RUN, serde_json::to_string_pretty(record)?.as_bytes())?;
        folder.lock()?;
        Ok(folder)
    }

    /// Opens the folder of a run to read it.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it holds none.
    pub fn open(path: &Path) -> Result<(Self, Recipe, RunRecord)> {
        for file in [RUN, RECIPE] {
            if !path.join(file).exists() {
                bail!(Error::BadFile(format!(
                    "{} holds no run ({file} is missing); give the folder that `gpu-mnist train` printed",
                    path.display()
                )));
            }
        }
        let (record, recipe) = (path.join(RUN), path.join(RECIPE));
        let record = serde_json::from_str(&read_text(&record)?).map_err(|error| {
            let advice = "it is not what `gpu-mnist train` writes: bring the run's own file back";
            Error::BadFile(format!("{}: {}; {advice}", record.display(), reason(&error)))
        })?;
        let recipe = Recipe::from_toml(&read_text(&recipe)?, &recipe.display().to_string())?;
        Ok((Self { path: path.to_owned(), lock: None }, recipe, record))
    }

    /// Opens the folder of a run to go on with it, and clears away what a killed process may have left: temporary files, and
    /// half a line at the end of the events.
    ///
    /// # Errors
    /// As [`Folder::open`]; [`Error::Usage`] while another process trains in it.
    pub fn take_up(path: &Path) -> Result<(Self, Recipe, RunRecord)> {
        let (mut folder, recipe, record) = Self::open(path)?;
        folder.lock()?;
        let cleared = folder.remove_temporaries().map_err(Into::into).and_then(|()| folder.mend_events());
        cleared.with_context(|| format!("cannot write in {}; check its rights", path.display()))?;
        Ok((folder, recipe, record))
    }

    /// Two processes in one folder would overwrite each other's checkpoints.
    fn lock(&mut self) -> Result<()> {
        // Elsewhere a lock also keeps others from reading, and file systems without locks have none.
        if cfg!(unix) {
            let file = File::open(self.path.join(RUN))
                .with_context(|| format!("cannot open the record in {}", self.path.display()))?;
            if let Err(TryLockError::WouldBlock) = file.try_lock() {
                bail!(Error::Usage(format!(
                    "another process is training in {}; wait for it, stop it, or choose another --out",
                    self.path.display()
                )));
            }
            self.lock = Some(Arc::new(file));
        }
        Ok(())
    }

    fn remove_temporaries(&self) -> std::io::Result<()> {
        for entry in self.path.read_dir()? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(atomic::TEMPORARY) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Cuts off what follows the last end of a line.
    fn mend_events(&self) -> Result<()> {
        let path = self.path.join(EVENTS);
        let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(()) };
        // A link in a stranger's folder could lead to any file of the user's.
        if !metadata.is_file() {
            bail!(Error::BadFile(format!("{}: is not a regular file; remove it", path.display())));
        }
        let (mut read, mut whole) = (0, 0);
        let mut reader = BufReader::new(File::open(&path)?);
        loop {
            let part = reader.fill_buf()?;
            if part.is_empty() {
                break;
            }
            if let Some(end) = part.iter().rposition(|&byte| byte == b'\n') {
                whole = read + end as u64 + 1;
            }
            read += part.len() as u64;
            let length = part.len();
            reader.consume(length);
        }
        if whole < read {
            OpenOptions::new().write(true).open(&path)?.set_len(whole)?;
        }
        Ok(())
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
        atomic::write(&self.path.join(name), bytes).with_context(|| self.advice())
    }

    /// What to say when a file cannot be written.
    fn advice(&self) -> String {
        let folder = self.path.display();
        if self.path.join(CHECKPOINT).exists() {
            format!(
                "stopped; the last checkpoint is kept, go on from it with: gpu-mnist train --resume {folder}"
            )
        } else {
            format!("stopped before the first checkpoint of {folder}")
        }
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
        let mut line = to_json(event)?;
        line.push('\n');
        let written =
            System.open_to_append(&path).and_then(|mut file| System.write(&mut file, line.as_bytes()));
        written
            .with_context(|| format!("cannot write {}; make room there and check its rights", path.display()))
            .with_context(|| self.advice())
    }
}

/// The text of a small file.
fn read_text(path: &Path) -> Result<String> {
    let (file, _) = open_regular(path)?;
    let bad = |what: String| Error::BadFile(format!("{}: {what}", path.display()));
    let mut text = String::new();
    let read = file.take(LONGEST_TEXT + 1).read_to_string(&mut text);
    read.map_err(|error| bad(format!("cannot be read as text ({error}); bring the run's own file back")))?;
    if text.len() as u64 > LONGEST_TEXT {
        bail!(bad(format!("is longer than {LONGEST_TEXT} bytes; bring the run's own file back")));
    }
    Ok(text)
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
