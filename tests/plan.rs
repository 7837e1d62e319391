//! Plans: how many dispatches a step takes, that no call binds a buffer twice, that memory is shared only between buffers
//! that are never alive together, and that the table shows everything.

mod common;

use common::network::{TARGETS, plan_of};
use gpu_mnist::ops::matrices::{Factors, Matrices, kernel};
use gpu_mnist::ops::{Access, DeviceClass};
use gpu_mnist::plan::network::{Network, Target};
use gpu_mnist::plan::{BufferId, Lifetime, Plan, Reuse, Slots, table};
use gpu_mnist::recipe::{Recipe, preset};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

const GPU: Target = Target::Gpu(DeviceClass::Gpu);

/// Says what is wrong with a plan, if anything.
fn faults(network: &Network, slots: &Slots) -> Vec<String> {
    let plan = &network.plan;
    let mut faults = Vec::new();
    let mut owner = BTreeMap::new();
    for program in &plan.programs {
        let mut written = HashSet::new();
        for call in &program.calls {
            let what = format!("{} of {} in {}", call.op.name(), call.place, program.name);
            if call.params.len() != call.op.fields().len() || call.buffers.len() != call.op.bindings().len() {
                faults.push(format!("{what}: parameters or buffers are missing"));
            }
            let distinct: HashSet<BufferId> = call.buffers.iter().copied().collect();
            if distinct.len() < call.buffers.len() {
                faults.push(format!("{what}: one buffer twice"));
            }
            for (id, binding) in call.buffers.iter().zip(call.op.bindings()) {
                if plan.buffers[id.0].lifetime == Lifetime::Run {
                    continue;
                }
                let name = &plan.buffers[id.0].name;
                if binding.access != Access::Write && !written.contains(id) {
                    faults.push(format!("{what} reads {name}, which nothing wrote"));
                }
                if *owner.entry(*id).or_insert(&program.name) != &program.name {
                    faults.push(format!("{name} is used by two programs and survives none"));
                }
            }
            written.extend(call.buffers.iter().copied());
        }
    }
    faults.extend(places(network));
    faults.extend(overlaps(plan, slots));
    faults
}

/// Tensors fill the buffers of parameters and of statistics, and do not overlap.
fn places(network: &Network) -> Vec<String> {
    let mut faults = Vec::new();
    for (trainable, buffer) in [(true, network.shared.parameters), (false, network.shared.statistics)] {
        let mut used = vec![0; network.plan.words(buffer)];
        for place in network.parameters.iter().filter(|place| place.trainable == trainable) {
            used[place.range()].iter_mut().for_each(|count| *count += 1);
        }
        // An empty buffer has one word.
        if used.iter().any(|&count| count != 1) && used.len() > 1 {
            faults.push(format!("trainable {trainable}: tensors overlap or leave room"));
        }
    }
    faults
}

/// Which buffers share memory while both are alive, by looking at every call of every program.
fn overlaps(plan: &Plan, slots: &Slots) -> Vec<String> {
    let name = |id: usize| &plan.buffers[id].name;
    let mut faults = Vec::new();
    for program in &plan.programs {
        let uses = |id: usize| {
            let used = |call: &gpu_mnist::plan::Call| call.buffers.contains(&BufferId(id));
            (program.calls.iter().position(used), program.calls.iter().rposition(used))
        };
        let lives: Vec<(usize, usize, usize)> = (0..plan.buffers.len())
            .filter_map(|id| match (plan.buffers[id].lifetime, uses(id)) {
                (Lifetime::Run, _) => Some((id, 0, usize::MAX)),
                (Lifetime::Step, (Some(first), Some(last))) => Some((id, first, last)),
                (Lifetime::Step, _) => None,
            })
            .collect();
        for (i, &(a, first, last)) in lives.iter().enumerate() {
            for &(b, other_first, other_last) in &lives[..i] {
                if slots.of[a] == slots.of[b] && first <= other_last && other_first <= last {
                    faults.push(format!("{} and {} share memory in {}", name(a), name(b), program.name));
                }
            }
            if slots.words[slots.of[a]] < plan.buffers[a].words {
                faults.push(format!("{} does not fit its memory", name(a)));
            }
        }
    }
    faults
}

#[test]
fn plans_of_shipped_recipes_are_sound() {
    for name in preset::names() {
        let mut recipe = Recipe::preset(name).unwrap();
        for (target, batch, fuse, clip) in
            TARGETS.into_iter().flat_map(|t| [(t, 1, true, 0.0), (t, 256, true, 0.0), (t, 100, false, 1.0)])
        {
            recipe.apply_set(&format!("training.clip_norm={clip}")).unwrap();
            let network = plan_of(&recipe, batch, target, fuse);
            for reuse in [Reuse::ByLifetime, Reuse::Never] {
                let faults = faults(&network, &Slots::assign(&network.plan, reuse));
                assert!(faults.is_empty(), "{name} for {target:?}, batch {batch}, {reuse:?}: {faults:#?}");
            }
        }
    }
}

fn layer() -> impl Strategy<Value = String> {
    let activation =
        prop::sample::select(vec!["linear", "sigmoid", "tanh", "relu", "elu", "selu", "swish", "softmax"]);
    let other = prop::sample::select(vec![
        "{ type = 'flatten' }",
        "{ type = 'batch_norm' }",
        "{ type = 'dropout', rate = 0.5 }",
        "{ type = 'dropout', rate = 0.0 }",
        "{ type = 'max_pool', size = 2 }",
        "{ type = 'max_pool', size = 3 }",
    ]);
    let conv = (1..5_usize, 1..6_usize, prop::bool::ANY, activation.clone()).prop_map(|(filters, kernel, same, activation)| {
        let padding = if same { "same" } else { "valid" };
        format!(
            "{{ type = 'conv2d', filters = {filters}, kernel = {kernel}, padding = '{padding}', activation = '{activation}' }}"
        )
    });
    let dense = (1..40_usize, activation.clone()).prop_map(|(units, activation)| {
        format!("{{ type = 'dense', units = {units}, activation = '{activation}' }}")
    });
    let alone = activation.prop_map(|function| format!("{{ type = 'activation', function = '{function}' }}"));
    prop_oneof![conv, dense, alone, other.prop_map(str::to_owned)]
}

fn any_recipe() -> impl Strategy<Value = String> {
    let optimizer = prop::sample::select(vec!["sgd", "adam", "adamw", "rmsprop"]);
    (prop::collection::vec(layer(), 0..9), optimizer, prop::bool::ANY).prop_map(|(layers, optimizer, clip)| {
        format!(
            "name = 'any'\noptimizer.name = '{optimizer}'\ntraining = {{ epochs = 1, clip_norm = {}.0 }}\n\
             layers = [{}{{ type = 'dense', units = 'classes' }}]",
            u8::from(clip),
            layers.iter().map(|layer| format!("{layer}, ")).collect::<String>()
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_of_any_network_are_sound(text in any_recipe(), batch in 1..70_usize, target in 0..3_usize, fuse in prop::bool::ANY) {
        let recipe = Recipe::from_toml(&text, "any").unwrap();
        // Pools and windows that are too large for what is left of the image are none of this test's business.
        let form = gpu_mnist::layers::Shape { channels: 1, height: 28, width: 28 };
        prop_assume!(gpu_mnist::layers::resolve(&recipe, form, 10).is_ok());
        let network = plan_of(&recipe, batch, TARGETS[target], fuse);
        for reuse in [Reuse::ByLifetime, Reuse::Never] {
            let faults = faults(&network, &Slots::assign(&network.plan, reuse));
            prop_assert!(faults.is_empty(), "{:#?}", faults);
        }
    }
}

/// The checks above find what they look for.
#[test]
fn planted_faults_are_found() {
    let recipe = Recipe::preset("cnn-16-36").unwrap();
    let sound = plan_of(&recipe, 32, GPU, false);
    let slots = Slots::assign(&sound.plan, Reuse::ByLifetime);
    assert!(faults(&sound, &slots).is_empty());
    let find = |what: &str| sound.plan.buffers.iter().position(|buffer| buffer.name == what).unwrap();
    let plant = |change: &dyn Fn(&mut Network, &mut Slots), message: &str| {
        let (mut network, mut slots) = (sound.clone(), slots.clone());
        change(&mut network, &mut slots);
        let faults = faults(&network, &slots);
        assert!(faults.iter().any(|fault| fault.contains(message)), "{message}: {faults:?}");
    };
    plant(&|_, slots| slots.of[find("conv2d.output")] = slots.of[find("dense.output")], "share memory");
    plant(&|_, slots| slots.of[find("x")] = slots.of[find("parameters")], "share memory");
    plant(&|_, slots| slots.words.iter_mut().for_each(|words| *words -= 1), "does not fit");
    plant(&|network, _| network.parameters[1].offset -= 1, "overlap or leave room");
    let train = sound.train.0;
    plant(&|network, _| drop(network.plan.programs[train].calls.remove(0)), "which nothing wrote");
    plant(
        &|network, _| network.plan.programs[train].calls[1].buffers[2] = BufferId(find("x")),
        "one buffer twice",
    );
    plant(&|network, _| network.plan.programs[train].calls[0].params.truncate(1), "are missing");
}

/// Small networks are bound by dispatches, so their number must not creep up.
#[test]
fn dispatches_of_a_training_step() {
    let mut counts = BTreeMap::new();
    for name in preset::names() {
        let recipe = Recipe::preset(name).unwrap();
        let network = plan_of(&recipe, recipe.training.batch_size, GPU, true);
        let count = network.plan.programs[network.train.0].calls.len();
        println!("{name:<14} {count:>4} dispatches a training step");
        counts.insert(name, count);
    }
    assert!(counts["mlp-128-128"] <= 12, "{counts:?}");
    assert!(counts["cnn-16-36"] <= 18, "{counts:?}");
    assert!(counts["mlp-50x100"] <= 260, "{counts:?}");
    // gather, a product, the loss, the update, the end of the step
    assert!(counts["softmax"] <= 5, "{counts:?}");
}

/// Windows are pooled by the convolution before them where it is the first unit, and its function can be the epilogue.
#[test]
fn first_convolutions_pool() {
    let conv =
        |function: &str| format!("{{ type = 'conv2d', filters = 2, kernel = 3, activation = '{function}' }}");
    let [linear, relu, swish] = ["linear", "relu", "swish"].map(conv);
    let pool = |size| format!("{{ type = 'max_pool', size = {size} }}");
    let tanh = "{ type = 'activation', function = 'tanh' }".to_owned();
    let dropout = "{ type = 'dropout', rate = 0.5 }".to_owned();
    let dense = "{ type = 'dense', units = 'classes' }".to_owned();
    for (pools, layers) in [
        (true, vec![&relu, &pool(2)]),
        (true, vec![&linear, &tanh, &pool(2)]),
        (true, vec![&linear, &pool(2), &tanh]),
        (true, vec![&relu, &pool(2), &relu, &pool(2)]),
        (false, vec![&relu, &pool(3)]),
        (false, vec![&swish, &pool(2)]),
        (false, vec![&relu, &relu, &pool(2)]),
        (false, vec![&dropout, &relu, &pool(2)]),
        (false, vec![&relu, &pool(2), &dropout]),
    ] {
        let layers: Vec<&str> = layers.into_iter().chain([&dense]).map(String::as_str).collect();
        let text = format!(
            "name = 'any'\noptimizer.name = 'sgd'\ntraining = {{ epochs = 1 }}\nlayers = [{}]",
            layers.join(", ")
        );
        let recipe = Recipe::from_toml(&text, "any").unwrap();
        let network = plan_of(&recipe, 32, GPU, true);
        let calls = &network.plan.programs[network.train.0].calls;
        let count = |name: &str| calls.iter().filter(|call| call.op.name() == name).count();
        let ops = ["conv2d_max_pool", "conv2d_max_pool_weight_grad"].map(count);
        assert_eq!(ops, [usize::from(pools); 2], "{text}");
        assert_eq!(
            count("conv2d") + usize::from(pools),
            layers.iter().filter(|l| l.contains("conv2d")).count()
        );
    }
}

#[test]
fn the_table_shows_every_call() {
    for name in preset::names() {
        let recipe = Recipe::preset(name).unwrap();
        let network = plan_of(&recipe, 64, GPU, true);
        let matrices = Some(Matrices::usual(Factors::F16));
        for (id, class, matrices) in [
            (network.train, DeviceClass::Gpu, None),
            (network.train, DeviceClass::Gpu, matrices),
            (network.evaluate, DeviceClass::Software, None),
        ] {
            let text = table::table(&network.plan, id, class, matrices);
            let calls = &network.plan.programs[id.0].calls;
            let lines: Vec<&str> = text.lines().skip(2).collect();
            assert_eq!(lines.len(), calls.len(), "{name}");
            for (line, call) in lines.iter().zip(calls) {
                let [x, y, z] = kernel(call.op, &call.params, class, matrices).grid;
                let mut parts = vec![call.place.clone(), call.op.name().to_owned(), format!(" {x}x{y}x{z} ")];
                let buffers = call.op.bindings().iter().zip(&call.buffers);
                parts
                    .extend(buffers.map(|(binding, id)| {
                        format!("{}={}", binding.name, network.plan.buffers[id.0].name)
                    }));
                assert!(
                    parts.iter().all(|part| line.contains(part)),
                    "{name}: {line:?} lacks one of {parts:?}"
                );
            }
        }
    }
}

/// Backward passes reuse what forward passes no longer need, and the table says what it comes to.
#[test]
fn memory_of_a_large_network_at_a_large_batch() {
    let recipe = Recipe::preset("cnn-64-128").unwrap();
    let network = plan_of(&recipe, 1024, GPU, true);
    let [shared, apart] =
        [Reuse::ByLifetime, Reuse::Never].map(|reuse| Slots::assign(&network.plan, reuse).bytes());
    println!(
        "cnn-64-128 at batch 1024: {:.0} MB shared, {:.0} MB apart",
        shared as f64 / 1e6,
        apart as f64 / 1e6
    );
    let megabytes = format!("{:.1} MB", shared as f64 / 1e6);
    assert!(table::memory(&network.plan, Reuse::ByLifetime).contains(&megabytes));
    // What must be there at once: data, weights, the outputs of all layers, where the first has winners, and at the widest place
    // of the way back the gradients on both sides of the second pooling.
    let activations: usize =
        network.outputs.iter().map(|(_, tensor)| network.plan.words(tensor.buffer)).sum();
    let run = network.plan.buffers.iter().filter(|buffer| buffer.lifetime == Lifetime::Run);
    let lasting: usize = run.map(|buffer| buffer.words).sum();
    let of = |layer: &str| network.outputs.iter().find(|(name, _)| name == layer).unwrap().1.buffer;
    let winners = network.plan.words(of("conv2d"));
    let widest = network.plan.words(of("conv2d_1")) + network.plan.words(of("max_pooling2d_1"));
    let least = 4 * (activations + winners + lasting + widest) as u64;
    assert!(shared < least + least / 10, "{shared} bytes, at least {least} are needed");
}

/// What layers hand on is in half precision; gradients, parameters, statistics and what the loss is made of are not.
#[test]
fn half_precision_is_for_activations_only() {
    for name in preset::names() {
        let recipe = Recipe::preset(name).unwrap();
        let network = plan_of(&recipe, 64, GPU, true);
        let plan = network.plan.clone().with_half_activations();
        let calls = || plan.programs.iter().flat_map(|program| &program.calls);
        let logits: HashSet<BufferId> =
            calls().filter(|call| call.op.name() == "softmax_xent").map(|call| call.buffers[0]).collect();
        for (layer, tensor) in &network.outputs {
            let buffer = &plan.buffers[tensor.buffer.0];
            assert_eq!(buffer.half, !logits.contains(&tensor.buffer), "{name}: {layer}, {}", buffer.name);
        }
        for buffer in plan.buffers.iter().filter(|buffer| buffer.half) {
            assert!(buffer.name == "x" || buffer.name.contains("output"), "{name}: {}", buffer.name);
        }
        let bytes = |plan: &Plan| Slots::assign(plan, Reuse::Never).bytes();
        let halves = plan.buffers.iter().filter(|buffer| buffer.half).map(|buffer| buffer.words as u64 / 2);
        assert_eq!(bytes(&network.plan) - bytes(&plan), 4 * halves.sum::<u64>(), "{name}");
    }
}
