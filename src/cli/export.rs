//! `export`

use super::args::DataArgs;
use crate::error::Error;
use crate::export::{onnx, pytorch, web};
use crate::train::atomic;
use crate::train::folder::{Folder, MODEL};
use crate::train::model::Model;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Flags of `export`.
#[derive(Args)]
pub(super) struct Export {
    /// The run folder, or a model file
    run: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// Where to write it [default: in the run folder]
    #[arg(long, value_name = "FILE|DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// An ONNX file that takes the data set's bytes, [batch, 1, height, width]
    Onnx,
    /// The weights for PyTorch; stdout gets the lines of Python that build the network and load them
    Safetensors,
    /// A folder with a page that recognises drawn digits and trains on WebGPU; a slice of --data goes with it
    Web,
}

impl Export {
    pub(super) fn run(&self) -> Result<()> {
        let model = Model::of_run(&self.run)?;
        let out = self.out.clone().unwrap_or_else(|| self.default_out());
        match self.format {
            Format::Onnx => {
                self.write(&out, &onnx::to_bytes(&model)?)?;
                super::print(&format!("wrote {}\n", out.display()))
            }
            Format::Safetensors => {
                self.write(&out, &pytorch::weights(&model)?)?;
                super::console::eprint_line(&format!("wrote {}; to load it in PyTorch:", out.display()));
                super::print(&pytorch::script(&model, &out.display().to_string())?)
            }
            Format::Web => self.web(&model, &out),
        }
    }

    /// In the run folder, or beside the model file.
    fn default_out(&self) -> PathBuf {
        let folder = match self.run.is_dir() {
            true => self.run.as_path(),
            false => self.run.parent().unwrap_or(Path::new("")),
        };
        folder.join(match self.format {
            Format::Onnx => "model.onnx",
            Format::Safetensors => "pytorch.safetensors",
            Format::Web => "web",
        })
    }

    /// Writes a file, but not over the model that it comes from, which holds more.
    fn write(&self, out: &Path, bytes: &[u8]) -> Result<()> {
        let model = if self.run.is_dir() { self.run.join(MODEL) } else { self.run.clone() };
        let is_model = || Ok::<_, std::io::Error>(out.canonicalize()? == model.canonicalize()?);
        if is_model().unwrap_or(false) {
            bail!(Error::Usage(format!("{} is the model itself; choose another --out", out.display())));
        }
        if out.is_dir() {
            bail!(Error::Usage(format!("{0} is a folder; give a file: --out {0}/NAME", out.display())));
        }
        atomic::write(out, bytes)
    }

    fn web(&self, model: &Model, out: &Path) -> Result<()> {
        let occupied = out.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        if out.is_file() || (occupied && !out.join("plan.json").is_file()) {
            bail!(Error::Usage(format!(
                "{} holds something else than an exported page; choose a new folder with --out",
                out.display()
            )));
        }
        let data = self.data.load()?;
        super::evaluate::check_fit(model, &data)?;
        // A model without its run has no seed; what is random in the page is then that of seed 0.
        let seed = Folder::open(&self.run).map_or(0, |(_, _, record)| record.seed);
        for file in web::files(model, &data, seed)? {
            let path = out.join(&file.path);
            let folder = path.parent().unwrap_or(out);
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}; choose another --out", folder.display()))?;
            atomic::write(&path, &file.bytes)?;
        }
        super::print(&format!(
            "wrote {0}; serve it with any static file server, such as: python3 -m http.server --directory {0}\n",
            out.display()
        ))
    }
}
