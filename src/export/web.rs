//! A network as a folder for any static file server: a page that recognises drawn digits and goes on training.
//!
//! The page has no network of its own. `plan.json` is the plan, the training step and the evaluation step call by call;
//! `shaders/` holds the kernels' text as the GPU backend compiles it, for hardware and for software adapters;
//! `assets/web/export/interpreter.js` is a loop over the calls, as [`crate::backend::gpu`] is one. Weights, data and learning
//! rates are little-endian words in the layout of the plan's buffers.

use crate::data::{DataSet, Images};
use crate::ops::{DeviceClass, Kernel, Op, shader};
use crate::plan::network::{self, Description, Feed, Network, Target};
use crate::plan::optimizer::corrected_rate;
use crate::plan::{BufferId, ProgramId, Reuse, Slots};
use crate::recipe::Recipe;
use crate::train::engine::{DeviceData, Weights};
use crate::train::model::Model;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Training images that the page gets: enough to see it learn, and 1.6 MB.
const TRAIN_IMAGES: usize = 2000;
/// Test images.
const TEST_IMAGES: usize = 500;
/// The most images of an evaluation step.
const EVALUATION_BATCH: usize = 256;
/// Epochs whose learning rates are written out; later ones have those of the last.
const EPOCHS: usize = 50;

/// The page's own files.
const PAGE: [(&str, &str); 10] = [
    ("index.html", include_str!("../../assets/web/export/index.html")),
    ("app.js", include_str!("../../assets/web/export/app.js")),
    ("network.js", include_str!("../../assets/web/export/network.js")),
    ("interpreter.js", include_str!("../../assets/web/export/interpreter.js")),
    ("frame.js", include_str!("../../assets/web/export/frame.js")),
    ("style.css", include_str!("../../assets/web/shared/style.css")),
    ("pad.js", include_str!("../../assets/web/shared/pad.js")),
    ("bars.js", include_str!("../../assets/web/shared/bars.js")),
    ("chart.js", include_str!("../../assets/web/shared/chart.js")),
    ("pixels.js", include_str!("../../assets/web/shared/pixels.js")),
];

/// A file of the folder.
pub struct File {
    /// Its path in the folder, with `/`.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The files of the folder, for a slice of the first images of `data`. Random choices while training in the page are those
/// of `seed`.
///
/// # Errors
/// As [`Model::layers`].
pub fn files(model: &Model, data: &DataSet, seed: u64) -> Result<Vec<File>> {
    let slice = slice(data);
    let device_data = DeviceData::of(&slice);
    let layers = model.layers()?;
    let images = device_data.count();
    // One image more than there is data: the place of the drawn digit.
    let rows = images + 1;
    let batch_size = model.recipe.training.batch_size.min(device_data.train_count());
    // A name only: each call carries its kernels for both classes of device.
    let target = Target::Gpu(DeviceClass::Gpu);
    let Model { recipe, input, classes, transform, .. } = model;
    let network = network::build(&Description {
        batch_size,
        evaluation_batch_size: EVALUATION_BATCH.min(rows),
        ..Description::of_recipe(recipe, &layers, *input, *classes, *transform, rows, target)
    });
    let mut shaders = Shaders::default();
    let plan = json!({
        "schema": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "recipe": model.recipe.name,
        "data": data.name,
        "input": { "height": model.input.height, "width": model.input.width },
        "classes": model.classes,
        "train_images": device_data.train_count(),
        "images": images,
        "batch_size": batch_size,
        "evaluation_batch_size": EVALUATION_BATCH.min(rows),
        "schedule_epochs": EPOCHS,
        "loss": model.recipe.training.loss,
        "seed": [seed as u32, (seed >> 32) as u32],
        "slots": Slots::assign(&network.plan, Reuse::ByLifetime).words,
        "buffers": buffers(&network),
        "roles": roles(&network),
        "programs": {
            "train": program(&network, network.train, &mut shaders),
            "evaluate": program(&network, network.evaluate, &mut shaders),
        },
    });
    let initial = Weights::initial(&layers, &network.parameters, seed);
    let page = PAGE.iter().map(|(path, text)| File { path: (*path).into(), bytes: text.as_bytes().into() });
    let mut files: Vec<File> = page.collect();
    files.push(File { path: "plan.json".into(), bytes: serde_json::to_vec(&plan)? });
    files.extend(shaders.files.into_iter().map(|(path, text)| File { path, bytes: text.into_bytes() }));
    let mut words = |path: &str, words: &[u32]| {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        files.push(File { path: path.into(), bytes });
    };
    words("weights.bin", bytemuck::cast_slice(&flat(&model.weights)));
    words("initial.bin", bytemuck::cast_slice(&flat(&initial)));
    words(
        "schedule.bin",
        bytemuck::cast_slice(&schedule(&model.recipe, device_data.train_count(), batch_size)),
    );
    words("images.bin", device_data.words());
    words("labels.bin", device_data.labels());
    Ok(files)
}

/// The first images of both sets.
fn slice(data: &DataSet) -> DataSet {
    let mut slice = data.clone();
    for (set, most) in [(&mut slice.train, TRAIN_IMAGES), (&mut slice.test, TEST_IMAGES)] {
        let Images { count, height, width, ref mut pixels } = set.images;
        let kept = count.min(most);
        pixels.truncate(kept * height * width);
        set.images.count = kept;
        set.labels.truncate(kept);
    }
    slice
}

/// Parameters, then statistics.
fn flat(weights: &Weights) -> Vec<f32> {
    weights.parameters.iter().chain(&weights.statistics).copied().collect()
}

/// The pairs of rates of each step, as the training loop makes them.
fn schedule(recipe: &Recipe, rows: usize, batch_size: usize) -> Vec<f32> {
    let per_epoch = rows.div_ceil(batch_size.max(1)) as u64;
    let total = per_epoch * EPOCHS as u64;
    let base = recipe.optimizer.learning_rate();
    (0..total)
        .flat_map(|step| {
            let rate = recipe.schedule.learning_rate(base, step, per_epoch, total);
            [rate as f32, corrected_rate(&recipe.optimizer, rate, step) as f32]
        })
        .collect()
}

fn buffers(network: &Network) -> Vec<Value> {
    let slots = Slots::assign(&network.plan, Reuse::ByLifetime);
    let buffers = network.plan.buffers.iter().zip(slots.of);
    buffers.map(|(b, slot)| json!({ "name": b.name, "words": b.words, "slot": slot })).collect()
}

/// Which buffers the page writes and reads.
fn roles(network: &Network) -> Value {
    let ids = |ids: &[BufferId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    let feed = |feed: &Feed| {
        json!({
            "order": feed.order.0, "control": feed.control.0, "image_loss": feed.image_loss.0,
            "outcome": feed.outcome.0, "losses": feed.losses.0, "hits": feed.hits.0,
        })
    };
    json!({
        "images": network.images.0,
        "labels": network.labels.0,
        "schedule": network.schedule.0,
        "parameters": network.shared.parameters.0,
        "statistics": network.shared.statistics.0,
        "moments": ids(&network.moments),
        "logits": network.logits.0,
        "train": feed(&network.train_feed),
        "evaluate": feed(&network.evaluate_feed),
    })
}

fn program(network: &Network, program: ProgramId, shaders: &mut Shaders) -> Vec<Value> {
    let calls = &network.plan.programs[program.0].calls;
    let call = |call: &crate::plan::Call| {
        let mut kernel = |class| {
            let kernel = call.op.kernel(&call.params, class);
            json!({ "shader": shaders.path(call.op, &kernel), "grid": kernel.grid })
        };
        let access: Vec<String> =
            call.op.bindings().iter().map(|b| format!("{:?}", b.access).to_lowercase()).collect();
        json!({
            "place": call.place,
            "op": call.op.name(),
            "params": call.params,
            "buffers": call.buffers.iter().map(|id| id.0).collect::<Vec<_>>(),
            "access": access,
            "gpu": kernel(DeviceClass::Gpu),
            "software": kernel(DeviceClass::Software),
        })
    };
    calls.iter().map(call).collect()
}

/// The texts of kernels, each once.
#[derive(Default)]
struct Shaders {
    files: Vec<(String, String)>,
    paths: HashMap<String, String>,
    variants: HashMap<&'static str, usize>,
}

impl Shaders {
    fn path(&mut self, op: &dyn Op, kernel: &Kernel) -> String {
        let text = shader::expand(op, kernel);
        if let Some(path) = self.paths.get(&text) {
            return path.clone();
        }
        let variant = self.variants.entry(op.name()).or_insert(0);
        *variant += 1;
        let path = format!("shaders/{}-{variant}.wgsl", op.name());
        self.files.push((path.clone(), text.clone()));
        self.paths.insert(text, path.clone());
        path
    }
}
