//! A fixed part of a sweep, so that a cluster's scheduler can spread it over machines, and putting the parts together.

use super::trial::{self, TrialResult};
use super::{Group, SCHEMA, Sweep};
use crate::error::Error;
use crate::train::atomic;
use crate::train::folder::SourceRecord;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Part `index` of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// The whole.
    pub const ALL: Self = Self { index: 1, of: 1 };

    /// Whether trial number `trial` (from 0) belongs to this part: every `of`-th does, so that seeds and slow settings spread.
    pub fn holds(self, trial: usize) -> bool {
        trial % self.of == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            _ => Err("write it as I/N with I from 1 to N, for example 2/3".into()),
        }
    }
}

/// What a sweep's folder says of itself, so that parts of different sweeps are not mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The name of the sweep.
    pub name: String,
    /// The files of the data set.
    pub sources: Vec<SourceRecord>,
    /// What `--limit` was.
    pub limit: Option<usize>,
    /// The rows of the table.
    pub groups: Vec<Group>,
    /// All trials, those of other parts too.
    pub trials: Vec<Planned>,
}

/// A trial in a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// The name of its run folder.
    pub name: String,
    /// Its group, by number.
    pub group: usize,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of the resolved recipe.
    pub recipe_sha256: String,
}

impl Manifest {
    /// Of a sweep on these data.
    ///
    /// # Errors
    /// None for recipes that were decoded.
    pub fn new(name: &str, sweep: &Sweep, sources: Vec<SourceRecord>, limit: Option<usize>) -> Result<Self> {
        let planned = |trial: &super::Trial| {
            let digest = Sha256::digest(trial.recipe.to_toml()?);
            let recipe_sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            anyhow::Ok(Planned {
                name: trial.name.clone(),
                group: trial.group,
                seed: trial.seed,
                recipe_sha256,
            })
        };
        let trials = sweep.trials.iter().map(planned).collect::<Result<_>>()?;
        Ok(Self {
            schema: SCHEMA,
            name: name.to_owned(),
            sources,
            limit,
            groups: sweep.groups.clone(),
            trials,
        })
    }

    /// Leaves it in the sweep's folder. Each part has a file of its own, since parts may share a folder.
    ///
    /// # Errors
    /// [`Error::Usage`] where the folder holds another sweep; when it cannot be written.
    pub fn write(&self, folder: &Path, shard: Shard) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}; choose another --out", folder.display()))?;
        if let Some(other) = find(folder)?
            && other != *self
        {
            bail!(Error::Usage(format!(
                "{} holds another sweep (other settings, data or --limit); choose another --out, or delete that folder",
                folder.display()
            )));
        }
        let name = match shard {
            Shard::ALL => "sweep.json".to_owned(),
            Shard { index, of } => format!("sweep-{index}-of-{of}.json"),
        };
        atomic::write(&folder.join(name), serde_json::to_string_pretty(self)?.as_bytes())
    }
}

/// The manifest in a folder, the first by name where there are several.
fn find(folder: &Path) -> Result<Option<Manifest>> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|error| {
            Error::BadFile(format!(
                "{}: cannot be read ({error}); give the folder of a sweep, which is its --out",
                folder.display()
            ))
        })?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.ends_with(".json") && (name == "sweep.json" || name.starts_with("sweep-"))
        })
        .collect();
    names.sort();
    let Some(path) = names.first() else { return Ok(None) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest = serde_json::from_str(&text)
        .map_err(|error| Error::BadFile(format!("{} is no sweep's manifest: {error}", path.display())))?;
    Ok(Some(manifest))
}

/// Puts the parts of a sweep together in `out`: their run folders are copied there, unless they are there already.
/// Returns the manifest and the result of every trial.
///
/// # Errors
/// [`Error::BadFile`] when a part is none, belongs to another sweep, or a trial is in no part.
pub fn merge(parts: &[PathBuf], out: &Path) -> Result<(Manifest, Vec<TrialResult>)> {
    let mut common: Option<(Manifest, &Path)> = None;
    for part in parts {
        let manifest = find(part)?.ok_or_else(|| {
            Error::BadFile(format!(
                "{} holds no part of a sweep; give the --out folders of gpu-mnist sweep --shard",
                part.display()
            ))
        })?;
        match &common {
            Some((first, path)) if *first != manifest => bail!(Error::BadFile(format!(
                "{} and {} are parts of different sweeps (other settings, data or --limit); merge parts of one",
                path.display(),
                part.display()
            ))),
            Some(_) => {}
            None => common = Some((manifest, part)),
        }
    }
    let Some((manifest, _)) = common else { bail!(Error::Usage("--merge takes one folder at least".into())) };
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    manifest.write(out, Shard::ALL)?;
    for planned in &manifest.trials {
        let folders = parts.iter().map(|part| part.join(&planned.name));
        let mut found = None;
        for folder in folders {
            if let Some(result) = trial::result(&folder)? {
                found = Some((folder, result));
                break;
            }
        }
        match found {
            Some((folder, result)) => {
                copy(&folder, &out.join(&planned.name))?;
                results.push(result);
            }
            None => missing.push(planned.name.as_str()),
        }
    }
    if let Some(first) = missing.first() {
        bail!(Error::BadFile(format!(
            "{} of {} trainings are in no part or not finished ({first} is the first); run their shards again, or all \
             that is left here: gpu-mnist sweep FILE.toml --out {}",
            missing.len(),
            manifest.trials.len(),
            out.display()
        )));
    }
    Ok((manifest, results))
}

/// Copies the files of a run folder, the result last, so that a folder with a result is whole.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.join(trial::RESULT).exists() {
        return Ok(());
    }
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    fs::create_dir_all(to).with_context(failed)?;
    let mut files: Vec<PathBuf> = fs::read_dir(from)
        .with_context(failed)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort_by_key(|path| path.ends_with(trial::RESULT));
    for file in files {
        let Some(name) = file.file_name() else { continue };
        fs::copy(&file, to.join(name)).with_context(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_is_in_one_part() {
        for of in 1..6 {
            let parts: Vec<Shard> = (1..=of).map(|index| Shard { index, of }).collect();
            assert!((0..20).all(|trial| parts.iter().filter(|part| part.holds(trial)).count() == 1));
        }
    }

    #[test]
    fn parts_are_written_from_one() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        for wrong in ["0/3", "4/3", "1/0", "1", "a/b", "1/2/3", "-1/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
