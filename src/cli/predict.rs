//! `predict`

use super::args::{DataArgs, DeviceArgs};
use super::console::eprint_line;
use crate::data::Images;
use crate::error::Error;
use crate::predict::{self, Invert, Options, Prepared, Stage};
use crate::report::terminal;
use crate::train::answer::{Answer, answers};
use crate::train::model::Model;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Below this probability an answer is a guess.
const UNSURE: f64 = 0.6;

/// Flags of `predict`.
#[derive(Args)]
#[group(skip)]
pub(super) struct Predict {
    /// The run folder, a model file, or `builtin` for the model that is part of the program
    run: PathBuf,
    /// Pictures of a handwritten digit: PNG, JPEG, WebP or BMP
    #[arg(value_name = "IMAGE", required_unless_present = "index")]
    pictures: Vec<PathBuf>,
    /// An image of the data set's test images, by its number; may be given several times
    #[arg(long, value_name = "N")]
    index: Vec<usize>,
    /// Read all digits of a picture, in lines from the top and from the left in each
    #[arg(long)]
    multi: bool,
    /// Write each stage of the preparation into this folder, as pictures
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// Whether pictures are dark on light and must be inverted
    #[arg(long, value_enum, default_value = "auto")]
    invert: InvertName,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object for each digit
    #[arg(long)]
    json: bool,
}

/// [`Invert`] as people name it.
#[derive(Clone, Copy, ValueEnum)]
enum InvertName {
    /// Find out
    Auto,
    /// Dark on light
    Yes,
    /// Light on dark already
    No,
}

/// A digit to be recognised, and how to speak of it.
struct Digit {
    /// The picture's file, or the data set and the image's number in it.
    image: String,
    /// The same for people.
    name: String,
    /// Which of the digits of its picture it is, from 1, and of how many.
    number: (usize, usize),
    label: Option<u8>,
    prepared: Prepared,
}

impl Predict {
    pub(super) fn run(&self) -> Result<()> {
        let model = Model::of_run(&self.run)?;
        let size = (model.input.height, model.input.width);
        let mut digits = self.of_data_set(size)?;
        let mut refused = Vec::new();
        for (i, path) in self.pictures.iter().enumerate() {
            match self.of_picture(i, path, size) {
                Ok(found) => digits.extend(found),
                Err(error) => refused.push(error),
            }
        }
        if !digits.is_empty() {
            self.recognise(&model, &digits)?;
        }
        // The last refusal ends the program with its exit code; those before it must be told here.
        let last = refused.pop();
        refused.iter().for_each(|error| eprint_line(&format!("error: {error:#}")));
        last.map_or(Ok(()), Err)
    }

    fn of_data_set(&self, (height, width): (usize, usize)) -> Result<Vec<Digit>> {
        if self.index.is_empty() {
            return Ok(Vec::new());
        }
        let data = self.data.load()?;
        let test = &data.test.images;
        if (test.height, test.width) != (height, width) {
            bail!(Error::BadFile(format!(
                "the model was trained on images of {height}x{width}, and those of {} are of {}x{}; give --data what it \
                 was trained on",
                data.name, test.height, test.width
            )));
        }
        let digit = |&index: &usize| {
            if index >= test.count {
                bail!(Error::Usage(format!(
                    "--index {index} is past the end: the test set has {} images, 0 to {}",
                    test.count,
                    test.count - 1
                )));
            }
            let prepared = Prepared {
                pixels: test.rows(index..index + 1).to_vec(),
                bounds: (0, 0, width as u32, height as u32),
                warnings: Vec::new(),
            };
            let label = Some(data.test.labels[index]);
            let (image, name) = (format!("{}[{index}]", data.name), format!("image {index}"));
            Ok(Digit { image, name, number: (1, 1), label, prepared })
        };
        self.index.iter().map(digit).collect()
    }

    fn of_picture(&self, number: usize, path: &Path, size: (usize, usize)) -> Result<Vec<Digit>> {
        let invert = match self.invert {
            InvertName::Auto => Invert::Auto,
            InvertName::Yes => Invert::Yes,
            InvertName::No => Invert::No,
        };
        let options = Options { invert, multi: self.multi, size };
        let image = path.display().to_string();
        let picture = predict::read(path)?;
        let mut stages = Vec::new();
        let found = predict::prepare(&picture, &options, self.explain.is_some().then_some(&mut stages));
        if let Some(folder) = &self.explain {
            // Pictures of one name from several folders must not overwrite each other.
            let several = self.pictures.len() > 1;
            let own = if several {
                folder.join(format!("{:02}-{}", number + 1, stem(path)))
            } else {
                folder.clone()
            };
            write_stages(&own, &stages)?;
        }
        let found = found.map_err(|error| Error::BadFile(format!("{image}: {error}")))?;
        let count = found.len();
        let digit = |(i, prepared)| Digit {
            image: image.clone(),
            name: if count == 1 { image.clone() } else { format!("{image}, digit {} of {count}", i + 1) },
            number: (i + 1, count),
            label: None,
            prepared,
        };
        Ok(found.into_iter().enumerate().map(digit).collect())
    }

    fn recognise(&self, model: &Model, digits: &[Digit]) -> Result<()> {
        let (height, width) = (model.input.height, model.input.width);
        let pixels = digits.iter().flat_map(|digit| &digit.prepared.pixels).copied().collect();
        let images = Images::new("pictures", digits.len(), height, width, pixels)?;
        let (device, _) = self.device.find()?;
        let answers = answers(model, &images, &device)?;
        let mut text = String::new();
        for (digit, answer) in digits.iter().zip(&answers) {
            let mut warnings = digit.prepared.warnings.clone();
            warnings.extend(doubt(answer));
            if self.json {
                text.push_str(&json(digit, answer, &warnings));
            } else {
                if super::draws() {
                    text.push_str(&terminal::digit(&digit.prepared.pixels, height, width, super::style()));
                }
                text.push_str(&told(digit, answer));
                let warned = |warning| eprint_line(&format!("warning: {}: {warning}", digit.name));
                warnings.into_iter().for_each(warned);
            }
        }
        if !self.json && self.multi {
            text.push_str(&read_together(digits, &answers));
        }
        super::print(&text)
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn write_stages(folder: &Path, stages: &[Stage]) -> Result<()> {
    let at = |path: &Path| {
        format!("--explain: cannot write {}; give a folder that can be written", path.display())
    };
    std::fs::create_dir_all(folder).with_context(|| at(folder))?;
    for stage in stages {
        let path = folder.join(format!("{}.png", stage.name));
        stage.image.save(&path).with_context(|| at(&path))?;
    }
    Ok(())
}

fn doubt(answer: &Answer) -> Option<String> {
    let ranked = answer.ranked();
    let share = |class: usize| 100.0 * answer.probabilities[class];
    let first = *ranked.first()?;
    let second = *ranked.get(1)?;
    (!(answer.probabilities[first] >= UNSURE)).then(|| {
        format!("the network is unsure: {first} ({:.0} %) or {second} ({:.0} %)", share(first), share(second))
    })
}

/// The answer, and what else it might be.
fn told(digit: &Digit, answer: &Answer) -> String {
    let share = |class: usize| 100.0 * answer.probabilities[class];
    let best = answer.digit();
    let mut text = format!("{}: {best} ({:.2} %", digit.name, share(best));
    for class in answer.ranked().into_iter().skip(1).take(2) {
        let _ = write!(text, "; {class} {:.2} %", share(class));
    }
    text.push(')');
    if let Some(label) = digit.label {
        let _ = write!(text, ", label {label}");
    }
    text.push('\n');
    text
}

/// A line for each picture: its digits one after the other.
fn read_together(digits: &[Digit], answers: &[Answer]) -> String {
    let mut text = String::new();
    for (digit, answer) in digits.iter().zip(answers) {
        let (number, count) = digit.number;
        if number == 1 {
            let _ = write!(text, "{}:", digit.image);
        }
        let _ = write!(text, " {}{}", answer.digit(), if number == count { "\n" } else { "" });
    }
    text
}

fn json(digit: &Digit, answer: &Answer, warnings: &[String]) -> String {
    let (left, top, width, height) = digit.prepared.bounds;
    let line = serde_json::json!({
        "schema": 1,
        "image": digit.image,
        "digit": answer.digit(),
        "probabilities": answer.probabilities,
        "warnings": warnings,
        "bounds": [left, top, width, height],
    });
    format!("{line}\n")
}
