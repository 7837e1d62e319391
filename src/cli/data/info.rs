//! `data info`

use crate::cli::args::DataArgs;
use crate::data::{Summary, catalogue, known};
use crate::layers::summary::thousands;
use crate::report::{Table, terminal};
use anyhow::Result;
use clap::Args;

/// Flags of `data info`.
#[derive(Args)]
pub(super) struct Info {
    #[command(flatten)]
    data: DataArgs,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(super) fn run(&self) -> Result<()> {
        let summary = Summary::of(&self.data.load()?);
        crate::cli::print(&if self.json {
            let mut value = serde_json::json!({ "schema": 1 });
            let figures = serde_json::to_value(&summary)?;
            if let (Some(value), Some(figures)) = (value.as_object_mut(), figures.as_object()) {
                value.extend(figures.clone());
            }
            format!("{value}\n")
        } else {
            text(&summary)
        })
    }
}

fn text(summary: &Summary) -> String {
    let Summary { name, classes, height, width, train, test, sources } = summary;
    let unicode = terminal::unicode();
    let mut splits = Table::new(&["split", "images", "mean", "deviation", "min", "max"]);
    for (split, figures) in [("training", train), ("test", test)] {
        let moments = [format!("{:.3}", figures.mean), format!("{:.3}", figures.deviation)];
        let [mean, deviation] = moments;
        let (min, max) = (figures.min.to_string(), figures.max.to_string());
        splits.row([split.to_owned(), thousands(figures.count), mean, deviation, min, max]);
    }
    let names = known::class_names(sources);
    let mut counts = Table::new(&["class", "name", "training", "test"]);
    for class in 0..*classes {
        let count = |per_class: &[usize]| thousands(per_class.get(class).copied().unwrap_or(0));
        let name = names.get(class).cloned().unwrap_or_else(|| class.to_string());
        counts.row([class.to_string(), name, count(&train.per_class), count(&test.per_class)]);
    }
    let mut files = Table::new(&["file", "bytes", "published as", "SHA-256"]);
    for source in sources {
        let known = known::identify(&source.sha256).map(|file| format!("{} {}", file.data_set, file.name));
        let known = known.or_else(|| {
            catalogue::identify(&source.sha256).map(|(set, file)| format!("{set} {}", file.name))
        });
        let known = known.unwrap_or_else(|| "not on record".to_owned());
        files.row([source.name.clone(), thousands(source.bytes as usize), known, source.sha256.clone()]);
    }
    format!(
        "{name}: images of {height}x{width}, {classes} classes; pixels from 0 (paper) to 255 (ink)\n\n{}\n{}\n{}",
        splits.text(unicode),
        counts.text(unicode),
        files.text(unicode)
    )
}
