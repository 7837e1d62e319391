//! Recipes from text to resolved layers: presets, overrides, provenance, round trips, error texts, hostile input.

use gpu_mnist::error::exit_code;
use gpu_mnist::layers::summary::{count, table};
use gpu_mnist::layers::{LayerConfig, ResolvedLayer, Shape, resolve};
use gpu_mnist::recipe::{Initializer, Length, Optimizer, Overrides, Recipe, Source, Validation, preset};
use gpu_mnist::rng::{Purpose, Stream};

const MNIST: Shape = Shape { channels: 1, height: 28, width: 28 };

fn layers_of(recipe: &Recipe) -> Vec<ResolvedLayer> {
    resolve(recipe, MNIST, 10).unwrap()
}

fn descriptions(recipe: &Recipe) -> Vec<String> {
    layers_of(recipe).iter().map(|layer| layer.layer.as_layer().describe()).collect()
}

fn source_of(recipe: &Recipe, key: &str) -> Source {
    let entries = recipe.provenance().unwrap();
    entries.into_iter().find(|entry| entry.key == key).unwrap_or_else(|| panic!("no key {key}")).source
}

/// A recipe of a head and these layers.
fn with_layers(layers: &str) -> String {
    format!("name = 'test'\ntraining.epochs = 1\noptimizer.name = 'sgd'\nlayers = [{layers}]\n")
}

const OUTPUT: &str = "{ type = 'dense', units = 'classes' }";

#[test]
fn presets_have_the_parameters_of_the_published_networks() {
    let expected = [
        ("mlp-50x100", 594_410, 10_000),
        ("mlp-128-128", 118_282, 0),
        ("cnn-28-10", 10_000, 0),
        ("softmax", 7_850, 0),
        ("cnn-16-36", 232_590, 0),
        ("cnn-32-64", 421_642, 0),
        ("cnn-64-128", 878_730, 0),
        ("cnn-128-256", 1_903_498, 0),
        ("cnn-16-36-64", 101_326, 0),
        ("cnn-16", 402_986, 0),
        ("mlp-16-16", 13_002, 0),
        ("cnn-fast", 41_202, 64),
        ("cnn-best", 151_658, 640),
    ];
    assert_eq!(expected.len(), preset::PRESETS.len());
    for (name, total, not_trainable) in expected {
        let recipe = Recipe::preset(name).unwrap();
        assert_eq!(recipe.name, name);
        let counted = count(&layers_of(&recipe));
        assert_eq!((counted.total(), counted.not_trainable), (total, not_trainable), "{name}");
    }
}

#[test]
fn presets_train_as_published() {
    let expected = [
        ("mlp-50x100", 128, Length::Epochs(10), 0.3, 0.01),
        ("mlp-128-128", 32, Length::Epochs(3), 0.0, 0.001),
        ("cnn-28-10", 32, Length::Epochs(10), 0.0, 0.001),
        ("softmax", 100, Length::Steps(1000), 0.0, 0.01),
        ("cnn-16-36", 256, Length::Epochs(20), 0.2, 0.001),
        ("cnn-32-64", 256, Length::Epochs(10), 0.2, 0.001),
        ("cnn-64-128", 256, Length::Epochs(10), 0.2, 0.001),
        ("cnn-128-256", 256, Length::Epochs(10), 0.2, 0.001),
        ("cnn-16-36-64", 256, Length::Epochs(10), 0.2, 0.001),
        ("cnn-16", 256, Length::Epochs(10), 0.2, 0.001),
        ("mlp-16-16", 32, Length::Epochs(20), 0.0, 0.001),
    ];
    for (name, batch_size, length, split, rate) in expected {
        let recipe = Recipe::preset(name).unwrap();
        assert_eq!(recipe.training.batch_size, batch_size, "{name}");
        assert_eq!(recipe.training.length(), length, "{name}");
        assert_eq!(recipe.data.validation_split, split, "{name}");
        assert_eq!(recipe.optimizer.learning_rate(), rate, "{name}");
    }
    let on_test_set = |name| Recipe::preset(name).unwrap().data.validation == Validation::Test;
    assert!(on_test_set("cnn-28-10") && on_test_set("mlp-16-16") && !on_test_set("mlp-128-128"));
}

#[test]
fn shapes_names_and_parameters_of_a_convolution_network() {
    let layers = layers_of(&Recipe::preset("cnn-16-36").unwrap());
    let seen: Vec<String> = layers.iter().map(|layer| format!("{} {}", layer.name, layer.output)).collect();
    let expected = [
        "conv2d 16x28x28",
        "max_pooling2d 16x14x14",
        "conv2d_1 36x14x14",
        "max_pooling2d_1 36x7x7",
        "dropout 36x7x7",
        "flatten 1764",
        "dense 128",
        "dropout_1 128",
        "dense_1 10",
    ];
    assert_eq!(seen, expected);
    let weight = &layers[2].parameters[0];
    assert_eq!((weight.shape.as_slice(), weight.fan_in, weight.fan_out), (&[16, 3, 3, 36][..], 144, 324));
    assert_eq!(layers[6].parameters[0].shape, [1764, 128]);
    assert_eq!(layers[6].parameters[1].shape, [128]);
}

#[test]
fn a_dense_layer_flattens_an_image_by_itself() {
    let text = with_layers(&format!("{{ type = 'max_pool' }}, {OUTPUT}"));
    let layers = layers_of(&Recipe::from_toml(&text, "test").unwrap());
    assert_eq!(layers[1].parameters[0].shape, [196, 10]);
}

#[test]
fn a_final_softmax_belongs_to_the_loss() {
    let inline = with_layers("{ type = 'dense', units = 'classes', activation = 'softmax' }");
    let apart = with_layers(&format!("{OUTPUT}, {{ type = 'activation', function = 'softmax' }}"));
    for text in [inline, apart] {
        let layers = layers_of(&Recipe::from_toml(&text, "test").unwrap());
        let last = layers.last().unwrap();
        assert!(last.softmax_in_loss);
        assert!(!last.layer.as_layer().describe().contains("softmax"));
        assert!(table(&layers).contains("softmax in the loss"));
    }
    assert!(!layers_of(&Recipe::preset("softmax").unwrap()).last().unwrap().softmax_in_loss);
}

#[test]
fn the_summary_has_every_layer_and_the_totals() {
    let text = table(&layers_of(&Recipe::preset("mlp-50x100").unwrap()));
    assert!(text.lines().any(|line| line.starts_with("dense_49") && line.ends_with("10,100")), "{text}");
    assert!(
        text.ends_with("Total parameters: 594,410\nTrainable: 584,410\nNot trainable: 10,000\n"),
        "{text}"
    );
}

#[test]
fn initialisers_are_names_or_tables() {
    let layer = |initializer: &str| {
        let text = with_layers(&format!("{{ type = 'dense', units = 10, initializer = {initializer} }}"));
        let recipe = Recipe::from_toml(&text, "test")?;
        anyhow::Ok(layers_of(&recipe)[0].parameters[0].initializer.clone())
    };
    for name in Initializer::NAMES {
        assert_eq!(layer(&format!("'{name}'")).unwrap().name(), name);
        assert_eq!(layer(&format!("{{ name = '{name}' }}")).unwrap().name(), name);
    }
    let normal = Initializer::RandomNormal { mean: 0.0, std: 1.0 };
    assert_eq!(layer("{ name = 'random_normal', std = 1 }").unwrap(), normal);
    let default = Initializer::RandomUniform { min: -0.05, max: 0.05 };
    assert_eq!(layer("'random_uniform'").unwrap(), default);
    assert!(layer("{ name = 'zeros', std = 1 }").is_err());
    assert!(layer("{ std = 1 }").is_err());
    assert!(layer("{ name = 'random_normal', std = -1 }").is_err());
}

#[test]
fn every_preset_round_trips_through_its_resolved_form() {
    for (name, _) in preset::PRESETS {
        let recipe = Recipe::preset(name).unwrap();
        let text = recipe.to_toml().unwrap();
        let again = Recipe::from_toml(&text, "resolved").unwrap();
        assert_eq!(*again, *recipe, "{text}");
        assert_eq!(again.to_toml().unwrap(), text);
        let left_out = again.provenance().unwrap().into_iter().find(|entry| entry.source == Source::Default);
        assert_eq!(left_out, None, "every default must be spelled out");
    }
}

#[test]
fn a_recipe_with_everything_round_trips() {
    let mut recipe = Recipe::preset("mlp-50x100").unwrap();
    for set in [
        "training.early_stopping.patience=2",
        "training.clip_norm=1",
        "training.keep_best=true",
        "schedule.kind=one-cycle",
        "optimizer.name=adamw",
        "layers.1.layers.0.initializer={name='random_uniform', min=-1, max=1}",
        "layers.1.layers.1.momentum=0.5",
    ] {
        recipe.apply_set(set).unwrap();
    }
    let again = Recipe::from_toml(&recipe.to_toml().unwrap(), "resolved").unwrap();
    assert_eq!(*again, *recipe);
}

#[test]
fn set_reaches_every_section() {
    let mut recipe = Recipe::preset("mlp-16-16").unwrap();
    for set in [
        "training.epochs=3",
        "layers.2.units = 64",
        "layers.3.rate=0",
        "optimizer.beta_1=0.5",
        "data.scaling=standardize",
        "schedule.kind=cosine",
        "schedule.warmup_steps=10",
        "training.early_stopping.monitor=accuracy",
        "layers.1.initializer.name=random_normal",
        "layers.1.initializer.std=2",
        "layers.2.initializer=he_normal",
        "name=other",
        "description=two words",
    ] {
        recipe.apply_set(set).unwrap_or_else(|error| panic!("{set}: {error}"));
    }
    assert_eq!(recipe.training.length(), Length::Epochs(3));
    assert_eq!(layers_of(&recipe)[2].output, Shape::vector(64));
    assert_eq!(recipe.description, "two words");
    let initializer = &layers_of(&recipe)[1].parameters[0].initializer;
    assert_eq!(*initializer, Initializer::RandomNormal { mean: 0.0, std: 2.0 });
    assert_eq!(source_of(&recipe, "layers.2.units"), Source::Set);
    assert_eq!(source_of(&recipe, "layers.1.units"), Source::Recipe);
    assert_eq!(source_of(&recipe, "layers.1.initializer.mean"), Source::Default);
}

#[test]
fn steps_and_epochs_replace_each_other() {
    let mut recipe = Recipe::preset("softmax").unwrap();
    recipe.apply(&Overrides { epochs: Some(2), ..Overrides::default() }).unwrap();
    assert_eq!(recipe.training.length(), Length::Epochs(2));
    recipe.apply_set("training.steps=7").unwrap();
    assert_eq!(recipe.training.length(), Length::Steps(7));
    assert_eq!(recipe.training.length().total_steps(600), 7);
}

#[test]
fn plain_flags_set_their_keys() {
    let mut recipe = Recipe::preset("cnn-16-36").unwrap();
    let flags = Overrides {
        epochs: Some(3),
        batch_size: Some(64),
        learning_rate: Some(0.5),
        dropout: Some(0.1),
        initializer: Some("he_normal".into()),
        ..Overrides::default()
    };
    recipe.apply(&flags).unwrap();
    assert_eq!(recipe.training.length(), Length::Epochs(3));
    assert_eq!(recipe.training.batch_size, 64);
    assert_eq!(recipe.optimizer.learning_rate(), 0.5);
    assert_eq!(descriptions(&recipe).iter().filter(|text| *text == "dropout 0.1").count(), 2);
    for layer in layers_of(&recipe).iter().filter(|layer| !layer.parameters.is_empty()) {
        assert_eq!(layer.parameters[0].initializer, Initializer::HeNormal);
        assert_eq!(layer.parameters[1].initializer, Initializer::Zeros);
    }
    for (key, flag) in [
        ("training.epochs", "--epochs"),
        ("training.batch_size", "--batch-size"),
        ("optimizer.learning_rate", "--learning-rate"),
        ("layers.4.rate", "--dropout"),
        ("layers.0.initializer", "--initializer"),
    ] {
        assert_eq!(source_of(&recipe, key), Source::Flag(flag));
    }
    let text = recipe.print_config().unwrap();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_string();
    assert!(line("training.epochs = 3 ").ends_with("  # from flag --epochs"), "{text}");
    assert!(line("training.loss = \"mean\"").ends_with("  # from default"), "{text}");
    assert!(line("layers.0.filters = 16").ends_with("  # from recipe"), "{text}");
}

#[test]
fn initialisers_with_parameters_can_be_given_as_a_flag() {
    for text in ["random_normal(0, 0.005)", "{ name = 'random_normal', std = 0.005 }"] {
        let mut recipe = Recipe::preset("mlp-50x100").unwrap();
        recipe.apply(&Overrides { initializer: Some(text.into()), ..Overrides::default() }).unwrap();
        let expected = Initializer::RandomNormal { mean: 0.0, std: 0.005 };
        assert_eq!(layers_of(&recipe)[1].parameters[0].initializer, expected);
    }
    let mut recipe = Recipe::preset("mlp-50x100").unwrap();
    for text in ["random_normal(0, 1, 2)", "random_normal(zero)", "zeros(1)", "xavier"] {
        let flags = Overrides { initializer: Some(text.into()), ..Overrides::default() };
        assert_eq!(exit_code(&recipe.apply(&flags).unwrap_err()), 2, "{text}");
    }
}

#[test]
fn another_optimiser_brings_its_own_defaults_but_flags_stay() {
    let mut recipe = Recipe::preset("cnn-16-36").unwrap();
    recipe.apply(&Overrides { optimizer: Some("sgd".into()), ..Overrides::default() }).unwrap();
    assert_eq!(recipe.optimizer.learning_rate(), 0.01);
    assert_eq!(source_of(&recipe, "optimizer.learning_rate"), Source::Default);

    let mut recipe = Recipe::preset("cnn-16-36").unwrap();
    // The order on the command line does not matter: momentum is only known to the new optimiser.
    let set = ["optimizer.momentum=0.9", "optimizer.name=sgd", "optimizer.nesterov=true"].map(String::from);
    let flags = Overrides { learning_rate: Some(0.2), set: set.to_vec(), ..Overrides::default() };
    recipe.apply(&flags).unwrap();
    let Optimizer::Sgd(sgd) = &recipe.optimizer else { panic!("{:?}", recipe.optimizer) };
    assert_eq!((sgd.learning_rate, sgd.momentum, sgd.nesterov), (0.2, 0.9, true));

    for name in ["adam", "adamw", "rmsprop", "sgd"] {
        recipe = Recipe::preset("cnn-16-36").unwrap();
        recipe.apply(&Overrides { optimizer: Some(name.into()), ..Overrides::default() }).unwrap();
        assert!(recipe.to_toml().unwrap().contains(&format!("name = \"{name}\"")));
    }
}

#[test]
fn the_validation_split_flag_turns_validation_on_and_off() {
    let mut recipe = Recipe::preset("mlp-16-16").unwrap();
    recipe.apply(&Overrides { validation_split: Some(0.1), ..Overrides::default() }).unwrap();
    assert_eq!((recipe.data.validation, recipe.data.validation_split), (Validation::Split, 0.1));
    recipe.apply(&Overrides { validation_split: Some(0.0), ..Overrides::default() }).unwrap();
    assert_eq!((recipe.data.validation, recipe.data.validation_split), (Validation::None, 0.0));
    let mut recipe = Recipe::preset("cnn-16").unwrap();
    recipe.apply_set("data.validation=test").unwrap();
    assert_eq!((recipe.data.validation, recipe.data.validation_split), (Validation::Test, 0.0));
}

#[test]
fn the_activation_flag_changes_hidden_layers_only() {
    let mut recipe = Recipe::preset("mlp-50x100").unwrap();
    recipe.apply(&Overrides { activation: Some("tanh".into()), ..Overrides::default() }).unwrap();
    assert_eq!(descriptions(&recipe).iter().filter(|text| *text == "activation tanh").count(), 50);
    assert_eq!(descriptions(&recipe).last().unwrap(), "dense 10");

    let mut recipe = Recipe::preset("cnn-28-10").unwrap();
    recipe.apply(&Overrides { activation: Some("elu".into()), ..Overrides::default() }).unwrap();
    let expected =
        ["conv2d 28 3x3 valid elu", "max_pool 2", "conv2d 10 4x4 valid elu", "max_pool 2", "flatten"];
    assert_eq!(descriptions(&recipe)[..5], expected);
    assert_eq!(descriptions(&recipe)[5..], ["dense 20 elu", "dense 10"]);
}

#[test]
fn batch_norm_is_taken_out_and_put_before_the_activation() {
    let off = Overrides { batch_norm: Some(false), ..Overrides::default() };
    let on = Overrides { batch_norm: Some(true), ..Overrides::default() };
    let mut recipe = Recipe::preset("mlp-50x100").unwrap();
    let before = descriptions(&recipe);
    recipe.apply(&on).unwrap();
    assert_eq!(descriptions(&recipe), before, "there is one already");
    recipe.apply(&off).unwrap();
    assert_eq!(count(&layers_of(&recipe)).total(), 574_410);
    recipe.apply(&on).unwrap();
    assert_eq!(descriptions(&recipe), before);

    let mut recipe = Recipe::preset("cnn-16").unwrap();
    recipe.apply_set("layers.0.activation=selu").unwrap();
    recipe.apply(&on).unwrap();
    let expected = [
        "conv2d 16 3x3 same",
        "batch_norm",
        "activation selu",
        "max_pool 2",
        "dropout 0.25",
        "flatten",
        "dense 128",
        "batch_norm",
        "activation relu",
        "dropout 0.25",
        "dense 10",
    ];
    assert_eq!(descriptions(&recipe), expected);
    assert_eq!(source_of(&recipe, "layers.1.type"), Source::Flag("--batch-norm"));
    assert_eq!(source_of(&recipe, "layers.2.function"), Source::Set, "the source moves with the value");
    assert_eq!(source_of(&recipe, "layers.8.function"), Source::Recipe);
    let again = Recipe::from_toml(&recipe.to_toml().unwrap(), "resolved").unwrap();
    assert_eq!(*again, *recipe);
}

#[test]
fn a_flag_without_effect_is_an_error() {
    let mut recipe = Recipe::preset("softmax").unwrap();
    let flags = [
        Overrides { dropout: Some(0.5), ..Overrides::default() },
        Overrides { activation: Some("relu".into()), ..Overrides::default() },
        Overrides { batch_norm: Some(true), ..Overrides::default() },
    ];
    for flags in flags {
        assert_eq!(exit_code(&recipe.apply(&flags).unwrap_err()), 2, "{flags:?}");
    }
}

#[test]
fn a_refused_override_leaves_the_recipe_as_it_was() {
    let mut recipe = Recipe::preset("cnn-16").unwrap();
    let before = recipe.to_toml().unwrap();
    for (set, expected) in [
        ("training.epoch=3", "training.epoch: unknown key; did you mean `epochs`?"),
        ("training.epochs=0", "--set: training.epochs: 0 is too small; it must be 1 or more"),
        ("training.epochs=many", "expected a whole number, 0 or more, found string \"many\""),
        ("layers.9.units=3", "--set layers.9.units: no such entry; entries here count from 0 to 6"),
        ("layers.two.units=3", "no such entry"),
        ("layers.2.rate=1.0", "layer 2 (dropout), rate: 1 is out of range; it must be 0 or more and below 1"),
        ("layers.4.unit=3", "layer 4 (dense), unit: unknown key; did you mean `units`?"),
        ("optimizer.name=adm", "unknown value \"adm\"; did you mean `adam`?"),
        ("optimizer.momentum=0.9", "optimizer.momentum: unknown key"),
        ("training.epochs.more=1", "holds 10, which has no key `more` inside"),
        ("training.epochs", "--set takes key=value"),
        ("=3", "is no key"),
        ("a..b=3", "is no key"),
    ] {
        let error = recipe.apply_set(set).unwrap_err();
        assert_eq!(exit_code(&error), 2, "{set}: {error}");
        assert!(error.to_string().contains(expected), "{set}: {error}");
        assert_eq!(recipe.to_toml().unwrap(), before);
    }
}

#[test]
fn recipes_that_cannot_be_decoded_say_where_and_why() {
    let head = |key: &str| format!("{key}\n{}", with_layers(OUTPUT));
    let cases = [
        (head("nam = 'x'"), "nam: unknown key; did you mean `name`?"),
        (head("name = 'y'"), "not valid TOML"),
        (head("training.batch_size = 0"), "training.batch_size: 0 is too small; it must be 1 or more"),
        (
            head("training.batch_size = -3"),
            "training.batch_size: expected a whole number, 0 or more, found integer `-3`",
        ),
        (head("training.steps = 5"), "training.steps: given together with epochs"),
        (head("training.shuffle = 'yes'"), "training.shuffle: expected a boolean, found string \"yes\""),
        (head("training.loss = 'men'"), "training.loss: unknown value \"men\"; did you mean `mean`?"),
        (head("training.clip_norm = -1"), "training.clip_norm: -1 is out of range"),
        (head("training.early_stopping = {}"), "training.early_stopping.monitor: there is no validation"),
        (head("training.early_stopping = { monitor = 'loss', patience = 0 }"), "patience: 0 is too small"),
        (head("optimizer.learning_rate = -0.1"), "optimizer.learning_rate: -0.1 is out of range"),
        (head("optimizer.learning_rate = nan"), "optimizer.learning_rate: NaN is out of range"),
        (head("optimizer.nesterov = true"), "optimizer.nesterov: has no effect while momentum is 0"),
        (head("optimizer.beta_1 = 0.9"), "optimizer.beta_1: unknown key"),
        (
            head("schedule = { kind = 'cosin' }"),
            "schedule.kind: unknown value \"cosin\"; did you mean `cosine`?",
        ),
        (
            head("schedule = { factor = 1 }"),
            "schedule.kind: this key is missing; it is one of constant, step",
        ),
        (head("schedule = { kind = 'one-cycle', peak_at = 1 }"), "schedule.peak_at: 1 is out of range"),
        (head("schedule = { kind = 'step', every_epochs = 0 }"), "schedule.every_epochs: 0 is too small"),
        (head("data.validation = 'split'"), "data.validation_split: 0 is out of range"),
        (head("data.validation_split = 0.2"), "data.validation_split: 0.2 has no effect here"),
        (head("data.scaling = 3"), "data.scaling: expected one of unit, raw, l2-columns, standardize"),
        (head("data = 1979-05-27"), "data: expected a table, found a date"),
        ("name = 'x'".into(), "training: this key is missing"),
        (
            with_layers("").replace("training.epochs = 1", "training.shuffle = true"),
            "training.epochs: this key is missing",
        ),
        (with_layers("").replace("'test'", "'../../etc'"), "name: names a folder"),
        (with_layers(""), "layers: there are no layers"),
        (with_layers("{ units = 3 }"), "layer 0, type: this key is missing; it is one of dense, conv2d"),
        (with_layers("{ type = 'dens', units = 3 }"), "unknown value \"dens\"; did you mean `dense`?"),
        (with_layers("{ type = 'dense' }"), "layer 0 (dense), units: this key is missing"),
        (with_layers("{ type = 'dense', units = 0 }"), "layer 0 (dense), units: 0 is too small"),
        (
            with_layers("{ type = 'dense', units = -1 }"),
            "layer 0 (dense), units: expected a whole number, 1 or more, or \"classes\"",
        ),
        (
            with_layers("{ type = 'flatten', size = 2 }"),
            "layer 0 (flatten), size: unknown key; no further keys",
        ),
        (with_layers("{ type = 'max_pool', size = 0 }"), "layer 0 (max_pool), size: 0 is too small"),
        (with_layers("{ type = 'dropout', rate = 1 }"), "layer 0 (dropout), rate: 1 is out of range"),
        (with_layers("{ type = 'dropout', rate = nan }"), "rate: NaN is out of range"),
        (with_layers("{ type = 'activation', function = 'rleu' }"), "did you mean `relu`?"),
        (
            with_layers("{ type = 'batch_norm', epsilon = 0 }"),
            "epsilon: 0 is out of range; it must be above 0",
        ),
        (
            with_layers("{ type = 'repeat', times = 0, layers = [] }"),
            "layer 0 (repeat), times: 0 is too small",
        ),
        (
            with_layers("{ type = 'repeat', times = 2, layers = [] }"),
            "layer 0 (repeat), layers: there are no layers",
        ),
        (
            with_layers("{ type = 'repeat', times = 2, layers = [{ type = 'dense', units = 3, unit = 3 }] }"),
            "layer 0.layers.0 (dense), unit: unknown key; did you mean `units`?",
        ),
        (
            with_layers(&format!("{{ type = 'repeat', times = 9000000000000000000, layers = [{OUTPUT}] }}")),
            "are too many",
        ),
        (with_layers("3"), "layer 0: expected one of dense"),
    ];
    for (text, expected) in cases {
        let error = Recipe::from_toml(&text, "test.toml").expect_err(&text);
        assert_eq!(exit_code(&error), 4, "{text}: {error}");
        assert!(error.to_string().contains("test.toml"), "{error}");
        assert!(error.to_string().contains(expected), "{text}\ngave: {error}\nexpected: {expected}");
    }
}

#[test]
fn impossible_networks_say_which_layer_and_what_to_do() {
    let pools = ["{ type = 'max_pool' }"; 5].join(", ");
    let cases = [
        (
            pools,
            "layer 4 (max_pool 2): input 1x1x1 has a side shorter than the window 2; remove this pooling layer",
        ),
        (
            "{ type = 'max_pool', size = 29 }".into(),
            "layer 0 (max_pool 29): input 1x28x28 has a side shorter than the window 29",
        ),
        (
            "{ type = 'conv2d', filters = 4, kernel = 29 }".into(),
            "layer 0 (conv2d 4 29x29 valid): input 1x28x28 has a side shorter than the kernel 29; use padding",
        ),
        (
            "{ type = 'flatten' }".into(),
            "the network ends with 784 values an image, but the data set has 10 classes; end the recipe with",
        ),
        ("{ type = 'dense', units = 11 }".into(), "layer 0 (dense 11): the network ends with 11 values"),
        (
            "{ type = 'dense', units = 9000000000000 }".into(),
            "layer 0 (dense 9000000000000): output 9000000000000 has more than 67108864 values",
        ),
        ("{ type = 'dense', units = 1000000 }".into(), "weight of 784x1000000 has more than"),
        (
            "{ type = 'conv2d', filters = 9000000000000000000, kernel = 3, padding = 'same' }".into(),
            "has more than 67108864 values",
        ),
        (
            "{ type = 'conv2d', filters = 2, kernel = 9000000000000000000, padding = 'same' }".into(),
            "has more than 67108864 values",
        ),
        ("{ type = 'conv2d', filters = 3, kernel = 3 }".into(), "the network ends with 3x26x26 values"),
        (
            "{ type = 'repeat', times = 2, layers = [{ type = 'max_pool', size = 8 }] }".into(),
            "layer 0.layers.0 (max_pool 8): input 1x3x3",
        ),
    ];
    for (layers, expected) in cases {
        let recipe = Recipe::from_toml(&with_layers(&layers), "test.toml").unwrap();
        let error = resolve(&recipe, MNIST, 10).expect_err(&layers);
        assert_eq!(exit_code(&error), 4, "{error}");
        assert!(error.to_string().contains(expected), "{layers}\ngave: {error}\nexpected: {expected}");
    }
    let pixels = Recipe::from_toml(&with_layers("{ type = 'dropout', rate = 0 }"), "test").unwrap();
    let error = resolve(&pixels, Shape { channels: 1, height: 2, width: 5 }, 10).unwrap_err();
    assert!(error.to_string().contains("add [[layers]] type = \"flatten\""), "{error}");
    let error = resolve(&pixels, Shape::vector(10), 10).unwrap_err();
    assert!(
        error.to_string().contains("nothing to train") || error.to_string().contains("anything to train")
    );
}

#[test]
fn a_network_that_a_flag_made_impossible_is_wrong_usage() {
    let mut recipe = Recipe::preset("cnn-16").unwrap();
    recipe.apply_set("layers.1.size=40").unwrap();
    assert_eq!(exit_code(&resolve(&recipe, MNIST, 10).unwrap_err()), 2);
}

#[test]
fn unknown_recipes_and_files_are_told_apart() {
    let error = Recipe::load("cnn-16-63").unwrap_err();
    assert_eq!(exit_code(&error), 2);
    let text = error.to_string();
    assert!(text.contains("did you mean cnn-16-36?") && text.contains("mlp-50x100, mlp-128-128"), "{text}");
    assert_eq!(exit_code(&Recipe::load("missing/recipe.toml").unwrap_err()), 4);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, with_layers(OUTPUT)).unwrap();
    assert_eq!(Recipe::load(path.to_str().unwrap()).unwrap().name, "test");
    std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
    assert_eq!(exit_code(&Recipe::load(path.to_str().unwrap()).unwrap_err()), 4);
    std::fs::write(&path, "#".repeat(2 << 20)).unwrap();
    assert_eq!(exit_code(&Recipe::load(path.to_str().unwrap()).unwrap_err()), 4);
}

#[test]
fn deep_nesting_is_refused() {
    let nested = "{ type = 'repeat', times = 1, layers = [".repeat(20_000);
    assert!(Recipe::from_toml(&with_layers(&nested), "deep").is_err());
    let dotted = vec!["a"; 200_000].join(".");
    assert!(Recipe::from_toml(&format!("{dotted} = 1"), "deep").is_err());
    assert!(Recipe::from_toml(&format!("[{dotted}]"), "deep").is_err());
    let mut recipe = Recipe::preset("cnn-16").unwrap();
    assert!(recipe.apply_set(&format!("{dotted}=1")).is_err());
    assert!(recipe.apply_set(&format!("training.epochs={}", "[".repeat(50_000))).is_err());
}

/// Whatever the text, the answer is a recipe or an error of the bad-file kind.
fn survive(text: &str) {
    match Recipe::from_toml(text, "hostile") {
        Err(error) => assert_eq!(exit_code(&error), 4, "{text}"),
        Ok(recipe) => {
            let again = Recipe::from_toml(&recipe.to_toml().unwrap(), "again").unwrap();
            assert_eq!(*again, *recipe, "{text}");
            recipe.print_config().unwrap();
            if let Ok(layers) = resolve(&recipe, MNIST, 10) {
                table(&layers);
            }
        }
    }
}

#[test]
fn mutated_recipes_never_panic() {
    const ALPHABET: &[u8] = b"0123456789.-+=[]{}\"'\n, #_eabcdefilnorstxyz\xc3\x00";
    for (number, (_, text)) in preset::PRESETS.iter().enumerate() {
        for round in 0..300 {
            let stream = Stream::new(round, Purpose::Test, number as u32, 0);
            let mut bytes = text.as_bytes().to_vec();
            for edit in 0..1 + stream.below(0, 4) {
                let at = stream.below(10 + 3 * edit, bytes.len() as u32) as usize;
                let byte = ALPHABET[stream.below(11 + 3 * edit, ALPHABET.len() as u32) as usize];
                match stream.below(12 + 3 * edit, 4) {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            survive(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn mutated_values_never_panic() {
    let values = [
        "0",
        "-1",
        "9223372036854775807",
        "nan",
        "inf",
        "1e308",
        "''",
        "[]",
        "{}",
        "true",
        "[[]]",
        "1979-05-27",
    ];
    let recipe = Recipe::preset("mlp-50x100").unwrap();
    for entry in recipe.provenance().unwrap() {
        for value in values {
            let mut changed = recipe.clone();
            match changed.apply_set(&format!("{}={value}", entry.key)) {
                Err(error) => assert_eq!(exit_code(&error), 2, "{} = {value}", entry.key),
                Ok(()) => drop(resolve(&changed, MNIST, 10)),
            }
        }
    }
}

#[test]
fn random_bytes_never_panic() {
    for round in 0..300 {
        let stream = Stream::new(round, Purpose::Test, 99, 0);
        let bytes: Vec<u8> = (0..stream.below(0, 200)).map(|index| stream.word(index + 1) as u8).collect();
        survive(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn every_layer_says_the_type_that_recipes_write() {
    let text = with_layers(
        "{ type = 'conv2d', filters = 2, kernel = 3 }, { type = 'max_pool' }, { type = 'flatten' }, \
         { type = 'dropout', rate = 0.5 }, { type = 'batch_norm' }, { type = 'activation', function = 'relu' }, \
         { type = 'dense', units = 10 }",
    );
    let recipe = Recipe::from_toml(&text, "test").unwrap();
    let kinds: Vec<_> = layers_of(&recipe).iter().map(|layer| layer.layer.as_layer().kind()).collect();
    assert_eq!(kinds, ["conv2d", "max_pool", "flatten", "dropout", "batch_norm", "activation", "dense"]);
    let resolved = recipe.to_toml().unwrap();
    assert!(kinds.iter().all(|kind| resolved.contains(&format!("type = \"{kind}\""))), "{resolved}");
    assert!(matches!(layers_of(&recipe)[0].layer, LayerConfig::Conv2d(_)));
}
