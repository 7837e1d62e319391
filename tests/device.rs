//! Devices that miscompute, lack something, die or hang: rehearsed on a sound one, as a user would meet it. Each has a message, an
//! exit code, a checkpoint that is kept, and a run that can be taken up to the same bits.

mod common;

use common::any_adapter;
use gpu_mnist::ops;
use gpu_mnist::recipe::Recipe;
use gpu_mnist::verify::self_test::SelfTest;
use std::path::Path;
use std::process::{Command, Output};

/// The backend under test, as the command line calls it; `None` where there is none.
fn backend() -> Option<String> {
    any_adapter().map(|adapter| adapter.info().backend.clone())
}

/// Runs the program with these faults planted.
fn rehearse(faults: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
    command.args(arguments).env("GPU_MNIST_PLANT_FAULT", faults).env_remove("GPU_MNIST_DATA_DIR");
    command.output().unwrap()
}

/// Runs, demands an exit code, no panic and a message with all of these, and returns the message.
fn expect(faults: &str, arguments: &[&str], code: i32, says: &[&str]) -> String {
    let output = rehearse(faults, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{faults} {arguments:?}: {message}");
    for part in says {
        assert!(message.contains(part), "{faults} {arguments:?} says {message:?}, not {part:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
    message
}

/// Flags of a small run of 60 steps with dropout and momentum, a checkpoint every 7 steps.
fn small<'a>(backend: &'a str, out: &'a str) -> Vec<&'a str> {
    let recipe = ["train", "-q", "--recipe", "mlp-16-16", "--limit", "630", "--epochs", "3"];
    let optimizer = ["--optimizer", "sgd", "--set", "optimizer.momentum=0.9", "--checkpoint-steps", "7"];
    [&recipe[..], &optimizer, &["--backend", backend, "--out", out]].concat()
}

fn same_run(left: &Path, right: &Path) {
    for file in ["model.safetensors", "history.csv", "steps.csv"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(read(left) == read(right), "{file} of {} differs", right.display());
    }
}

#[test]
fn what_kernels_are_asked_for_is_refused_where_there_are_none() {
    let train = ["train", "--class", "gpu", "--epochs", "1", "--backend", "cpu"];
    expect("", &train, 3, &["the CPU backend has kernels of its own", "leave --class out"]);
    let train = ["train", "--subgroups", "--epochs", "1", "--backend", "cpu"];
    expect("", &train, 3, &["the CPU backend has no subgroups", "leave --subgroups out"]);
    let train = ["train", "--f16", "--epochs", "1", "--backend", "cpu"];
    expect("", &train, 3, &["the CPU backend has no half precision", "leave --f16 out"]);
    let train = ["train", "--cooperative-matrices", "--epochs", "1", "--backend", "cpu"];
    let says = ["the CPU backend has no cooperative matrices", "leave --cooperative-matrices out"];
    expect("", &train, 3, &says);
    let Some(adapter) = any_adapter() else { return };
    for (feature, flag, what) in [
        ("subgroup", "--subgroups", "subgroups"),
        ("shader-f16", "--f16", "half precision"),
        ("cooperative-matrix", "--cooperative-matrices", "cooperative matrices"),
    ] {
        if !adapter.features().contains(&feature) {
            let verify = ["verify", flag, "--backend", &adapter.info().backend];
            expect("", &verify, 3, &[&format!("offers no {what}"), &format!("leave {flag} out")]);
        }
    }
}

#[test]
fn a_planted_fault_in_any_op_is_found_and_named() {
    let Some(backend) = backend() else { return };
    for op in ops::ALL {
        let name = op.name();
        let fault = format!("op:{name}");
        let arguments = ["verify", "--backend", &backend, "--op", name];
        let message =
            expect(&fault, &arguments, 6, &[name, "number", "is", "the reference has", "Do not train"]);
        let output =
            op.bindings().iter().any(|binding| message.contains(&format!("{}: number", binding.name)));
        assert!(output, "{name}: {message}");
        assert!(!message.contains("cpu: "), "the CPU was not the one: {message}");
    }
}

/// In a training step the first call that differs is named, with its layer and sizes, and no call before it.
#[test]
fn a_planted_fault_is_found_in_a_training_step() {
    let Some(backend) = backend() else { return };
    let arguments = ["verify", "--backend", &backend, "--recipe", "mlp-16-16", "--steps", "1"];
    let says = ["step 1, call", "dense_input_grad in dense_2", "inputs=16", "units=10", "x_grad"];
    let output = rehearse("op:dense_input_grad", &arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{message}");
    assert!(says.iter().all(|part| message.contains(part)), "{message}");
    let table = String::from_utf8_lossy(&output.stdout);
    let wrong = table.lines().filter(|line| line.ends_with("WRONG"));
    assert!(wrong.into_iter().all(|line| line.contains("dense_input_grad")), "{table}");
}

#[test]
fn a_device_that_miscomputes_is_refused_by_name_before_training() {
    let Some(backend) = backend() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let name = any_adapter().unwrap().info().name.clone();
    let says = [name.as_str(), "fails the self-test: dense (", "gpu-mnist verify"];
    expect("op:dense", &small(&backend, out.to_str().unwrap()), 3, &says);
    assert!(!out.join("checkpoint.safetensors").exists());
    // An op that the recipe does not use is no reason.
    std::fs::remove_dir_all(&out).unwrap();
    expect("op:conv2d", &small(&backend, out.to_str().unwrap()), 0, &[]);
}

#[test]
fn a_device_that_lacks_a_limit_is_refused() {
    let Some(backend) = backend() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments = small(&backend, out.to_str().unwrap());
    expect("storage-buffers:4", &arguments, 3, &["4 storage buffers", "need 8", "--backend cpu"]);
}

/// The batch that the advice names is tried, and so is the next block where the limit is exact.
#[test]
fn a_batch_that_does_not_fit_is_refused_with_the_largest_that_does() {
    let Some(backend) = backend() else { return };
    // The pixels of 14,000 images take 11 MB in any case; those of a batch 3,136 bytes an image.
    for (fault, exact) in [("binding-bytes:11500000", true), ("memory-bytes:23000000", false)] {
        let folder = tempfile::tempdir().unwrap();
        let train = |batch: usize, name: &str, code: i32| {
            let (batch, out) = (batch.to_string(), folder.path().join(name));
            let recipe = ["train", "-q", "--recipe", "mlp-16-16", "--limit", "4000", "--epochs", "1"];
            let rest = ["--backend", &backend, "--out", out.to_str().unwrap(), "--batch-size", &batch];
            expect(fault, &[&recipe[..], &rest].concat(), code, &[])
        };
        let message = train(3900, "too-large", 3);
        println!("{fault}: {message}");
        let rest = message.split_once("the largest that fits is --batch-size ").map(|(_, rest)| rest);
        let largest = rest.and_then(|rest| rest.split(';').next()).and_then(|number| number.parse().ok());
        let largest: usize = largest.unwrap_or_else(|| panic!("{message}"));
        assert!(largest > 2500, "{message}");
        train(largest, "fits", 0);
        if exact {
            train(largest + 16, "still-too-large", 3);
        }
    }
}

#[test]
fn a_lost_device_keeps_the_checkpoint_and_the_run_goes_on_to_the_same_bits() {
    let Some(backend) = backend() else { return };
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    expect("", &small(&backend, whole.to_str().unwrap()), 0, &[]);
    // Submissions: the first are those of the self-test, others hold 7 steps or evaluate.
    for at in [1, 11, 12, 14, 17, 19, 22] {
        let path = folder.path().join(format!("lost-{at}"));
        let out = path.to_str().unwrap();
        let message = expect(&format!("destroy:{at}"), &small(&backend, out), 3, &["lost", "--resume"]);
        println!("{at}: {message}, checkpoint {}", path.join("checkpoint.safetensors").exists());
        let output =
            rehearse("", &["train", "-q", "--backend", &backend, "--checkpoint-steps", "7", "--resume", out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        same_run(&whole, &path);
    }
}

#[test]
fn a_hang_is_noticed_and_does_not_hang_the_program() {
    let Some(backend) = backend() else { return };
    if backend == "gl" {
        return println!("SKIPPED: OpenGL on llvmpipe submits synchronously, so a wait cannot be cut short");
    }
    let folder = tempfile::tempdir().unwrap();
    let (whole, path) = (folder.path().join("whole"), folder.path().join("hung"));
    expect("", &small(&backend, whole.to_str().unwrap()), 0, &[]);
    let out = path.to_str().unwrap();
    expect("hang:16,patience:2", &small(&backend, out), 3, &["nothing for 2 s", "hang", "--resume"]);
    let output =
        rehearse("", &["train", "-q", "--backend", &backend, "--checkpoint-steps", "7", "--resume", out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    same_run(&whole, &path);
}

/// Dispatches that are cut into parts, here those that a slow GPU would need 10 us for, yield the bits of whole ones.
#[test]
fn dispatches_in_parts_yield_the_same_bits() {
    let Some(backend) = backend() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cnn = ["cnn-16-36", "--set", "layers.0.filters=3", "--set", "layers.2.filters=5"];
    for recipe in [&cnn[..], &["mlp-128-128"], &["mlp-50x100", "--set", "layers.1.times=2"]] {
        let [whole, parts] = [("", "whole"), ("dispatch-us:10", "parts")].map(|(faults, name)| {
            let path = folder.path().join(format!("{}-{name}", recipe[0]));
            let rest = ["--limit", "256", "--epochs", "1", "--batch-size", "60", "--backend", &backend];
            let out = ["--out", path.to_str().unwrap()];
            expect(faults, &[&["train", "-q", "--recipe"], recipe, &rest, &out].concat(), 0, &[]);
            path
        });
        same_run(&whole, &parts);
    }
}

/// How long the self-test takes, for whoever wants to know; how long it may take depends on the device.
#[test]
fn the_self_test_passes() {
    let Some(gpu) = common::gpu() else { return };
    for name in ["mlp-128-128", "cnn-16-36", "mlp-50x100"] {
        let recipe = Recipe::preset(name).unwrap();
        let mut plan = common::network::plan_of(&recipe, 32, gpu.target(), true).plan;
        let test = SelfTest::add(&mut plan);
        let mut backend = gpu.open(&plan).unwrap();
        for run in ["first", "again"] {
            let start = std::time::Instant::now();
            test.run(backend.as_mut()).unwrap();
            println!("{name}: {} us, {run}", start.elapsed().as_micros());
        }
    }
}

#[test]
fn wrong_faults_and_wrong_systems_are_told() {
    expect("dense", &["verify", "--backend", "gpu"], 2, &["GPU_MNIST_PLANT_FAULT", "op:NAME"]);
    if !cfg!(target_vendor = "apple") {
        expect("", &["verify", "--backend", "metal"], 3, &["Apple", "--backend gpu"]);
    }
    // A folder without a run is told even where there is no driver.
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
    command.args(["train", "--backend", "vulkan", "--resume", "/nonexistent"]);
    let output = command.env("VK_ICD_FILENAMES", "/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Mesa's complaint about a folder for sockets, and any other line that is not ours.
#[test]
fn drivers_print_nothing() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
    let output = command.arg("devices").env_remove("XDG_RUNTIME_DIR").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
