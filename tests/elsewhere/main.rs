//! Trained networks taken elsewhere: ONNX Runtime and PyTorch, the real ones, give our logits.
//!
//! `GPU_MNIST_PYTHON` names the interpreter (without it: `python3`), and once it is set, a package that is missing is a
//! failure rather than a skipped test.

#[path = "../common/trained.rs"]
mod trained;

use gpu_mnist::export::{onnx, pytorch};
use gpu_mnist::recipe::Overrides;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use trained::{Trained, trained};

/// Logits here and there differ by no more.
const ALLOWED: f64 = 1e-5;
/// Images of the test set that are compared.
const IMAGES: usize = 1000;

/// Runs a script; `None` where a package is missing and none is required.
fn python(packages: &[&str], script: &str, folder: &Path) -> Option<String> {
    let required = std::env::var("GPU_MNIST_PYTHON").ok();
    let interpreter = required.clone().unwrap_or_else(|| "python3".to_owned());
    let imports = Command::new(&interpreter)
        .args(["-c", &format!("import {}", packages.join(", "))])
        .output()
        .map_err(|error| error.to_string())
        .and_then(|output| match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        });
    if let Err(error) = imports {
        let message = format!("{interpreter} cannot import {}: {error}", packages.join(", "));
        assert!(required.is_none(), "{message}");
        println!("SKIPPED: {message}; set GPU_MNIST_PYTHON to an interpreter that has them");
        return None;
    }
    let mut child = Command::new(&interpreter)
        .arg("-")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Puts the test images (bytes) beside the model, for scripts to read.
fn write_images(trained: &Trained, folder: &Path) {
    let images = &trained.data.test.images;
    std::fs::write(folder.join("images.bin"), images.rows(0..IMAGES)).unwrap();
}

/// Python's `logits.bin` (f64) against ours: the greatest difference.
fn difference(name: &str, ours: &[f64], folder: &Path) -> f64 {
    let bytes = std::fs::read(folder.join("logits.bin")).unwrap();
    let theirs: Vec<f64> = bytes.as_chunks().0.iter().map(|&word| f64::from_le_bytes(word)).collect();
    assert_eq!(theirs.len(), ours.len());
    let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
    // Written so that NaN is not lost.
    let largest = differences.fold(0.0_f64, |largest, d| if d <= largest { largest } else { d });
    let magnitude = ours.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    println!("{name}: logits up to {magnitude:.1}, greatest difference {largest:.2e}");
    largest
}

/// Our logits in f32.
fn logits(trained: &Trained) -> Vec<f64> {
    trained.logits(IMAGES).concat().into_iter().map(f64::from).collect()
}

const ONNX: &str = r#"
import numpy, onnx, onnxruntime
onnx.checker.check_model("model.onnx", full_check=True)
images = numpy.fromfile("images.bin", numpy.uint8).reshape(-1, 1, 28, 28)
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
logits, probabilities = session.run(["logits", "probabilities"], {"images": images})
# The batch size is free, and an image's answer does not depend on its company.
for size in (1, 7):
    alone, = session.run(["logits"], {"images": images[:size]})
    assert alone.shape == (size, 10), alone.shape
    assert numpy.abs(alone - logits[:size]).max() < 1e-5
assert numpy.abs(probabilities.sum(axis=1) - 1).max() < 1e-5
# Numbers that are scaled already are refused.
try:
    session.run(None, {"images": (images / 255).astype(numpy.float32)})
    raise SystemExit("scaled pixels were taken for bytes")
except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
    pass
logits.astype("<f8").tofile("logits.bin")
"#;

#[test]
fn onnx_files_pass_the_checker() {
    for (recipe, changes) in [("mlp-128-128", batch_norm()), ("cnn-28-10", everything())] {
        let trained = trained(recipe, changes);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.onnx"), onnx::to_bytes(&trained.model).unwrap()).unwrap();
        let check = "import onnx\nonnx.checker.check_model(onnx.load('model.onnx'), full_check=True)\n";
        python(&["onnx"], check, folder.path());
    }
}

fn onnx_gives_our_logits(recipe: &str, changes: Overrides) {
    let trained = trained(recipe, changes);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.onnx"), onnx::to_bytes(&trained.model).unwrap()).unwrap();
    write_images(&trained, folder.path());
    if python(&["numpy", "onnx", "onnxruntime"], ONNX, folder.path()).is_some() {
        let difference = difference(recipe, &logits(&trained), folder.path());
        assert!(difference <= ALLOWED, "{recipe}: logits of ONNX Runtime differ by {difference:e}");
    }
}

#[test]
fn onnx_runtime_gives_our_logits_for_dense_layers() {
    onnx_gives_our_logits("mlp-128-128", Overrides::default());
}

#[test]
fn onnx_runtime_gives_our_logits_for_batch_norm() {
    onnx_gives_our_logits("mlp-128-128", batch_norm());
}

#[test]
fn onnx_runtime_gives_our_logits_for_convolutions() {
    onnx_gives_our_logits("cnn-16-36", Overrides::default());
}

#[test]
fn onnx_runtime_gives_our_logits_for_convolutions_of_an_even_kernel_behind_batch_norm() {
    onnx_gives_our_logits("cnn-28-10", everything());
}

/// Changes to `cnn-28-10` that bring in what no recipe has: an even kernel with "same", standardised pixels, swish, and
/// batch norm over images.
fn everything() -> Overrides {
    let set = ["data.scaling=\"standardize\"", "layers.4.padding=\"same\""];
    Overrides {
        batch_norm: Some(true),
        activation: Some("swish".to_owned()),
        set: set.map(str::to_owned).to_vec(),
        ..Overrides::default()
    }
}

/// The block of Python in the README that loads a model into PyTorch.
fn readme_lines() -> String {
    let readme = include_str!("../../README.md");
    let blocks: Vec<&str> =
        readme.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [block] = blocks[..] else {
        panic!("the README has {} blocks of Python, expected one", blocks.len())
    };
    block.to_owned()
}

fn batch_norm() -> Overrides {
    Overrides { batch_norm: Some(true), ..Overrides::default() }
}

// Fifty layers make differences of rounding many times as large, in any program. So that network is compared in f64, where
// nothing but a wrong graph could differ: our formulas against the graph with all its numbers made double.

const ONNX_IN_DOUBLE: &str = r#"
import numpy, onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
model = onnx.load("model.onnx")
onnx.checker.check_model(model, full_check=True)
for tensor in model.graph.initializer:
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(numpy.float64), tensor.name))
for node in model.graph.node:
    if node.op_type == "Cast":
        node.attribute[0].i = onnx.TensorProto.DOUBLE
images = numpy.fromfile("images.bin", numpy.uint8).reshape(-1, 1, 28, 28)
logits, = ReferenceEvaluator(model).run(["logits"], {"images": images})
assert logits.dtype == numpy.float64
logits.astype("<f8").tofile("logits.bin")
"#;

#[test]
fn fifty_layers_are_the_same_function_in_onnx() {
    // An ONNX file has the constants of selu in single precision, which is not what is to be compared here.
    let changes = Overrides { activation: Some("tanh".to_owned()), ..Overrides::default() };
    let trained = trained("mlp-50x100", changes);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.onnx"), onnx::to_bytes(&trained.model).unwrap()).unwrap();
    write_images(&trained, folder.path());
    if python(&["numpy", "onnx.reference"], ONNX_IN_DOUBLE, folder.path()).is_some() {
        let difference = difference("mlp-50x100 in f64", &trained.exact_logits(IMAGES), folder.path());
        assert!(difference <= ALLOWED, "logits of the ONNX graph differ by {difference:e}");
    }
}

#[test]
fn fifty_layers_are_the_same_function_in_pytorch() {
    let trained = trained("mlp-50x100", Overrides::default());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("w.safetensors"), pytorch::weights(&trained.model).unwrap()).unwrap();
    let lines = pytorch::script(&trained.model, "w.safetensors").unwrap() + "\nnet.double()\n";
    if run_in_pytorch(&trained, &lines, "double", folder.path()) {
        let difference = difference("mlp-50x100 in f64", &trained.exact_logits(IMAGES), folder.path());
        assert!(difference <= ALLOWED, "logits of PyTorch differ by {difference:e}");
    }
}

/// Runs lines that define `logits(images)`; whether they could run.
fn run_in_pytorch(trained: &Trained, lines: &str, number: &str, folder: &Path) -> bool {
    write_images(trained, folder);
    let script = format!(
        "{lines}\nimport torch\nimages = torch.frombuffer(bytearray(open('images.bin', 'rb').read()), dtype=torch.uint8)\n\
         with torch.no_grad():\n    answer = logits(images.reshape(-1, 1, 28, 28).to(torch.{number}))\n\
         open('logits.bin', 'wb').write(answer.numpy().astype('<f8').tobytes())\n"
    );
    python(&["numpy", "torch", "safetensors.torch"], &script, folder).is_some()
}

fn pytorch_gives_our_logits(trained: &Trained, lines: &str, folder: &Path) {
    if run_in_pytorch(trained, lines, "uint8", folder) {
        let difference = difference(&trained.model.recipe.name, &logits(trained), folder);
        assert!(difference <= ALLOWED, "logits of PyTorch differ by {difference:e}");
    }
}

#[test]
fn the_readmes_lines_load_a_run_into_pytorch() {
    let trained = trained("cnn-16-36", Overrides::default());
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs/cnn");
    std::fs::create_dir_all(&run).unwrap();
    trained.model.save(&run.join("model.safetensors")).unwrap();
    pytorch_gives_our_logits(&trained, &readme_lines(), folder.path());
    // And they are the lines that `export` prints.
    assert_eq!(pytorch::script(&trained.model, "runs/cnn/model.safetensors").unwrap(), readme_lines());
}

#[test]
fn the_printed_lines_load_the_exported_weights_into_pytorch() {
    let plain = Overrides::default;
    for (recipe, changes) in
        [("mlp-128-128", plain()), ("mlp-128-128", batch_norm()), ("cnn-28-10", everything())]
    {
        let trained = trained(recipe, changes);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.safetensors"), pytorch::weights(&trained.model).unwrap())
            .unwrap();
        let lines = pytorch::script(&trained.model, "w.safetensors").unwrap();
        pytorch_gives_our_logits(&trained, &lines, folder.path());
    }
}

#[test]
fn export_writes_into_the_run_and_over_nothing_else() {
    let trained = trained("mlp-16-16", Overrides::default());
    let folder = tempfile::tempdir().unwrap();
    let (run, foreign) = (folder.path().join("run"), folder.path().join("foreign"));
    for path in [&run, &foreign] {
        std::fs::create_dir(path).unwrap();
    }
    std::fs::write(foreign.join("letter.txt"), "dear").unwrap();
    let model = run.join("model.safetensors");
    trained.model.save(&model).unwrap();
    let before = std::fs::read(&model).unwrap();
    let export = |format: &str, out: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
        command.arg("export").arg(&run).args(["--format", format]).env_remove("GPU_MNIST_DATA_DIR");
        command.args(out.map(|out| [Path::new("--out"), out]).into_iter().flatten()).output().unwrap()
    };
    for (format, out, code) in [
        ("onnx", None, 0),
        ("safetensors", None, 0),
        ("web", None, 0),
        ("web", None, 0),
        ("safetensors", Some(&model), 2),
        ("onnx", Some(&foreign), 2),
        ("web", Some(&foreign), 2),
        ("coreml", None, 2),
    ] {
        let output = export(format, out.map(|path| path.as_path()));
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{format} {out:?}: {message}");
        assert!(code == 0 || message.contains("--out") || format == "coreml", "{message}");
    }
    assert_eq!(std::fs::read(&model).unwrap(), before);
    let names = |folder: &Path| {
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&foreign), ["letter.txt"]);
    assert_eq!(names(&run), ["model.onnx", "model.safetensors", "pytorch.safetensors", "web"]);
    let printed = String::from_utf8(export("safetensors", None).stdout).unwrap();
    let path = run.join("pytorch.safetensors").display().to_string();
    assert_eq!(printed, pytorch::script(&trained.model, &path).unwrap());
}
