//! `evaluate`

use super::args::{DataArgs, DeviceArgs};
use crate::backend::device::Device;
use crate::data::DataSet;
use crate::error::Error;
use crate::train::engine::{DeviceData, Engine};
use crate::train::ensemble;
use crate::train::evaluation::{Evaluation, per_class};
use crate::train::model::Model;
use anyhow::{Result, bail};
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;

/// Flags of `evaluate`.
#[derive(Args)]
pub(super) struct Evaluate {
    /// The run folder, or a model file; of several, the probabilities are averaged
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Average over shifts of each image by at most so many pixels [1 if none is given]
    #[arg(long, value_name = "PIXELS", num_args = 0..=1, require_equals = true, default_value_t = 0,
        default_missing_value = "1", value_parser = clap::value_parser!(u32).range(0..=8))]
    tta: u32,
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
        let models = self.runs.iter().map(|run| Model::of_run(run)).collect::<Result<Vec<_>>>()?;
        let data = self.data.load()?;
        models.iter().try_for_each(|model| check_fit(model, &data))?;
        let classes = models[0].classes;
        if let Some((model, run)) = models.iter().zip(&self.runs).find(|(model, _)| model.classes != classes)
        {
            bail!(Error::BadFile(format!(
                "{} has {} classes, and {} has {classes}; average models of the same classes",
                run.display(),
                model.classes,
                self.runs[0].display()
            )));
        }
        let (device, _) = self.device.find()?;
        let evaluation = match models.as_slice() {
            [model] if self.tta == 0 => alone(model, &data, &device)?,
            models => ensemble::evaluate(models, &data.test, self.tta, &device)?,
        };
        let confusion = evaluation.confusion(&data.test.labels, classes);
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

/// One model on the images as they are.
fn alone(model: &Model, data: &DataSet, device: &Device) -> Result<Evaluation> {
    let device_data = DeviceData::of_images(&data.test.images, &data.test.labels);
    let layers = model.layers()?;
    let mut engine =
        Engine::new(&model.recipe, &layers, model.classes, model.transform, &device_data, device)?;
    engine.set_weights(&model.weights)?;
    engine.evaluate(&(0..data.test.images.count as u32).collect::<Vec<_>>())
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
