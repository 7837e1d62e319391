//! Benchmarks: the device's own ceilings, each op at the shapes of each recipe, whole training steps, and the time to
//! an accuracy.
//!
//! The way down: [`run`] makes a [`Report`]; [`ceilings`], [`ops`] and [`steps`] measure its three parts with [`measure`];
//! [`stage`] holds a network's calls so that each runs by itself on real data; [`compare`] holds two reports
//! against each other; [`time_to`] trains whole networks.
//!
//! **Invariants:** nothing is measured that was only submitted: every time ends when the device is done. Nothing here
//! names an op, but [`ceilings`] the three that exist for it.

pub mod ceilings;
pub mod compare;
pub mod measure;
pub mod ops;
pub mod report;
pub mod stage;
pub mod steps;
pub mod time_to;

use crate::backend::device::Device;
use crate::data::DataSet;
use crate::layers::{self, ResolvedLayer};
use crate::plan::network::Network;
use crate::plan::optimizer::corrected_rate;
use crate::recipe::Recipe;
use crate::rng::{Purpose, Stream};
use crate::train::engine::{DeviceData, Engine, EpochPlace, Weights};
use anyhow::Result;
use measure::Effort;
use report::{Machine, Report, SCHEMA};

/// The seed of everything random in benchmarks; times do not depend on it.
const SEED: u64 = 1;

/// What is to be measured, and how.
pub struct Options<'a> {
    /// The recipes, measured one after the other.
    pub recipes: &'a [Recipe],
    /// The data that they train on.
    pub data: &'a DataSet,
    /// The device.
    pub device: &'a Device,
    /// How long.
    pub effort: Effort,
    /// Goes into the report.
    pub machine: Machine,
    /// Goes into the report.
    pub date: String,
}

/// Measures everything. `progress` is told what comes next.
///
/// # Errors
/// When a recipe does not fit the data, or the device fails.
pub fn run(options: Options<'_>, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    let Options { recipes, data, device, effort, machine, date } = options;
    progress("the device's ceilings");
    let ceilings = ceilings::measure(device, &effort)?;
    let device_data = DeviceData::of(data);
    let (mut ops, mut steps) = (Vec::new(), Vec::new());
    for recipe in recipes {
        let subject = Subject { recipe, data, device_data: &device_data, device };
        let of_recipe = ops::measure(&subject, &ceilings, &effort, progress)?;
        progress(&format!("{}: whole steps", recipe.name));
        steps.push(steps::measure(&subject, &ceilings, &of_recipe, &effort)?);
        ops.extend(of_recipe);
    }
    Ok(Report {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        date,
        quick: effort.quick,
        machine,
        device: device.info(),
        clock: ceilings.clock,
        ceilings: ceilings.figures,
        ops,
        steps,
    })
}

/// A recipe on a device.
pub struct Subject<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The data that it trains on.
    pub data: &'a DataSet,
    /// The same, as devices take it.
    pub device_data: &'a DeviceData,
    /// The device.
    pub device: &'a Device,
}

impl Subject<'_> {
    /// The recipe's network with its first weights on the device, at the start of an epoch; `add` may extend its plan.
    ///
    /// # Errors
    /// When the recipe does not fit the data, or the device fails.
    pub fn open(&self, add: impl FnOnce(&mut Network)) -> Result<(Engine, Epoch)> {
        let Self { recipe, data, device_data, device } = self;
        let layers: Vec<ResolvedLayer> = layers::resolve(recipe, device_data.shape(), data.classes)?;
        let rows = data.train.images.count;
        let transform = recipe.data.scaling.transform(&data.train.images, 0..rows);
        let mut engine = Engine::with_plan(
            recipe,
            &layers,
            data.classes,
            transform,
            device_data,
            device,
            |network, _| {
                add(network);
            },
        )?;
        engine.set_weights(&Weights::initial(&layers, &engine.network.parameters, SEED))?;
        let epoch = Epoch::new(recipe, rows, engine.batch_size());
        epoch.start(&mut engine)?;
        Ok((engine, epoch))
    }
}

/// An epoch that can be started again and again.
pub struct Epoch {
    order: Vec<u32>,
    schedule: Vec<f32>,
    /// Its steps.
    pub steps: usize,
}

impl Epoch {
    fn new(recipe: &Recipe, rows: usize, batch_size: usize) -> Self {
        let steps = rows.div_ceil(batch_size);
        let rate = recipe.optimizer.learning_rate();
        let rates = |step| [rate as f32, corrected_rate(&recipe.optimizer, rate, step) as f32];
        Self {
            order: Stream::new(SEED, Purpose::Shuffle, 0, 0).permutation(rows),
            schedule: (0..steps as u64).flat_map(rates).collect(),
            steps,
        }
    }

    /// Puts the engine at the epoch's first step.
    ///
    /// # Errors
    /// When the device fails.
    pub fn start(&self, engine: &mut Engine) -> Result<()> {
        let place = EpochPlace { epoch: 0, step: 0, global_step: 0 };
        engine.start_epoch(place, SEED, &self.order, &self.schedule)
    }
}
