//! One training of a sweep, in a run folder of its own.

use super::{SCHEMA, Trial};
use crate::backend::device::Device;
use crate::data::DataSet;
use crate::error::Error;
use crate::train::event::{DeviceEvent, Observer, Summary};
use crate::train::folder::{self, Folder, RUN};
use crate::train::run::{self, Job};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// The figures of a finished trial, in its run folder.
pub const RESULT: &str = "result.json";

/// What became of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The seed.
    pub seed: u64,
    /// The device.
    pub device: DeviceEvent,
    /// The figures at the end; none where training diverged.
    pub summary: Option<Summary>,
    /// Why there are none.
    pub diverged: Option<String>,
}

/// What all trials of a sweep share.
pub struct Common<'a> {
    /// The data.
    pub data: &'a DataSet,
    /// What `--data` was.
    pub spec: &'a str,
    /// What `--limit` was.
    pub limit: Option<usize>,
    /// The device.
    pub device: &'a Device,
    /// The sweep's folder.
    pub out: &'a Path,
    /// Set by a signal: save and stop.
    pub stop: &'a AtomicBool,
}

/// Reads the result of a trial, if it is finished.
///
/// # Errors
/// [`Error::BadFile`] when there is something else under its name.
pub fn result(folder: &Path) -> Result<Option<TrialResult>> {
    let path = folder.join(RESULT);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let result = serde_json::from_str(&text).map_err(|error| {
        Error::BadFile(format!("{}: {error}; delete that folder to train it again", path.display()))
    })?;
    Ok(Some(result))
}

/// Trains what is left of a trial: nothing, where it is finished. Training that diverges is a result.
///
/// # Errors
/// [`Error::Usage`] where the folder holds another run; as training does, divergence aside.
pub fn train(trial: &Trial, common: &Common<'_>, observer: &mut dyn Observer) -> Result<TrialResult> {
    let path = common.out.join(&trial.name);
    let (folder, checkpoint) = if path.join(RUN).exists() {
        let folder = reopen(&path, trial, common)?;
        if let Some(result) = result(&path)? {
            return Ok(result);
        }
        let checkpoint = folder.checkpoint()?;
        (folder, checkpoint)
    } else {
        let device = DeviceEvent::from(&common.device.info());
        let record = folder::record(common.data, common.spec, common.limit, None, trial.seed, device);
        (Folder::create(&path, &trial.recipe, &record)?, None)
    };
    let job = Job {
        recipe: &trial.recipe,
        data: common.data,
        device: common.device,
        seed: trial.seed,
        initial: None,
        checkpoint,
        folder: Some(&folder),
        log_every: 0,
        checkpoint_steps: 0,
        checkpoint_seconds: 60.0,
        stop: common.stop,
    };
    let (summary, diverged) = match run::run(job, observer) {
        Ok(outcome) => (Some(Summary { run_dir: None, ..outcome.summary }), None),
        Err(error) => match error.downcast_ref::<Error>() {
            Some(Error::Diverged(message)) => (None, Some(message.clone())),
            Some(Error::Interrupted(_)) => {
                bail!(Error::Interrupted("to go on, give the same command again".into()))
            }
            _ => return Err(error.context(trial.name.clone())),
        },
    };
    let device = DeviceEvent::from(&common.device.info());
    let result = TrialResult { schema: SCHEMA, seed: trial.seed, device, summary, diverged };
    folder.write(RESULT, serde_json::to_string_pretty(&result).context("the result")?.as_bytes())?;
    Ok(result)
}

/// Opens a run folder and makes sure that it holds this trial on these data.
fn reopen(path: &Path, trial: &Trial, common: &Common<'_>) -> Result<Folder> {
    let (folder, recipe, record) = Folder::take_up(path)?;
    let sources: Vec<_> = common.data.sources.iter().map(folder::SourceRecord::from).collect();
    let other = [
        (*recipe != *trial.recipe, "recipe"),
        (record.seed != trial.seed, "seed"),
        (record.sources != sources, "data set"),
        (record.limit != common.limit, "--limit"),
    ];
    match other.into_iter().find(|(differs, _)| *differs) {
        None => Ok(folder),
        Some((_, what)) => bail!(Error::Usage(format!(
            "{} already holds a run with another {what}; choose another --out, or delete that folder",
            path.display()
        ))),
    }
}
