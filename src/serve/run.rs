//! The run that the page shows: its record, and its events as they are written.

use crate::error::Error;
use crate::train::folder::{EVENTS, Folder, MODEL};
use crate::train::model::Model;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of events in one answer.
const MOST_EVENTS: u64 = 1 << 20;

/// A run folder, whether its training is over or not, or a model file.
pub struct Watched {
    path: PathBuf,
}

impl Watched {
    /// Watches a run.
    ///
    /// # Errors
    /// [`Error::BadFile`] when there is neither a run nor a model that can be used.
    pub fn new(path: &Path) -> Result<Self> {
        let this = Self { path: path.to_owned() };
        if this.has_model() {
            Model::of_run(path)?;
        } else if path.is_dir() {
            Folder::open(path)?;
        } else {
            bail!(Error::BadFile(format!(
                "{} is no run folder and no model file; give the folder that `gpu-mnist train` printed",
                path.display()
            )));
        }
        Ok(this)
    }

    /// Whether there is something to draw for.
    pub(super) fn has_model(&self) -> bool {
        self.path.is_file() || self.path.join(MODEL).is_file()
    }

    /// The network.
    pub(super) fn model(&self) -> Result<Model> {
        Model::of_run(&self.path)
    }

    /// What the run is: its name and facts.
    pub(super) fn about(&self) -> Value {
        let name = self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        match Folder::open(&self.path) {
            Ok((_, recipe, record)) => json!({
                "name": name, "recipe": recipe.name, "description": recipe.description, "data": record.data,
                "seed": record.seed, "device": record.device, "watches": true,
            }),
            Err(_) => json!({ "name": name, "watches": false }),
        }
    }

    /// The whole lines of the events file from byte `from` on, and where the next ones will begin. A file that has become
    /// shorter is another: it is read from its beginning.
    pub(super) fn events(&self, from: u64) -> Value {
        let nothing = |next: u64| json!({ "next": next, "events": [], "model": self.has_model() });
        let Ok(mut file) = File::open(self.path.join(EVENTS)) else { return nothing(0) };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let from = if from > length { 0 } else { from };
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(from)).is_err()
            || file.take(MOST_EVENTS).read_to_end(&mut bytes).is_err()
        {
            return nothing(from);
        }
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let lines = bytes[..whole].split(|&byte| byte == b'\n');
        let events: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        json!({ "next": from + whole as u64, "first": from == 0, "events": events, "model": self.has_model() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_whole_lines_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let watched = Watched { path: folder.path().to_owned() };
        assert_eq!(watched.events(0)["next"], 0);
        let path = folder.path().join(EVENTS);
        std::fs::write(&path, "{\"step\":1}\nnot json\n{\"st").unwrap();
        let first = watched.events(0);
        assert_eq!(first["events"], json!([{ "step": 1 }]));
        assert_eq!(first["next"], 20);
        std::fs::write(&path, "{\"step\":1}\nnot json\n{\"step\":2}\n").unwrap();
        assert_eq!(watched.events(20)["events"], json!([{ "step": 2 }]));
        assert_eq!(watched.events(31)["events"], json!([]));
        // Another file, that is shorter.
        std::fs::write(&path, "{\"step\":9}\n").unwrap();
        let again = watched.events(31);
        assert_eq!((&again["first"], &again["events"]), (&json!(true), &json!([{ "step": 9 }])));
    }
}
