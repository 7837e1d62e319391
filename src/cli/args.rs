//! Flags that several commands share.

use crate::backend::device::{Device, Wanted};
use crate::backend::gpu::Api;
use crate::data::DataSet;
use crate::ops::DeviceClass;
use crate::ops::matrices::Factors;
use crate::recipe::{Overrides, Recipe};
use anyhow::Result;
use clap::{Args, ValueEnum};

/// The recipe that is used when none is named.
pub(super) const DEFAULT_RECIPE: &str = "cnn-fast";

/// A backend as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BackendName {
    /// A hardware GPU if there is one, else the CPU
    Auto,
    /// The CPU backend
    Cpu,
    /// Any GPU, software rasterisers included
    Gpu,
    /// Vulkan
    Vulkan,
    /// Metal
    Metal,
    /// Direct3D 12
    Dx12,
    /// OpenGL
    Gl,
}

impl BackendName {
    fn wanted(self) -> Wanted {
        match self {
            Self::Auto => Wanted::Auto,
            Self::Cpu => Wanted::Cpu,
            Self::Gpu => Wanted::Gpu(Api::Any),
            Self::Vulkan => Wanted::Gpu(Api::Vulkan),
            Self::Metal => Wanted::Gpu(Api::Metal),
            Self::Dx12 => Wanted::Gpu(Api::Dx12),
            Self::Gl => Wanted::Gpu(Api::Gl),
        }
    }
}

/// Where to run.
#[derive(Args)]
pub(super) struct DeviceArgs {
    /// Where to run
    #[arg(long, value_enum, default_value = "auto", env = "GPU_MNIST_BACKEND")]
    pub(super) backend: BackendName,
    /// Which GPU: its number in `devices`, or part of its name
    #[arg(long, value_name = "INDEX|NAME")]
    adapter: Option<String>,
    /// Threads of the CPU backend [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Run the kernels of this device class instead of the device's own, on a GPU
    #[arg(long, value_enum)]
    class: Option<DeviceClass>,
    /// On GPUs that offer them, sum over workgroups by subgroups, in an order that is the device's choice
    #[arg(long)]
    subgroups: bool,
    /// On GPUs that offer it, keep activations in half precision: half the memory for them, and rounded
    #[arg(long)]
    f16: bool,
    /// On GPUs that offer them, make dense products and convolutions by cooperative matrices (tensor cores), of factors in
    /// this precision [default: f32 where it is offered, else f16]
    #[arg(long, value_name = "f32|f16", value_enum, num_args = 0..=1, require_equals = true)]
    cooperative_matrices: Option<Option<Factors>>,
}

impl DeviceArgs {
    /// The device, and a line that says why it is this one.
    pub(super) fn find(&self) -> Result<(Device, String)> {
        let threads = self.threads.map(usize::from);
        let (device, why) = Device::find(self.backend.wanted(), self.adapter.clone(), threads)?;
        let device = if let Some(class) = self.class { device.with_class(class)? } else { device };
        let device = if self.subgroups { device.with_subgroups()? } else { device };
        let device = if self.f16 { device.with_half_activations()? } else { device };
        let device = match self.cooperative_matrices {
            Some(factors) => device.with_matrices(factors)?,
            None => device,
        };
        Ok((device, why))
    }
}

/// What to train on.
#[derive(Args)]
pub(super) struct DataArgs {
    /// `mnist` (built in), a folder of IDX files, or an .npz file
    #[arg(long, value_name = "mnist|FOLDER|FILE.npz", env = "GPU_MNIST_DATA_DIR", default_value = "mnist")]
    pub(super) data: String,
}

impl DataArgs {
    /// The data set.
    pub(super) fn load(&self) -> Result<DataSet> {
        DataSet::load(&self.data)
    }
}

/// A recipe and changes to it.
#[derive(Args)]
pub(super) struct RecipeArgs {
    /// A shipped recipe or a TOML file
    #[arg(long, alias = "model", value_name = "NAME|FILE.toml", default_value = DEFAULT_RECIPE)]
    pub(super) recipe: String,
    #[command(flatten)]
    pub(super) changes: ChangeArgs,
}

/// Changes to a recipe.
#[derive(Args)]
pub(super) struct ChangeArgs {
    /// Change any field of the recipe; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Times through the training set
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Images a step
    #[arg(long, value_name = "N")]
    batch_size: Option<u64>,
    /// The optimiser's step size
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// sgd, adam, adamw or rmsprop
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// The last share of the training set, held back for validation (as Keras does)
    #[arg(long, value_name = "SHARE")]
    validation_split: Option<f64>,
    /// The activation of every hidden layer
    #[arg(long, value_name = "NAME")]
    activation: Option<String>,
    /// The initialiser of every layer with weights
    #[arg(long, value_name = "NAME")]
    initializer: Option<String>,
    /// Batch norm behind every hidden layer, or none
    #[arg(long, value_name = "true|false", action = clap::ArgAction::Set)]
    batch_norm: Option<bool>,
    /// The rate of every dropout layer
    #[arg(long, value_name = "RATE")]
    dropout: Option<f64>,
}

impl RecipeArgs {
    /// The recipe with the changes.
    pub(super) fn load(&self) -> Result<Recipe> {
        let mut recipe = Recipe::load(&self.recipe)?;
        recipe.apply(&self.changes.overrides())?;
        Ok(recipe)
    }
}

impl ChangeArgs {
    /// As the library takes them.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides {
            epochs: self.epochs,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            optimizer: self.optimizer.clone(),
            validation_split: self.validation_split,
            activation: self.activation.clone(),
            initializer: self.initializer.clone(),
            batch_norm: self.batch_norm,
            dropout: self.dropout,
            set: self.set.clone(),
        }
    }
}
