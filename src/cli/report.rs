//! `report`

use crate::report::run::{compare, compared_history, save};
use crate::train::atomic;
use crate::train::record::{self, Against};
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};

/// The page of several runs, where nobody names one.
const COMPARISON: &str = "comparison.html";

/// Flags of `report`.
#[derive(Args)]
pub(super) struct Report {
    /// Run folders, finished or not; several are laid beside each other
    #[arg(required = true)]
    run: Vec<PathBuf>,
    /// The page [default: report.html in the run folder; for several runs ./comparison.html]
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

impl Report {
    pub(super) fn run(&self) -> Result<()> {
        let written = match &self.run[..] {
            [run] => {
                let page = self.out.clone().unwrap_or_else(|| run.join(record::PAGE));
                record::draw(run, Some(&page))?
            }
            runs => several(runs, self.out.as_deref().unwrap_or(Path::new(COMPARISON)))?,
        };
        let written: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        super::print(&if self.json {
            format!("{}\n", serde_json::json!({ "schema": 1, "written": written }))
        } else {
            written.iter().map(|path| format!("written: {path}\n")).collect()
        })
    }
}

/// The page of several runs, and beside it their curves as pictures.
fn several(paths: &[PathBuf], page: &Path) -> Result<Vec<PathBuf>> {
    let read = |against| paths.iter().map(|path| record::read(path, against)).collect::<Result<Vec<_>>>();
    let mut runs = read(Against::WhatFits)?;
    if runs.iter().any(|run| run.x_label != runs[0].x_label) {
        runs = read(Against::Epochs)?;
    }
    atomic::write(page, compare(&runs).html().as_bytes())?;
    let mut written = vec![page.to_owned()];
    if let Some(picture) = compared_history(&runs) {
        let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stem = page.file_stem().unwrap_or_default().to_string_lossy();
        save(folder, &[(&stem, picture)])?;
        written.push(folder.join(format!("{stem}-light.svg")));
    }
    Ok(written)
}
