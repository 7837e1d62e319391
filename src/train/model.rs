//! The model file: weights with PyTorch's names and layouts, and everything needed to rebuild the network.

use super::builtin::BUILTIN;
use super::tensors::{self, Tensor, Tensors};
use super::{atomic, engine::Weights};
use crate::data::PixelTransform;
use crate::error::{Error, reason};
use crate::layers::{self, ResolvedLayer, Shape};
use crate::plan::emit::ParameterPlace;
use crate::recipe::Recipe;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The format that this program writes.
const FORMAT: u32 = 1;

/// Labels are bytes.
const MOST_CLASSES: usize = 256;

/// What the metadata key holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// 1
    pub format: u32,
    /// The program's version.
    pub version: String,
    /// The resolved recipe, TOML.
    pub recipe: String,
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// Classes.
    pub classes: usize,
    /// From bytes to numbers.
    pub transform: PixelTransform,
}

/// A network with its weights, and what it expects of pictures.
#[derive(Clone, Debug)]
pub struct Model {
    /// How it was trained.
    pub recipe: Recipe,
    /// One image.
    pub input: Shape,
    /// Classes.
    pub classes: usize,
    /// From bytes to numbers.
    pub transform: PixelTransform,
    /// The weights, in this program's layout.
    pub weights: Weights,
}

impl Model {
    /// The network's layers.
    ///
    /// # Errors
    /// When the recipe does not fit the images or classes.
    pub fn layers(&self) -> Result<Vec<ResolvedLayer>> {
        layers::resolve(&self.recipe, self.input, self.classes)
    }

    /// The weights in PyTorch's layout, in the order of the layers.
    ///
    /// # Errors
    /// As [`Model::layers`].
    pub fn tensors(&self) -> Result<Vec<Tensor>> {
        let places = crate::plan::network::place_parameters(&self.layers()?);
        Ok(places.iter().map(|place| to_pytorch(place, self.weights.of(place))).collect())
    }

    /// The bytes of the model file; the same model gives the same bytes.
    ///
    /// # Errors
    /// As [`Model::layers`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = Metadata {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            recipe: self.recipe.to_toml()?,
            input: [self.input.channels, self.input.height, self.input.width],
            classes: self.classes,
            transform: self.transform,
        };
        tensors::to_bytes(&metadata, &self.tensors()?)
    }

    /// Writes the model file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::write(path, &self.to_bytes()?)
    }

    /// Reads a model file; no other file is opened.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it is not one, naming what is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        Self::parse(&path.display().to_string(), &tensors::read_file(path)?)
    }

    /// [`Model::load`] from memory; `name` begins every message.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let (metadata, tensors) = tensors::parse(name, bytes)?;
        Self::rebuild(metadata, tensors)
            .map_err(|error| Error::BadFile(format!("{name}: {}", reason(&error))).into())
    }

    fn rebuild(metadata: Metadata, mut tensors: Tensors) -> Result<Self> {
        if metadata.format != FORMAT {
            bail!(
                "the model has format {}, and this version of gpu-mnist reads format {FORMAT}; use the version that made \
                 it ({})",
                metadata.format,
                metadata.version
            );
        }
        metadata.transform.check()?;
        let recipe = Recipe::from_toml(&metadata.recipe, "of the model file")?;
        let [channels, height, width] = metadata.input;
        let input = Shape { channels, height, width };
        if channels != 1 || input.features() == 0 || input.features() > layers::MAX_VALUES {
            bail!("images of {input} are not what this program takes, expected one channel; train it anew");
        }
        if !(1..=MOST_CLASSES).contains(&metadata.classes) {
            bail!(
                "{} classes are not what this program takes, expected 1 to {MOST_CLASSES}; train it anew",
                metadata.classes
            );
        }
        let layers = layers::resolve(&recipe, input, metadata.classes)?;
        let places = crate::plan::network::place_parameters(&layers);
        let weights = collect(&places, &mut tensors)?;
        if let Some(extra) = tensors.keys().next() {
            bail!(
                "the tensor {extra:?} belongs to no layer of the recipe; give the file as gpu-mnist wrote it"
            );
        }
        Ok(Self { recipe, input, classes: metadata.classes, transform: metadata.transform, weights })
    }

    /// Reads `model.safetensors` of a run folder, or a model file itself; [`BUILTIN`] is the model that is part of the
    /// program.
    ///
    /// # Errors
    /// [`Error::BadFile`] when there is none or it is not one.
    pub fn of_run(run: &Path) -> Result<Self> {
        if run == Path::new(BUILTIN) {
            return super::builtin::load();
        }
        let path = if run.is_dir() { run.join(super::folder::MODEL) } else { run.to_owned() };
        if !path.is_file() {
            bail!(Error::BadFile(format!(
                "{} holds no {}; give the folder of a finished run, as `gpu-mnist train` prints it at its end",
                run.display(),
                super::folder::MODEL
            )));
        }
        Self::load(&path)
    }
}

/// SHA-256 of the weights: all trained values, then all statistics, little-endian f32.
pub fn weights_sha256(weights: &Weights) -> String {
    let mut hash = Sha256::new();
    for value in weights.parameters.iter().chain(&weights.statistics) {
        hash.update(value.to_le_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// PyTorch's name and shape: outputs come first, and batch norm's gamma and beta are weight and bias.
fn pytorch_name_and_shape(place: &ParameterPlace) -> (String, Vec<usize>) {
    let name = match place.name {
        "gamma" => "weight",
        "beta" => "bias",
        "running_variance" => "running_var",
        name => name,
    };
    let mut shape = place.shape.clone();
    shape.rotate_right(1);
    (format!("{}.{name}", place.layer), shape)
}

fn to_pytorch(place: &ParameterPlace, values: &[f32]) -> Tensor {
    let (name, shape) = pytorch_name_and_shape(place);
    let outputs = shape.first().copied().unwrap_or(1);
    Tensor { name, shape, values: transpose(values, values.len() / outputs, outputs) }
}

fn from_pytorch(place: &ParameterPlace, values: &[f32]) -> Vec<f32> {
    let outputs = place.shape.last().copied().unwrap_or(1);
    transpose(values, outputs, values.len() / outputs)
}

/// Row-major `rows` x `columns` to `columns` x `rows`.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

/// Copies weights of the same names and shapes from another model: where training starts from.
///
/// # Errors
/// [`Error::BadFile`] when the networks differ.
pub fn initial_weights(path: &Path, places: &[ParameterPlace]) -> Result<Weights> {
    let path = if path.is_dir() { path.join(super::folder::MODEL) } else { path.to_owned() };
    let (_, mut tensors): (serde::de::IgnoredAny, _) = tensors::read(&path)?;
    collect(places, &mut tensors)
        .context(
            "the network of this recipe is not that of the weights; use the recipe they were trained with",
        )
        .map_err(|error| Error::BadFile(format!("{}: {}", path.display(), reason(&error))).into())
}

/// Takes the weights out of a file's tensors. All tensors are there before memory is taken for the network: what a recipe
/// in a stranger's file asks for is no reason to.
fn collect(places: &[ParameterPlace], tensors: &mut Tensors) -> Result<Weights> {
    let mut taken = Vec::new();
    for place in places {
        let (name, shape) = pytorch_name_and_shape(place);
        let values = tensors::take(tensors, &name, &shape)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            bail!("value {at} of the tensor {name} is {}, which is not finite; train it anew", values[at]);
        }
        taken.push(values);
    }
    let mut weights = Weights::zeros(places);
    for (place, values) in places.iter().zip(&taken) {
        weights.of_mut(place).copy_from_slice(&from_pytorch(place, values));
    }
    Ok(weights)
}
