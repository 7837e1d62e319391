//! Everything there is to see of a run, as pictures and as a page.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::axis::{Scale, Unit};
use super::confusion;
use super::filters::{self, Filters};
use super::histogram::{self, HistogramGrid};
use super::html::{Page, Part, Section};
use super::layers::{self, LayerSeries};
use super::picture::Picture;
use super::plot::{self, Curve, LinePlot};
use super::sheet::{self, Mistake};
use super::table::Table;
use super::theme::Theme;

/// What is known of a run. What is empty is not shown. It can be kept as JSON, where NaN becomes `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The name of the run, usually that of its folder.
    pub name: String,
    /// What one would want to know first: recipe, device, seed, test accuracy.
    pub facts: Vec<(String, String)>,
    /// The layer table.
    pub summary: Option<Table>,
    /// `epoch` or `step`.
    pub x_label: String,
    /// Training loss first, then validation loss.
    pub loss: Vec<Curve>,
    /// Training accuracy first, then validation accuracy.
    pub accuracy: Vec<Curve>,
    /// Names of the classes; a class without is called by its number.
    pub class_names: Vec<String>,
    /// `[label][answer]`, of the test set.
    pub confusion: Vec<Vec<u64>>,
    /// The worst first.
    pub mistakes: Vec<Mistake>,
    /// Of the first layer.
    pub filters: Option<Filters>,
    /// Of layers' outputs.
    pub activations: Option<HistogramGrid>,
    /// Of layers' weights.
    pub weights: Option<HistogramGrid>,
    /// Of the loss by the weights.
    pub gradients: Option<HistogramGrid>,
    /// Mean, deviation and dead units.
    pub layers: Vec<LayerSeries>,
}

impl Run {
    /// All pictures, each with the beginning of its files' names.
    pub fn pictures(&self) -> Vec<(&'static str, Picture)> {
        let mut pictures = Vec::new();
        if !self.loss.is_empty() || !self.accuracy.is_empty() {
            pictures.push(("history", self.history()));
        }
        if !self.confusion.is_empty() {
            let picture = confusion::draw("Confusion matrix", &self.confusion, &self.class_names);
            pictures.push(("confusion", picture));
        }
        if !self.mistakes.is_empty() {
            let title = format!("The {} worst mistakes", self.mistakes.len());
            pictures.push(("mistakes", sheet::mistakes(&title, &self.mistakes, &self.class_names)));
        }
        if let Some(found) = &self.filters {
            pictures.push(("filters", filters::draw("What the first layer looks for", found)));
        }
        let grids =
            [("activations", &self.activations), ("weights", &self.weights), ("gradients", &self.gradients)];
        for (name, grid) in grids {
            pictures.extend(grid.as_ref().map(|grid| (name, histogram::draw(grid))));
        }
        if !self.layers.is_empty() {
            pictures.push(("layers", layers::draw("Layers over time", "epoch", &self.layers)));
        }
        pictures
    }

    fn history(&self) -> Picture {
        let plots: Vec<LinePlot> =
            [("Loss", "cross-entropy (nats)", &self.loss), ("Accuracy", "share right", &self.accuracy)]
                .into_iter()
                .filter(|(_, _, curves)| !curves.is_empty())
                .map(|(title, y_label, curves)| LinePlot {
                    title: title.to_owned(),
                    x_label: self.x_label.clone(),
                    y_label: y_label.to_owned(),
                    curves: curves.iter().enumerate().map(dash_all_but_the_first).collect(),
                    scale: if title == "Loss" { Scale::Auto } else { Scale::Linear },
                    unit: if title == "Loss" { Unit::Number } else { Unit::Share },
                })
                .collect();
        plot::draw(
            &format!("Loss and accuracy of {}", self.name),
            "the number beside a name is its curve's last value",
            &plots,
            2,
        )
    }

    /// The page of this run.
    pub fn page(&self) -> Page {
        let mut sections = Vec::new();
        let mut section = |title: &str, parts: Vec<Part>| {
            if !parts.is_empty() {
                sections.push(Section { title: title.to_owned(), parts });
            }
        };
        let tables = [facts(&[self]), self.summary.clone().unwrap_or_default()];
        section(
            "The run",
            tables.into_iter().filter(|table| !table.rows.is_empty()).map(Part::Table).collect(),
        );
        for (name, picture) in self.pictures() {
            let mut parts = vec![Part::Picture(Box::new(picture))];
            if name == "confusion" {
                parts.push(Part::Table(class_table(&self.confusion, &self.class_names)));
            }
            section(heading(name), parts);
        }
        Page { title: self.name.clone(), sections }
    }
}

/// Training and validation are told apart without colour too.
fn dash_all_but_the_first((index, curve): (usize, &Curve)) -> Curve {
    if index == 0 { curve.clone() } else { curve.clone().dashed() }
}

fn heading(name: &str) -> &'static str {
    match name {
        "history" => "History",
        "confusion" => "Confusion",
        "mistakes" => "Mistakes",
        "filters" => "Filters",
        "activations" => "Activations",
        "weights" => "Weights",
        "gradients" => "Gradients",
        _ => "Layers",
    }
}

/// Precision, recall and F1 of each class, as a table.
pub fn class_table(counts: &[Vec<u64>], names: &[String]) -> Table {
    let mut table = Table::new(&["class", "images", "precision", "recall", "F1"]);
    let share = |value: f64| if value.is_nan() { "–".to_owned() } else { format!("{value:.4}") };
    for (class, figures) in confusion::per_class(counts).iter().enumerate() {
        let name = confusion::class_name(names, class);
        let count = figures.count.to_string();
        table.row([name, count, share(figures.precision), share(figures.recall), share(figures.f1)]);
    }
    table
}

/// The facts of all runs, a column for each.
fn facts(runs: &[&Run]) -> Table {
    let mut table = Table::new(&[""]);
    if runs.len() > 1 {
        table.headers.extend(runs.iter().map(|run| run.name.clone()));
    } else {
        table.headers.push(String::new());
    }
    let mut seen = BTreeSet::new();
    for (key, _) in runs.iter().flat_map(|run| &run.facts) {
        if seen.insert(key) {
            let fact = |run: &&Run| {
                run.facts.iter().find(|fact| fact.0 == *key).map_or_else(String::new, |fact| fact.1.clone())
            };
            table.row([key.clone()].into_iter().chain(runs.iter().map(fact)));
        }
    }
    table
}

/// Several runs beside each other: their facts in one table, their curves in one chart for each figure, their
/// pictures next to each other.
pub fn compare(runs: &[Run]) -> Page {
    let all: Vec<&Run> = runs.iter().collect();
    let mut sections = vec![Section { title: "The runs".to_owned(), parts: vec![Part::Table(facts(&all))] }];
    if let Some(picture) = compared_history(runs) {
        sections.push(Section { title: "History".to_owned(), parts: vec![Part::Picture(Box::new(picture))] });
    }
    let pictures: Vec<_> = runs.iter().map(|run| (&run.name, run.pictures())).collect();
    for kind in ["confusion", "mistakes", "filters", "activations", "weights", "gradients", "layers"] {
        let beside: Vec<(String, Part)> = pictures
            .iter()
            .filter_map(|(name, pictures)| Some((*name, pictures.iter().find(|picture| picture.0 == kind)?)))
            .map(|(name, (_, picture))| (name.clone(), Part::Picture(Box::new(picture.clone()))))
            .collect();
        if !beside.is_empty() {
            sections.push(Section { title: heading(kind).to_owned(), parts: vec![Part::Beside(beside)] });
        }
    }
    Page { title: format!("{} runs beside each other", runs.len()), sections }
}

/// A chart for each kind of curve, with a curve for each run; `None` if no run has any.
pub fn compared_history(runs: &[Run]) -> Option<Picture> {
    type Kind = (&'static str, &'static str, fn(&Run) -> Option<&Curve>);
    let kinds: [Kind; 4] = [
        ("Training loss", "cross-entropy (nats)", |run| run.loss.first()),
        ("Training accuracy", "share right", |run| run.accuracy.first()),
        ("Validation loss", "cross-entropy (nats)", |run| run.loss.get(1)),
        ("Validation accuracy", "share right", |run| run.accuracy.get(1)),
    ];
    let x_label = if runs.iter().all(|run| run.x_label == "step") { "step" } else { "epoch" };
    let plots: Vec<LinePlot> = kinds
        .into_iter()
        .map(|(title, y_label, curve)| LinePlot {
            title: title.to_owned(),
            x_label: x_label.to_owned(),
            y_label: y_label.to_owned(),
            curves: runs
                .iter()
                .filter_map(|run| Some(Curve::new(&run.name, curve(run)?.points.clone())))
                .collect(),
            scale: if title.ends_with("loss") { Scale::Auto } else { Scale::Linear },
            unit: if title.ends_with("loss") { Unit::Number } else { Unit::Share },
        })
        .filter(|plot| !plot.curves.is_empty())
        .collect();
    (!plots.is_empty()).then(|| {
        plot::draw("History", "one curve a run; the number beside its name is the last value", &plots, 2)
    })
}

/// Writes each picture into `folder`, which is made if need be, as `<name>-light.svg`, `<name>-dark.svg`, `<name>-light.png` and
/// `<name>-dark.png`.
///
/// # Errors
/// If the folder or a file cannot be written, or a picture is too large for memory.
pub fn save(folder: &Path, pictures: &[(&str, Picture)]) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot be made; check that there is room", folder.display()))?;
    let write = |name: String, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| {
            format!("{}: cannot be written; check that the folder exists and has room", path.display())
        })
    };
    for (name, picture) in pictures {
        for theme in Theme::ALL {
            write(format!("{name}-{}.svg", theme.name), picture.svg(theme).as_bytes())?;
            write(format!("{name}-{}.png", theme.name), &picture.png(theme, 2.0)?)?;
        }
    }
    Ok(())
}
