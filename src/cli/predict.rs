//! `predict`

use super::args::{DataArgs, DeviceArgs};
use crate::data::Images;
use crate::error::Error;
use crate::report::terminal;
use crate::train::engine::{DeviceData, Engine};
use crate::train::evaluation::softmax;
use crate::train::model::Model;
use anyhow::{Result, bail};
use clap::Args;
use std::path::PathBuf;

/// Flags of `predict`.
#[derive(Args)]
pub(super) struct Predict {
    /// The run folder, or a model file
    run: PathBuf,
    /// An image of the data set's test images, by its number; may be given several times
    #[arg(long, value_name = "N", required = true)]
    index: Vec<usize>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object for each picture
    #[arg(long)]
    json: bool,
}

impl Predict {
    pub(super) fn run(&self) -> Result<()> {
        let model = Model::of_run(&self.run)?;
        let data = self.data.load()?;
        let test = &data.test.images;
        let mut pixels = Vec::new();
        for &index in &self.index {
            if index >= test.count {
                bail!(Error::Usage(format!(
                    "--index {index} is past the end: the test set has {} images, 0 to {}",
                    test.count,
                    test.count - 1
                )));
            }
            pixels.extend_from_slice(test.rows(index..index + 1));
        }
        let images = Images::new("--index", self.index.len(), test.height, test.width, pixels)?;
        let (device, _) = self.device.find()?;
        let device_data = DeviceData::of_images(&images, &[]);
        let layers = model.layers()?;
        let mut engine =
            Engine::new(&model.recipe, &layers, model.classes, model.transform, &device_data, &device)?;
        engine.set_weights(&model.weights)?;
        let rows: Vec<u32> = (0..images.count as u32).collect();
        let mut text = String::new();
        for (logits, index) in engine.logits(&rows, model.classes)?.iter().zip(&self.index) {
            let probabilities = softmax(logits);
            let digit =
                (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
            let digit = digit.unwrap_or(0);
            if self.json {
                let image = format!("{}[{index}]", data.name);
                let line = serde_json::json!({
                    "schema": 1, "image": image, "digit": digit, "probabilities": probabilities, "warnings": [],
                });
                text.push_str(&format!("{line}\n"));
            } else {
                let label = data.test.labels[*index];
                if super::draws() {
                    let pixels = test.rows(*index..index + 1);
                    text.push_str(&terminal::digit(pixels, test.height, test.width, super::style()));
                }
                text.push_str(&format!(
                    "image {index}: {digit} ({:.2} %), label {label}\n",
                    100.0 * probabilities[digit]
                ));
            }
        }
        super::print(&text)
    }
}
