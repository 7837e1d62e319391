//! `data preview`

use crate::cli::args::{DataArgs, DeviceArgs};
use crate::data::{DataSet, Images, Split, known};
use crate::error::Error;
use crate::recipe::Recipe;
use crate::report::sheet::{Tile, contact};
use crate::report::{Theme, terminal};
use crate::rng::{Purpose, Stream};
use crate::train::atomic;
use crate::train::augmented::augmented;
use crate::train::engine::{DeviceData, Engine};
use crate::train::evaluation::softmax;
use crate::train::model::Model;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Most images of a sheet: more would be too large for a picture.
const MOST: usize = 2500;

/// Flags of `data preview`.
#[derive(Args)]
pub(super) struct Preview {
    /// A run folder or model file, whose predictions stand below the labels
    run: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    /// Which images
    #[arg(long, value_enum, default_value = "train")]
    split: Part,
    /// The first image
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "random")]
    first: usize,
    /// Images drawn at random by this seed, instead of the first ones
    #[arg(long, value_name = "SEED")]
    random: Option<u64>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 60)]
    count: usize,
    /// Training images as this recipe's [augment] changes them in the first epoch of seed 0
    #[arg(long, value_name = "NAME|FILE.toml", conflicts_with = "run")]
    augment: Option<String>,
    /// Only images that the run gets wrong
    #[arg(long, requires = "run")]
    wrong: bool,
    /// The picture, .png or .svg [default: <name>-<split>.png]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The colours of the picture
    #[arg(long, value_enum, default_value = "light")]
    theme: ThemeName,
    #[command(flatten)]
    device: DeviceArgs,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Train,
    Test,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ThemeName {
    Light,
    Dark,
}

/// An image of the sheet.
struct Shown {
    index: usize,
    /// Answer and probability.
    answer: Option<(usize, f64)>,
}

impl Preview {
    pub(super) fn run(&self) -> Result<()> {
        if self.count == 0 || self.count > MOST {
            bail!(Error::Usage(format!(
                "--count {} is out of range: a sheet has 1 to {MOST} images",
                self.count
            )));
        }
        let data = self.data.load()?;
        let split = match self.split {
            Part::Train => &data.train,
            Part::Test => &data.test,
        };
        let shown = self.choose(split)?;
        if shown.is_empty() {
            bail!(Error::Usage(
                "none of these images is wrong; look at others: --split, --first, --count".into()
            ));
        }
        let augmented =
            self.augment.as_ref().map(|recipe| self.augmented(recipe, split, &shown)).transpose()?;
        let split = augmented.as_ref().unwrap_or(split);
        let names = known::class_names(&data.sources);
        let path =
            self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}-{}.png", data.name, self.part())));
        self.save(&path, &data, split, &shown, &names)?;
        self.report(&path, split, &shown, &names)
    }

    /// The split with the shown images changed.
    fn augmented(&self, recipe: &str, split: &Split, shown: &[Shown]) -> Result<Split> {
        let recipe = Recipe::load(recipe)?;
        if self.split == Part::Test {
            bail!(Error::Usage("--augment changes training images alone; leave --split test out".into()));
        }
        if recipe.augment.is_off() {
            bail!(Error::Usage(format!(
                "the recipe {} has nothing on in [augment]; give one that has, such as cnn-best",
                recipe.name
            )));
        }
        let rows: Vec<u32> = shown.iter().map(|one| one.index as u32).collect();
        let changed = augmented(&split.images, &rows, &recipe.augment, 0, 0);
        let (mut split, size) = (split.clone(), changed.size());
        for (place, &row) in rows.iter().enumerate() {
            split.images.pixels[row as usize * size..][..size]
                .copy_from_slice(changed.rows(place..place + 1));
        }
        Ok(split)
    }

    fn part(&self) -> &'static str {
        match self.split {
            Part::Train => "train",
            Part::Test => "test",
        }
    }

    /// Which images, with their predictions if there is a run.
    fn choose(&self, split: &Split) -> Result<Vec<Shown>> {
        let total = split.images.count;
        if self.first >= total {
            bail!(Error::Usage(format!(
                "--first {} is past the end: there are {total} images, 0 to {}",
                self.first,
                total - 1
            )));
        }
        let mut indices: Vec<usize> = match self.random {
            Some(seed) => {
                let order = Stream::new(seed, Purpose::Shuffle, 0, 0).permutation(total);
                order.into_iter().map(|index| index as usize).collect()
            }
            None => (self.first..total).collect(),
        };
        let Some(run) = &self.run else {
            indices.truncate(self.count);
            return Ok(indices.into_iter().map(|index| Shown { index, answer: None }).collect());
        };
        if !self.wrong {
            indices.truncate(self.count);
        }
        let answers = self.predict(run, &split.images, &indices)?;
        let shown =
            indices.into_iter().zip(answers).map(|(index, answer)| Shown { index, answer: Some(answer) });
        Ok(shown.filter(|one| !self.wrong || one.is_wrong(split)).take(self.count).collect())
    }

    fn predict(
        &self,
        run: &std::path::Path,
        images: &Images,
        indices: &[usize],
    ) -> Result<Vec<(usize, f64)>> {
        let model = Model::of_run(run)?;
        if (images.height, images.width) != (model.input.height, model.input.width) {
            bail!(Error::BadFile(format!(
                "the images are {}x{}, and the model was trained on {}x{}; give the data set that it was trained on",
                images.height, images.width, model.input.height, model.input.width
            )));
        }
        let pixels = indices.iter().flat_map(|&index| images.rows(index..index + 1)).copied().collect();
        let images = Images::new("preview", indices.len(), images.height, images.width, pixels)?;
        let (device, _) = self.device.find()?;
        let device_data = DeviceData::of_images(&images, &[]);
        let layers = model.layers()?;
        let mut engine =
            Engine::new(&model.recipe, &layers, model.classes, model.transform, &device_data, &device)?;
        engine.set_weights(&model.weights)?;
        let rows: Vec<u32> = (0..images.count as u32).collect();
        let best = |logits: &Vec<f32>| {
            let probabilities = softmax(logits);
            let best =
                (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
            let best = best.unwrap_or(0);
            (best, probabilities[best])
        };
        Ok(engine.logits(&rows, model.classes)?.iter().map(best).collect())
    }

    fn save(
        &self,
        path: &std::path::Path,
        data: &DataSet,
        split: &Split,
        shown: &[Shown],
        names: &[String],
    ) -> Result<()> {
        let images = &split.images;
        let tiles: Vec<Tile<'_>> = shown
            .iter()
            .map(|one| Tile {
                pixels: images.rows(one.index..one.index + 1),
                height: images.height,
                width: images.width,
                lines: one.lines(split, names),
                marked: one.is_wrong(split),
            })
            .collect();
        let title =
            format!("{}, {} images", data.name, if self.split == Part::Train { "training" } else { "test" });
        let wrong = shown.iter().filter(|one| one.is_wrong(split)).count();
        let below = match &self.run {
            None => "below each: label, and number in the set".to_owned(),
            Some(_) => format!(
                "below each: label, answer and its probability, number in the set; {wrong} wrong in a frame"
            ),
        };
        let picture = contact(&title, &format!("{} of {}; {below}", shown.len(), images.count), &tiles, 10);
        let theme = match self.theme {
            ThemeName::Light => &Theme::LIGHT,
            ThemeName::Dark => &Theme::DARK,
        };
        let is_svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
        let bytes = if is_svg { picture.svg(theme).into_bytes() } else { picture.png(theme, 2.0)? };
        atomic::write(path, &bytes)
    }

    fn report(&self, path: &std::path::Path, split: &Split, shown: &[Shown], names: &[String]) -> Result<()> {
        if self.json {
            let images: Vec<serde_json::Value> = shown.iter().map(|one| one.json(split)).collect();
            let out = path.display().to_string();
            return crate::cli::print(&format!(
                "{}\n",
                serde_json::json!({ "schema": 1, "out": out, "images": images })
            ));
        }
        let mut text = String::new();
        if crate::cli::draws() {
            let images = &split.images;
            let digit = |one: &Shown| {
                terminal::digit(
                    images.rows(one.index..one.index + 1),
                    images.height,
                    images.width,
                    crate::cli::style(),
                )
            };
            let beside: Vec<String> =
                shown.iter().take((80 / (images.width + 2)).max(1)).map(digit).collect();
            text.push_str(&terminal::beside(&beside, 2));
            let labels: Vec<String> =
                shown.iter().take(beside.len()).map(|one| one.lines(split, names).join(", ")).collect();
            text.push_str(&format!("{}\n", labels.join("; ")));
        }
        text.push_str(&format!("written: {}\n", path.display()));
        crate::cli::print(&text)
    }
}

impl Shown {
    fn is_wrong(&self, split: &Split) -> bool {
        self.answer.is_some_and(|(answer, _)| answer != usize::from(split.labels[self.index]))
    }

    fn lines(&self, split: &Split, names: &[String]) -> Vec<String> {
        let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
        let label = name(usize::from(split.labels[self.index]));
        let number = format!("#{}", self.index);
        match self.answer {
            None => vec![label, number],
            Some((answer, share)) => {
                let note = format!("{:.1} %, {number}", 100.0 * share);
                vec![format!("label {label}"), format!("answer {}", name(answer)), note]
            }
        }
    }

    fn json(&self, split: &Split) -> serde_json::Value {
        let mut value = serde_json::json!({ "index": self.index, "label": split.labels[self.index] });
        if let (Some(object), Some((answer, probability))) = (value.as_object_mut(), self.answer) {
            object.insert("answer".into(), answer.into());
            object.insert("probability".into(), probability.into());
        }
        value
    }
}
