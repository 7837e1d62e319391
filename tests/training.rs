//! Training as a whole, on slices of MNIST: it learns, repeats itself to the bit, does the same on every device, and heeds
//! every field of a recipe.

mod common;

use common::gpu;
use gpu_mnist::backend::device::Device;
use gpu_mnist::data::DataSet;
use gpu_mnist::recipe::{Initializer, Recipe};
use gpu_mnist::train::engine::Weights;
use gpu_mnist::train::model::{Model, initial_weights, weights_sha256};
use gpu_mnist::train::run::{Job, Outcome, run};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

static MNIST: LazyLock<DataSet> = LazyLock::new(|| DataSet::embedded().unwrap());

/// The first images of MNIST, and of its test set.
fn slice(train: usize, test: usize) -> DataSet {
    let mut data = MNIST.clone();
    data.limit(train).unwrap();
    data.test.images.count = test;
    data.test.images.pixels.truncate(test * 784);
    data.test.labels.truncate(test);
    data
}

fn train_from(
    recipe: &Recipe,
    data: &DataSet,
    device: &Device,
    seed: u64,
    initial: Option<Weights>,
) -> Outcome {
    let stop = AtomicBool::new(false);
    let job = Job {
        recipe,
        data,
        device,
        seed,
        initial,
        checkpoint: None,
        folder: None,
        log_every: 0,
        checkpoint_steps: 0,
        checkpoint_seconds: f64::INFINITY,
        stop: &stop,
    };
    run(job, &mut ()).unwrap()
}

fn train(recipe: &Recipe, data: &DataSet, device: &Device) -> Outcome {
    train_from(recipe, data, device, 3, None)
}

const CPU: Device = Device::Cpu { threads: 2 };

/// A shipped recipe with changes.
fn preset(name: &str, changes: &[&str]) -> Recipe {
    let mut recipe = Recipe::preset(name).unwrap();
    changes.iter().for_each(|change| recipe.apply_set(change).unwrap());
    recipe
}

/// A recipe of 784 -> 16 -> 10 and these lines.
fn small(lines: &str) -> Recipe {
    let layers = "layers = [{ type = 'dense', units = 16, activation = 'relu' }, { type = 'dense', units = 'classes' }]";
    Recipe::from_toml(&format!("name = 'small'\n{layers}\n{lines}"), "small").unwrap()
}

/// Everything that a run decides, and no time.
fn fingerprint(outcome: &Outcome) -> String {
    let epochs = outcome.history.iter().map(|e| (e.loss, e.accuracy, e.val_loss, e.val_accuracy));
    format!("{} {:?} {:?}", outcome.summary.weights_sha256, outcome.losses, epochs.collect::<Vec<_>>())
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

// --------------------------------------------------------------------------------------------------------------------

#[test]
fn every_optimizer_and_kind_of_network_learns() {
    let data = slice(2000, 500);
    let length = "training.epochs=2";
    let recipes = [
        preset("mlp-128-128", &[length]),
        preset("mlp-128-128", &[length, "optimizer.name=\"sgd\"", "optimizer.learning_rate=0.5"]),
        preset(
            "mlp-128-128",
            &[length, "optimizer.name=\"sgd\"", "optimizer.learning_rate=0.05", "optimizer.momentum=0.9"],
        ),
        preset("mlp-128-128", &[length, "optimizer.name=\"adamw\""]),
        preset("mlp-128-128", &[length, "optimizer.name=\"rmsprop\""]),
        preset("mlp-128-128", &[length, "training.clip_norm=0.5"]),
        preset("mlp-16-16", &["training.epochs=4"]),
        preset("mlp-50x100", &["training.epochs=4", "training.batch_size=32", "layers.1.times=5"]),
        preset("softmax", &["training.steps=100"]),
        preset("cnn-16", &[length, "training.batch_size=32"]),
    ];
    for recipe in recipes {
        let outcome = train(&recipe, &data, &CPU);
        let tenth = outcome.losses.len() / 10;
        let (first, last) =
            (mean(&outcome.losses[..tenth]), mean(&outcome.losses[outcome.losses.len() - tenth..]));
        let accuracy = outcome.summary.test_accuracy;
        println!(
            "{:<12} {:?}: loss {first:.3} -> {last:.3}, accuracy {accuracy}",
            recipe.name, recipe.optimizer
        );
        assert!(last < 0.6 * first, "{} {:?}: {first} -> {last}", recipe.name, recipe.optimizer);
        // All right is as suspicious as all wrong.
        assert!(accuracy > 0.6 && accuracy < 1.0, "{} {:?}: {accuracy}", recipe.name, recipe.optimizer);
    }
}

/// One recipe of every kind, short enough for a test; batches are ragged.
fn short() -> Vec<Recipe> {
    let length = ["training.epochs=1", "training.batch_size=32"];
    let with = |name: &str, more: &[&str]| preset(name, &[&length[..], more].concat());
    vec![
        with("mlp-128-128", &[]),
        with("mlp-16-16", &["optimizer.name=\"rmsprop\"", "training.clip_norm=0.5"]),
        with("mlp-50x100", &["layers.1.times=3"]),
        preset("softmax", &["training.steps=25", "training.batch_size=48"]),
        with("cnn-16-36", &["layers.0.filters=5", "layers.2.filters=7"]),
    ]
}

#[test]
fn any_number_of_threads_yields_the_same_bits() {
    let data = slice(1000, 100);
    for recipe in short() {
        let runs = [1, 2, 3].map(|threads| fingerprint(&train(&recipe, &data, &Device::Cpu { threads })));
        assert_eq!(runs[0], runs[1], "{}: 1 and 2 threads", recipe.name);
        assert_eq!(runs[0], runs[2], "{}: 1 and 3 threads", recipe.name);
    }
}

#[test]
fn a_gpu_repeats_itself_to_the_bit_and_follows_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let data = slice(1000, 100);
    for recipe in short() {
        let (first, second) = (train(&recipe, &data, &gpu), train(&recipe, &data, &gpu));
        assert_eq!(fingerprint(&first), fingerprint(&second), "{}", recipe.name);
        let cpu = train(&recipe, &data, &CPU);
        assert!(first.losses.len() >= 20, "{}", recipe.name);
        let mut worst = 0.0_f64;
        for (step, (gpu, cpu)) in first.losses.iter().zip(&cpu.losses).take(20).enumerate() {
            let difference = (gpu - cpu).abs() / cpu.abs();
            assert!(difference <= 1e-4, "{}, step {step}: {gpu} on the GPU, {cpu} on the CPU", recipe.name);
            worst = worst.max(difference);
        }
        println!("{}: the first losses differ by {worst:.1e} at most", recipe.name);
    }
}

#[test]
fn the_order_of_images_comes_from_the_seed_and_the_epoch() {
    let data = slice(200, 20);
    let still =
        "optimizer = { name = 'sgd', learning_rate = 0.0 }\ntraining = { epochs = 2, batch_size = 50, ";
    let shuffled = small(&format!("{still}shuffle = true }}"));
    let straight = small(&format!("{still}shuffle = false }}"));
    // The same first weights for all, so that only the order can differ.
    let start = train(&straight, &data, &CPU).model.weights;
    let losses = |recipe: &Recipe, seed| train_from(recipe, &data, &CPU, seed, Some(start.clone())).losses;
    let one = losses(&shuffled, 1);
    assert_eq!(one, losses(&shuffled, 1));
    assert_ne!(one, losses(&shuffled, 2));
    assert_ne!(one[..4], one[4..], "every epoch has an order of its own");
    assert!((mean(&one[..4]) - mean(&one[4..])).abs() < 1e-5, "and the same images");
    let plain = losses(&straight, 1);
    assert_eq!(plain, losses(&straight, 2));
    assert_eq!(plain[..4], plain[4..]);
    assert!((mean(&plain) - mean(&one)).abs() < 1e-5);
}

#[test]
fn the_ragged_last_batch_is_trained_on_and_counted() {
    let data = slice(33, 20);
    let text = |rate: f64, size: usize| {
        format!(
            "optimizer = {{ name = 'sgd', learning_rate = {rate:?} }}\ntraining = {{ epochs = 1, batch_size = {size}, shuffle = false }}"
        )
    };
    let recipe = small(&text(0.1, 16));
    let outcome = train(&recipe, &data, &CPU);
    assert_eq!(outcome.losses.len(), 3);
    let mut other = data.clone();
    other.train.labels[32] = (other.train.labels[32] + 1) % 10;
    let changed = train(&recipe, &other, &CPU);
    assert_eq!(outcome.losses[..2], changed.losses[..2]);
    assert_ne!(outcome.losses[2], changed.losses[2]);
    assert_ne!(outcome.summary.weights_sha256, changed.summary.weights_sha256);

    // With weights that stay, the epoch's figures are those of all images, whatever the batch.
    let mut expected = None;
    for size in [1, 7, 16, 32, 33, 1000] {
        let outcome = train(&small(&text(0.0, size)), &data, &CPU);
        let record = &outcome.history[0];
        assert_eq!(outcome.losses.len(), 33_usize.div_ceil(size), "batches of {size}");
        let (loss, accuracy) = *expected.get_or_insert((record.loss, record.accuracy));
        assert!(
            (record.loss - loss).abs() < 1e-6 && record.accuracy == accuracy,
            "batches of {size}: {record:?}"
        );
    }
}

#[test]
fn training_stops_when_nothing_improves() {
    let data = slice(100, 50);
    let recipe = small(
        "optimizer = { name = 'sgd', learning_rate = 0.0 }\ndata.validation = 'test'\n\
         training = { epochs = 20, early_stopping = { patience = 3 } }",
    );
    let outcome = train(&recipe, &data, &CPU);
    // The first epoch is the best so far, and then there are three without improvement.
    assert_eq!((outcome.history.len(), outcome.summary.epochs, outcome.summary.best_epoch), (4, 4, Some(1)));
}

/// Training that overfits: the last epoch is not the best one.
fn overfitting(more: &str) -> Recipe {
    small(&format!(
        "optimizer = {{ name = 'sgd', learning_rate = 1.0 }}\ndata.validation = 'test'\n\
         training = {{ epochs = 12, batch_size = 10, {more} }}"
    ))
}

#[test]
fn the_best_weights_are_kept_where_that_is_asked_for() {
    let data = slice(100, 100);
    let plain = train(&overfitting("keep_best = false"), &data, &CPU);
    let kept = train(&overfitting("keep_best = true"), &data, &CPU);
    let losses = |outcome: &Outcome| outcome.history.iter().map(|e| e.val_loss.unwrap()).collect::<Vec<_>>();
    assert_eq!(losses(&plain), losses(&kept), "keeping changes nothing on the way");
    let best = losses(&plain).iter().copied().fold(f64::INFINITY, f64::min);
    assert!(plain.summary.test_loss > best, "the last epoch must not be the best: {:?}", losses(&plain));
    assert_eq!(plain.summary.test_loss, *losses(&plain).last().unwrap());
    assert_eq!(kept.summary.test_loss, best);
    let epoch = losses(&plain).iter().position(|loss| *loss == best).unwrap() + 1;
    assert_eq!(kept.summary.best_epoch, Some(epoch));

    let stopping = "early_stopping = { patience = 2, restore_best = true }";
    let restored = train(&overfitting(stopping), &data, &CPU);
    let least = losses(&restored).iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(restored.summary.test_loss, least);
}

#[test]
fn training_can_start_from_a_saved_model() {
    let data = slice(200, 50);
    let text =
        |rate: &str| format!("optimizer = {{ name = 'sgd', learning_rate = {rate} }}\ntraining.epochs = 1");
    let first = train(&small(&text("0.1")), &data, &CPU);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    first.model.save(&path).unwrap();
    let places = gpu_mnist::plan::network::place_parameters(&first.model.layers().unwrap());
    let weights = initial_weights(&path, &places).unwrap();
    assert_eq!(weights_sha256(&weights), first.summary.weights_sha256);
    assert_eq!(weights, Model::load(&path).unwrap().weights);
    // Weights that stay are those that came in, and another seed does not change them.
    let second = train_from(&small(&text("0.0")), &data, &CPU, 99, Some(weights));
    assert_eq!(second.summary.weights_sha256, first.summary.weights_sha256);
    assert_eq!(second.summary.test_loss, first.summary.test_loss);
}

#[test]
fn the_seed_decides_the_first_weights() {
    let data = slice(50, 10);
    let recipe = small("optimizer = { name = 'sgd', learning_rate = 0.0 }\ntraining.epochs = 1");
    let hash = |seed| train_from(&recipe, &data, &CPU, seed, None).summary.weights_sha256;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
    assert_ne!(hash(1), hash(1 << 32 | 1), "all 64 bits count");
}

// --------------------------------------------------------------------------------------------------------------------
// Every field of a recipe changes a run.

/// Keys that describe, and why they may.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("name", "names the run folder"),
    ("description", "for people"),
    ("source", "for people"),
    ("layers.*.type", "chooses the keys of the layer, each of which is tested"),
    ("layers.*.layers.*.type", "as above"),
];

/// A recipe, and for each of its keys another value.
struct Base {
    recipe: &'static str,
    changes: &'static [&'static str],
}

const HEAD: &str = "name = 'fields'\n";

const BASES: &[Base] = &[
    Base {
        recipe: "[data]\nscaling = 'unit'\nvalidation = 'split'\nvalidation_split = 0.25\n\
            [training]\nbatch_size = 20\nepochs = 4\nclip_norm = 0.4\nkeep_best = false\n\
            [optimizer]\nname = 'sgd'\nlearning_rate = 0.3\nmomentum = 0.5\nnesterov = true\n\
            [schedule]\nkind = 'step'\nwarmup_steps = 3\nevery_epochs = 2\nfactor = 0.5\n\
            [[layers]]\ntype = 'conv2d'\nfilters = 3\nkernel = 3\npadding = 'same'\nactivation = 'relu'\n\
            initializer = { name = 'random_normal', mean = -0.05, std = 0.2 }\n\
            bias_initializer = { name = 'random_uniform', min = -0.1, max = 0.2 }\n\
            [[layers]]\ntype = 'max_pool'\nsize = 3\n[[layers]]\ntype = 'flatten'\n\
            [[layers]]\ntype = 'dense'\nunits = 'classes'\nactivation = 'linear'\ninitializer = 'zeros'\n\
            bias_initializer = { name = 'truncated_normal', mean = 0.1, std = 0.2 }\n",
        changes: &[
            "data.scaling=\"l2-columns\"",
            "data.validation_split=0.5",
            "training.batch_size=19",
            "training.epochs=3",
            "training.loss=\"sum\"",
            "training.shuffle=false",
            "training.clip_norm=0.3",
            "optimizer.name=\"adam\"",
            "optimizer.learning_rate=0.2",
            "optimizer.momentum=0.6",
            "optimizer.nesterov=false",
            "schedule.kind=\"cosine\"",
            "schedule.warmup_steps=2",
            "schedule.every_epochs=1",
            "schedule.factor=0.4",
            "layers.0.filters=4",
            "layers.0.kernel=2",
            "layers.0.padding=\"valid\"",
            "layers.0.activation=\"elu\"",
            "layers.0.initializer.name=\"truncated_normal\"",
            "layers.0.initializer.mean=0.2",
            "layers.0.initializer.std=0.1",
            "layers.0.bias_initializer.min=-0.2",
            "layers.0.bias_initializer.max=0.1",
            "layers.1.size=2",
            "layers.3.activation=\"tanh\"",
            "layers.3.initializer=\"he_uniform\"",
            "layers.3.bias_initializer.mean=0.2",
            "layers.3.bias_initializer.std=0.1",
            "layers.3.bias_initializer.name=\"random_normal\"",
        ],
    },
    Base {
        recipe: "[data]\nscaling = 'standardize'\nvalidation = 'test'\n[training]\nsteps = 9\n\
            [optimizer]\nname = 'adam'\nlearning_rate = 0.01\nbeta_1 = 0.8\nbeta_2 = 0.9\nepsilon = 1e-3\n\
            [schedule]\nkind = 'exponential'\nwarmup_steps = 3\ndecay = 0.5\n\
            [[layers]]\ntype = 'repeat'\ntimes = 2\nlayers = [\n\
            { type = 'dense', units = 8, initializer = { name = 'truncated_normal', mean = 0.1, std = 0.2 } },\n\
            { type = 'batch_norm', momentum = 0.9, epsilon = 1e-3 },\n\
            { type = 'activation', function = 'selu' },\n{ type = 'dropout', rate = 0.2 } ]\n\
            [[layers]]\ntype = 'dense'\nunits = 10\n",
        changes: &[
            "data.validation=\"none\"",
            "training.steps=8",
            "optimizer.learning_rate=0.02",
            "optimizer.beta_1=0.7",
            "optimizer.beta_2=0.8",
            "optimizer.epsilon=1e-4",
            "schedule.warmup_steps=2",
            "schedule.decay=0.4",
            "layers.0.times=3",
            "layers.0.layers.0.units=9",
            "layers.0.layers.0.activation=\"swish\"",
            "layers.0.layers.0.initializer.mean=0.2",
            "layers.0.layers.0.initializer.std=0.1",
            "layers.0.layers.0.initializer.name=\"random_normal\"",
            "layers.0.layers.0.bias_initializer=\"ones\"",
            "layers.0.layers.1.momentum=0.8",
            "layers.0.layers.1.epsilon=1e-2",
            "layers.0.layers.2.function=\"softmax\"",
            "layers.0.layers.3.rate=0.3",
        ],
    },
    Base {
        recipe: "[training]\nepochs = 3\n\
            [optimizer]\nname = 'adamw'\nlearning_rate = 0.01\nbeta_1 = 0.8\nbeta_2 = 0.9\nepsilon = 1e-3\nweight_decay = 0.1\n\
            [schedule]\nkind = 'cosine'\nwarmup_steps = 3\nfinal_factor = 0.1\n\
            [[layers]]\ntype = 'dense'\nunits = 10\n",
        changes: &[
            "optimizer.learning_rate=0.02",
            "optimizer.beta_1=0.7",
            "optimizer.beta_2=0.8",
            "optimizer.epsilon=1e-4",
            "optimizer.weight_decay=0.2",
            "schedule.warmup_steps=2",
            "schedule.final_factor=0.2",
            "layers.0.bias_initializer=\"ones\"",
        ],
    },
    Base {
        recipe: "[training]\nepochs = 3\n\
            [optimizer]\nname = 'rmsprop'\nlearning_rate = 0.01\nrho = 0.8\nmomentum = 0.5\nepsilon = 1e-3\n\
            [schedule]\nkind = 'one-cycle'\npeak_at = 0.5\nstart_divisor = 3.0\nfinal_divisor = 5.0\n\
            [[layers]]\ntype = 'dense'\nunits = 10\n",
        changes: &[
            "optimizer.learning_rate=0.02",
            "optimizer.rho=0.7",
            "optimizer.momentum=0.4",
            "optimizer.epsilon=1e-4",
            "schedule.peak_at=0.4",
            "schedule.start_divisor=4.0",
            "schedule.final_divisor=6.0",
        ],
    },
    Base {
        recipe: "[augment]\nepochs = 1\nshare = 0.6\nshift = 1.0\nrotation = 10.0\nscale = 0.1\nshear = 5.0\nelastic = 1.5\nelastic_spacing = 7\n\
            erase = 0.5\nerase_size = 0.4\n[training]\nepochs = 2\n[optimizer]\nname = 'sgd'\nlearning_rate = 0.1\n\
            [[layers]]\ntype = 'dense'\nunits = 10\n",
        changes: &[
            "augment.epochs=2",
            "augment.share=0.4",
            "augment.shift=2",
            "augment.rotation=20",
            "augment.scale=0.2",
            "augment.shear=10",
            "augment.elastic=1",
            "augment.elastic_spacing=5",
            "augment.erase=0.4",
            "augment.erase_size=0.3",
        ],
    },
    // Training that overfits, for what decides when to stop and what to keep.
    Base {
        recipe: "[data]\nvalidation = 'test'\n[training]\nepochs = 12\nbatch_size = 10\n\
            [training.early_stopping]\nmonitor = 'val_loss'\npatience = 2\nmin_delta = 0.0\nrestore_best = true\n\
            [optimizer]\nname = 'sgd'\nlearning_rate = 1.0\n[schedule]\nkind = 'constant'\nwarmup_steps = 4\n\
            [[layers]]\ntype = 'dense'\nunits = 16\nactivation = 'relu'\n[[layers]]\ntype = 'dense'\nunits = 10\n",
        changes: &[
            "training.early_stopping.monitor=\"loss\"",
            "training.early_stopping.patience=1",
            "training.early_stopping.min_delta=0.5",
            "training.early_stopping.restore_best=false",
            "schedule.warmup_steps=3",
            "layers.0.units=15",
        ],
    },
    Base {
        recipe: "[data]\nvalidation = 'test'\n[training]\nepochs = 12\nbatch_size = 10\nkeep_best = true\n\
            [optimizer]\nname = 'sgd'\nlearning_rate = 1.0\n\
            [[layers]]\ntype = 'dense'\nunits = 16\nactivation = 'relu'\n[[layers]]\ntype = 'dense'\nunits = 10\n",
        changes: &["training.keep_best=false"],
    },
];

/// `layers.3.units` as `layers.*.units`.
fn general(key: &str) -> String {
    let parts = key.split('.').map(|part| if part.parse::<usize>().is_ok() { "*" } else { part });
    parts.collect::<Vec<_>>().join(".")
}

/// The settings that a key belongs to: keys of two optimisers or schedules are not the same key.
fn qualified(recipe: &Recipe, key: &str) -> String {
    let value =
        |key: &str| recipe.provenance().unwrap().into_iter().find(|entry| entry.key == key).map(|e| e.value);
    match key.split_once('.') {
        Some(("optimizer", _)) => format!("{key} of {}", value("optimizer.name").unwrap()),
        Some(("schedule", _)) => format!("{key} of {}", value("schedule.kind").unwrap()),
        _ => general(key),
    }
}

#[test]
fn every_field_of_a_recipe_changes_a_run() {
    let data = slice(100, 60);
    let (mut present, mut changed) = (BTreeSet::new(), BTreeSet::new());
    for base in BASES {
        let recipe = Recipe::from_toml(&format!("{HEAD}{}", base.recipe), "fields").unwrap();
        let keys = recipe.provenance().unwrap().into_iter().map(|entry| entry.key);
        present.extend(keys.map(|key| qualified(&recipe, &key)));
        let before = fingerprint(&train(&recipe, &data, &CPU));
        for change in base.changes {
            let mut other = recipe.clone();
            other.apply_set(change).unwrap();
            assert_ne!(
                recipe.to_toml().unwrap(),
                other.to_toml().unwrap(),
                "{change} changes nothing in the recipe"
            );
            assert_ne!(
                before,
                fingerprint(&train(&other, &data, &CPU)),
                "{change} changes nothing in the run"
            );
            changed.insert(qualified(&recipe, change.split_once('=').unwrap().0));
        }
    }
    let excused: BTreeSet<String> = WITHOUT_EFFECT.iter().map(|(key, _)| (*key).to_owned()).collect();
    // The choice of an optimiser and of a schedule is tested in one base.
    let choices = |key: &&String| key.starts_with("optimizer.name") || key.starts_with("schedule.kind");
    let untested: Vec<&String> = present
        .difference(&changed)
        .filter(|key| !excused.contains(*key))
        .filter(|key| !choices(key))
        .collect();
    assert!(untested.is_empty(), "no change of these keys is tested: {untested:#?}");
}

/// Keys that are not in a base cannot be missed above; so the bases must have every optimiser, schedule and layer there is.
#[test]
fn the_bases_above_have_every_choice() {
    let all: String = BASES.iter().map(|base| base.recipe).collect();
    for (key, choices) in [("optimizer.name", "name"), ("schedule.kind", "kind"), ("layers.0.type", "type")] {
        let mut recipe = small("training.epochs = 1\noptimizer.name = 'sgd'");
        let error = recipe.apply_set(&format!("{key}=\"?\"")).unwrap_err().to_string();
        // ... unknown value "?" (the choices are sgd, adam, ...)
        let list = error.split("the choices are ").nth(1).unwrap_or_else(|| panic!("{error}"));
        let names: Vec<&str> = list.trim_end_matches(')').split(", ").collect();
        assert!(names.len() >= 4, "{error}");
        for name in names {
            assert!(
                all.contains(&format!("{choices} = '{name}'")),
                "{choices} {name} is in no base ({error})"
            );
        }
    }
}

#[test]
fn every_initializer_gives_other_weights() {
    let data = slice(20, 10);
    let mut hashes = BTreeSet::new();
    for name in Initializer::NAMES {
        let mut recipe = small("optimizer = { name = 'sgd', learning_rate = 0.0 }\ntraining.epochs = 1");
        recipe.apply_set(&format!("layers.0.initializer=\"{name}\"")).unwrap();
        assert!(hashes.insert(train(&recipe, &data, &CPU).summary.weights_sha256), "{name}");
    }
}
