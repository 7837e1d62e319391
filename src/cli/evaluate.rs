//! `evaluate`

use super::args::{DataArgs, DeviceArgs};
use crate::data::DataSet;
use crate::error::Error;
use crate::train::engine::{DeviceData, Engine};
use crate::train::evaluation::{Evaluation, per_class};
use crate::train::model::Model;
use anyhow::{Result, bail};
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;

/// Flags of `evaluate`.
#[derive(Args)]
pub(super) struct Evaluate {
    /// The run folder, or a model file
    run: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Fail with exit code 6 if the test accuracy is below
    #[arg(long, value_name = "X")]
    min_accuracy: Option<f64>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub(super) fn run(&self) -> Result<()> {
        let model = Model::of_run(&self.run)?;
        let data = self.data.load()?;
        check_fit(&model, &data)?;
        let (device, _) = self.device.find()?;
        let device_data = DeviceData::of_images(&data.test.images, &data.test.labels);
        let layers = model.layers()?;
        let mut engine =
            Engine::new(&model.recipe, &layers, model.classes, model.transform, &device_data, &device)?;
        engine.set_weights(&model.weights)?;
        let rows: Vec<u32> = (0..data.test.images.count as u32).collect();
        let evaluation = engine.evaluate(&rows)?;
        let confusion = evaluation.confusion(&data.test.labels, model.classes);
        super::print(&if self.json { json(&evaluation, &confusion) } else { text(&evaluation, &confusion) })?;
        let accuracy = evaluation.accuracy();
        match self.min_accuracy {
            // Written so that NaN fails.
            Some(least) if !(accuracy >= least) => bail!(Error::Threshold(format!(
                "the test accuracy {accuracy:.4} is below --min-accuracy {least}; train longer or with another recipe"
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether the model can see these images.
pub(super) fn check_fit(model: &Model, data: &DataSet) -> Result<()> {
    let images = &data.test.images;
    if (images.height, images.width) != (model.input.height, model.input.width) {
        bail!(Error::BadFile(format!(
            "the images of {} are {}x{}, and the model was trained on {}x{}; give the data set that it was trained on",
            data.name, images.height, images.width, model.input.height, model.input.width
        )));
    }
    if data.classes > model.classes {
        bail!(Error::BadFile(format!(
            "{} has {} classes, and the model knows {}; give the data set that it was trained on",
            data.name, data.classes, model.classes
        )));
    }
    Ok(())
}

fn json(evaluation: &Evaluation, confusion: &[Vec<u64>]) -> String {
    let value = serde_json::json!({
        "schema": 1,
        "test_loss": evaluation.loss(),
        "test_accuracy": evaluation.accuracy(),
        "images": evaluation.answers.len(),
        "confusion": confusion,
        "classes": per_class(confusion),
    });
    format!("{value}\n")
}

fn text(evaluation: &Evaluation, confusion: &[Vec<u64>]) -> String {
    let mut text = format!(
        "test accuracy {:.4} ({} of {}), test loss {:.4}\n\nconfusion (rows: label, columns: answer)\n      ",
        evaluation.accuracy(),
        evaluation.right,
        evaluation.answers.len(),
        evaluation.loss()
    );
    for class in 0..confusion.len() {
        let _ = write!(text, "{class:>6}");
    }
    for (label, row) in confusion.iter().enumerate() {
        let _ = write!(text, "\n{label:>6}");
        for count in row {
            let _ = write!(text, "{count:>6}");
        }
    }
    text.push_str("\n\n class  precision  recall      f1  images\n");
    for (class, figures) in per_class(confusion).iter().enumerate() {
        let _ = writeln!(
            text,
            "{class:>6}     {:.4}  {:.4}  {:.4}  {:>6}",
            figures.precision, figures.recall, figures.f1, figures.images
        );
    }
    text
}
