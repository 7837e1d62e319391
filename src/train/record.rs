//! From the files of a run folder to what [`crate::report`] draws.
//!
//! What can be known of a run only at its end (confusion, mistakes, filters) is kept in `report.json`, so that a report needs
//! neither the data nor a device. Curves and histograms come from `history.csv`, `steps.csv` and `histograms.jsonl`, so that a
//! run that is still going, or was stopped, has a report too.

use super::event::Summary;
use super::folder::{EVENTS, Folder, HISTORY, RunRecord, STEPS};
use super::histograms::{self, LayerHistogram};
use super::model::Model;
use super::run::Outcome;
use crate::data::{DataSet, known};
use crate::error::Error;
use crate::layers::summary;
use crate::ops::activation::Activation;
use crate::plan::inspect::Kind;
use crate::plan::network::place_parameters;
use crate::recipe::{Recipe, Reduction, Validation};
use crate::report::filters::Filters;
use crate::report::histogram::HistogramGrid;
use crate::report::layers::LayerSeries;
use crate::report::plot::Curve;
use crate::report::sheet::Mistake;
use crate::report::{self, Table};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is known at the end of a run.
pub const REPORT: &str = "report.json";
/// The page of a run.
pub const PAGE: &str = "report.html";
/// The folder of a run's pictures.
pub const PICTURES: &str = "pictures";

/// Keeps what is known at the end of a run.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(folder: &Folder, outcome: &Outcome, data: &DataSet) -> Result<()> {
    let test = &data.test;
    let mistake = |mistake: &super::mistakes::Mistake| Mistake {
        pixels: test.images.rows(mistake.index..mistake.index + 1).to_vec(),
        height: test.images.height,
        width: test.images.width,
        label: mistake.label,
        answer: mistake.answer,
        probability: mistake.probability,
        index: mistake.index,
    };
    let run = report::Run {
        facts: results(&outcome.summary),
        summary: Some(layer_table(&outcome.model)?),
        class_names: known::class_names(&data.sources),
        confusion: outcome.evaluation.confusion(&test.labels, data.classes),
        mistakes: outcome.mistakes.iter().map(mistake).collect(),
        filters: filters(&outcome.model)?,
        ..report::Run::default()
    };
    folder.write(REPORT, serde_json::to_string(&run)?.as_bytes())
}

fn results(summary: &Summary) -> Vec<(String, String)> {
    let Summary {
        test_loss, test_accuracy, train_seconds, images_per_second, epochs, weights_sha256, ..
    } = summary;
    let facts = [
        ("Test accuracy", format!("{:.2} %", 100.0 * test_accuracy)),
        ("Test loss", format!("{test_loss:.4} nats")),
        ("Epochs", epochs.to_string()),
        ("Training time", format!("{train_seconds:.1} s, {images_per_second:.0} images/s")),
        ("Weights (SHA-256)", weights_sha256.clone()),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

fn layer_table(model: &Model) -> Result<Table> {
    let layers = model.layers()?;
    let mut table = Table::new(&["layer", "settings", "output", "parameters"]);
    layers.iter().for_each(|layer| {
        table.row(summary::row(layer));
    });
    table.row(["total", "", "", &summary::thousands(summary::count(&layers).total())]);
    Ok(table)
}

/// The weights of the first layer as images, where it sees the image itself.
fn filters(model: &Model) -> Result<Option<Filters>> {
    let layers = model.layers()?;
    let places = place_parameters(&layers);
    let Some(first) = layers.iter().find(|layer| !layer.parameters.is_empty()) else { return Ok(None) };
    let Some(place) = places.iter().find(|place| place.layer == first.name && place.name == "weight") else {
        return Ok(None);
    };
    let (height, width, outputs) = match place.shape[..] {
        [1, height, width, outputs] => (height, width, outputs),
        [inputs, outputs] if inputs == model.input.features() => {
            (model.input.height, model.input.width, outputs)
        }
        _ => return Ok(None),
    };
    let values = model.weights.of(place);
    let filter = |output: usize| values.iter().skip(output).step_by(outputs).copied().collect();
    let weights = (0..outputs).map(filter).collect();
    Ok(Some(Filters { layer: first.name.clone(), height, width, weights }))
}

/// Everything that a run folder tells.
///
/// # Errors
/// [`Error::BadFile`] when the folder holds no run, or a file of it is something else.
pub fn read(path: &Path, against: Against) -> Result<report::Run> {
    let (_, recipe, record) = Folder::open(path)?;
    let mut run = findings(path)?;
    let name =
        path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    run.name = name.unwrap_or_else(|| path.display().to_string());
    let history = rows(&path.join(HISTORY))?;
    if run.facts.is_empty() {
        run.facts.push(("State".into(), format!("not finished; {} epochs are done", history.len())));
    }
    run.facts.splice(0..0, origin(&recipe, &record));
    curves(&mut run, &recipe, path, &history, against)?;
    let histograms = histograms::read(path)?;
    run.activations = grid("What layers put out, epoch by epoch", Kind::Activation, &histograms);
    run.weights = grid("Weights, epoch by epoch", Kind::Weight, &histograms);
    run.gradients = grid("Gradients of the loss by the weights, epoch by epoch", Kind::Gradient, &histograms);
    run.layers = series(&histograms);
    Ok(run)
}

fn findings(path: &Path) -> Result<report::Run> {
    let path = path.join(REPORT);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(report::Run::default()) };
    let bad = |error| Error::BadFile(format!("{}: {error}; remove the file, or train anew", path.display()));
    Ok(serde_json::from_str(&text).map_err(bad)?)
}

fn origin(recipe: &Recipe, record: &RunRecord) -> Vec<(String, String)> {
    let mut facts = vec![("Recipe", recipe.name.clone()), ("Data", record.data.clone())];
    facts.extend(record.limit.map(|limit| ("Training images at most", limit.to_string())));
    facts.push(("Device", record.device.to_string()));
    facts.push(("Seed", record.seed.to_string()));
    facts.push(("Version", record.version.clone()));
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The rows of a CSV file of numbers; an empty cell is NaN, a missing file has none.
pub(crate) fn rows(path: &Path) -> Result<Vec<Vec<f64>>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Vec::new()) };
    let number = |cell: &str| if cell.is_empty() { Some(f64::NAN) } else { cell.parse().ok() };
    let row = |(number_of_line, line): (usize, &str)| {
        let numbers: Option<Vec<f64>> = line.split(',').map(number).collect();
        numbers.ok_or_else(|| {
            let message = format!("{}: line {} is not all numbers", path.display(), number_of_line + 2);
            Error::BadFile(format!("{message}; remove the file, or train anew")).into()
        })
    };
    text.lines().skip(1).enumerate().map(row).collect()
}

/// What loss and accuracy are drawn against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Epochs, as far as they go.
    Epochs,
    /// Steps where the recipe counts steps or there are few epochs, else epochs.
    WhatFits,
}

fn curves(
    run: &mut report::Run,
    recipe: &Recipe,
    path: &Path,
    history: &[Vec<f64>],
    against: Against,
) -> Result<()> {
    let sizes = Sizes::of(path);
    let by_step = against == Against::WhatFits && (recipe.training.steps.is_some() || history.len() < 3);
    let steps = if by_step { rows(&path.join(STEPS))? } else { Vec::new() };
    let scale = sizes.filter(|_| !steps.is_empty());
    run.x_label = if scale.is_some() { "step" } else { "epoch" }.to_owned();
    let x =
        |epoch: f64| scale.map_or(epoch, |sizes| (epoch * sizes.steps_per_epoch()).min(steps.len() as f64));
    let column = |column: usize| -> Vec<(f64, f64)> {
        history.iter().filter_map(|row| Some((x(*row.first()?), *row.get(column)?))).collect()
    };
    let validation = if recipe.data.validation == Validation::Test { "test" } else { "validation" };
    let named = |training: Vec<(f64, f64)>, other: Vec<(f64, f64)>| {
        let mut curves = vec![Curve::new("training", training)];
        if other.iter().any(|point| !point.1.is_nan()) {
            curves.push(Curve::new(validation, other));
        }
        curves.retain(|curve| !curve.points.is_empty());
        curves
    };
    let training_loss = match scale {
        Some(sizes) => sizes.mean_losses(&steps, recipe.training.loss),
        None => column(2),
    };
    run.loss = named(training_loss, column(4));
    run.accuracy = named(column(1), column(3));
    Ok(())
}

/// Images of an epoch and of a step.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    batch: usize,
}

impl Sizes {
    /// As the `start` event has them.
    fn of(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path.join(EVENTS)).ok()?;
        let start: serde_json::Value = serde_json::from_str(text.lines().next()?).ok()?;
        let size = |key: &str| usize::try_from(start.get(key)?.as_u64()?).ok().filter(|&size| size > 0);
        Some(Self { rows: size("rows")?, batch: size("batch_size")? })
    }

    fn steps_per_epoch(self) -> f64 {
        self.rows.div_ceil(self.batch) as f64
    }

    /// The mean loss of an image in each step, whatever the recipe reduces batches to.
    fn mean_losses(self, steps: &[Vec<f64>], reduction: Reduction) -> Vec<(f64, f64)> {
        let images = |step: usize| {
            let first = step % self.rows.div_ceil(self.batch) * self.batch;
            self.batch.min(self.rows - first)
        };
        let point = |(step, row): (usize, &Vec<f64>)| {
            let (rows, summed) = (images(step), reduction.divisor(images(step), self.batch) as f64);
            Some((*row.first()?, row.get(1)? * summed / rows as f64))
        };
        steps.iter().enumerate().filter_map(point).collect()
    }
}

/// Which tensors of a kind are shown: of weights and gradients the products', of outputs those of functions that bend, with
/// the images first and the logits last.
fn is_shown(one: &LayerHistogram, last_output: Option<&str>, bends: bool) -> bool {
    match one.kind {
        Kind::Weight | Kind::Gradient => one.tensor == "weight",
        Kind::Activation => {
            let end = one.layer == "input" || Some(one.layer.as_str()) == last_output;
            end || !bends || one.function != Activation::Linear
        }
    }
}

/// The lines to be shown of a kind, epoch by epoch.
fn shown(kind: Kind, all: &[LayerHistogram]) -> BTreeMap<usize, Vec<&LayerHistogram>> {
    let of_kind = || all.iter().filter(|one| one.kind == kind);
    let last = of_kind().next_back().map(|one| one.layer.as_str());
    let bends = of_kind().any(|one| one.function != Activation::Linear);
    let mut epochs: BTreeMap<usize, Vec<&LayerHistogram>> = BTreeMap::new();
    for one in of_kind().filter(|one| is_shown(one, last, bends)) {
        epochs.entry(one.epoch).or_default().push(one);
    }
    epochs
}

/// Rows are epochs, columns layers.
fn grid(title: &str, kind: Kind, all: &[LayerHistogram]) -> Option<HistogramGrid> {
    let epochs = shown(kind, all);
    let columns: Vec<String> = epochs.values().next()?.iter().map(|one| one.layer.clone()).collect();
    let row = |epoch: &usize| if *epoch == 0 { "untrained".to_owned() } else { format!("epoch {epoch}") };
    let cell = |found: &[&LayerHistogram], layer: &String| {
        found.iter().find(|one| one.layer == *layer).map(|one| one.histogram.clone())
    };
    let cells =
        epochs.values().map(|found| columns.iter().map(|layer| cell(found, layer)).collect()).collect();
    Some(HistogramGrid { title: title.to_owned(), rows: epochs.keys().map(row).collect(), columns, cells })
}

fn series(all: &[LayerHistogram]) -> Vec<LayerSeries> {
    let mut layers: Vec<LayerSeries> = Vec::new();
    for (epoch, found) in shown(Kind::Activation, all) {
        for one in found.into_iter().filter(|one| one.layer != "input") {
            let place = layers.iter().position(|series| series.layer == one.layer).unwrap_or_else(|| {
                layers.push(LayerSeries { layer: one.layer.clone(), ..LayerSeries::default() });
                layers.len() - 1
            });
            let (series, x) = (&mut layers[place], epoch as f64);
            series.mean.push((x, one.histogram.mean));
            series.deviation.push((x, one.histogram.deviation));
            series.dead.push((x, one.dead.unwrap_or(f64::NAN)));
        }
    }
    layers
}

/// Draws a run into its folder: pictures, and where asked for the page. Returns what was written.
///
/// # Errors
/// As [`read`]; when a file cannot be written.
pub fn draw(path: &Path, page: Option<&Path>) -> Result<Vec<PathBuf>> {
    let run = read(path, Against::WhatFits)?;
    let pictures = path.join(PICTURES);
    report::run::save(&pictures, &run.pictures())?;
    let mut written = vec![pictures];
    if let Some(page) = page {
        super::atomic::write(page, run.page().html().as_bytes())?;
        written.push(page.to_owned());
    }
    Ok(written)
}
