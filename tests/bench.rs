//! `bench` on the CPU and on a GPU: reports are whole and sensible, and compare. No speed is asserted.

use gpu_mnist::backend::gpu::adapter::{self, Api, Selection};
use gpu_mnist::bench::report::Report;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn gpu_mnist(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpu-mnist")).args(args).output().unwrap()
}

/// Standard output of a command that must succeed.
fn stdout(args: &[&str]) -> String {
    let output = gpu_mnist(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn check(report: &Report, recipe: &str, batch_size: usize) {
    assert!(report.quick);
    let ceilings = &report.ceilings;
    for figure in [ceilings.gflop_per_s, ceilings.dispatch, ceilings.submit]
        .into_iter()
        .chain(ceilings.bandwidth.iter().map(|b| b.gb_per_s))
        .chain(report.ops.iter().map(|op| op.seconds))
        .chain(report.steps.iter().map(|step| step.seconds))
    {
        assert!(figure.median > 0.0 && figure.median.is_finite(), "{figure:?}");
        assert!(figure.q1 <= figure.median && figure.median <= figure.q3, "{figure:?}");
        assert!(figure.samples >= 3, "{figure:?}");
    }
    assert!(ceilings.bandwidth.windows(2).all(|pair| pair[0].bytes < pair[1].bytes));
    let [step] = report.steps.as_slice() else { panic!("one recipe was asked for") };
    assert_eq!((step.recipe.as_str(), step.batch_size), (recipe, batch_size));
    assert!(report.ops.iter().all(|op| op.recipe == recipe && op.count > 0));
    assert_eq!(step.dispatches, report.ops.iter().map(|op| op.count).sum::<usize>());
    assert_eq!(step.dispatches, step.parts.iter().map(|part| part.calls).sum::<usize>());
    assert_eq!(step.flops, report.ops.iter().map(|op| op.count as u64 * op.flops).sum::<u64>());
    let parts: f64 = step.parts.iter().map(|part| part.share).sum();
    assert!((parts - 1.0).abs() < 1e-9, "{parts}");
    // Forward, loss, backward and optimiser are all there.
    for op in ["gather", "dense", "softmax_xent", "dense_weight", "end_step"] {
        assert!(report.ops.iter().any(|figures| figures.op.starts_with(op)), "{op} is missing");
    }
}

/// Measures on a backend, and checks the report and its comparison with itself.
fn bench_on(backend: &str, folder: &Path) -> PathBuf {
    let file = folder.join(format!("{backend}.json"));
    let path = file.to_str().unwrap();
    let args = ["bench", "--backend", backend, "--quick", "--recipe", "softmax", "--batch-size", "48"];
    let text = stdout(&[&args[..], &["--json", path]].concat());
    assert!(text.contains("multiply-adds") && text.contains("softmax_xent"), "{text}");
    let report: Report = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    check(&report, "softmax", 48);
    // A batch of 48 images is three blocks of 16.
    let dense = report.ops.iter().find(|op| op.op == "dense").unwrap();
    assert_eq!((dense.params["blocks"].as_u64(), dense.flops), (Some(3), 2 * 48 * 784 * 10));

    let same: Value = serde_json::from_str(&stdout(&["bench", "--compare", path, path, "--json"])).unwrap();
    let ratios = same["ratios"].as_array().unwrap();
    assert_eq!(ratios.len(), 3 + report.ceilings.bandwidth.len() + report.ops.len() + report.steps.len());
    assert!(ratios.iter().all(|ratio| ratio["ratio"] == 1.0), "{ratios:?}");
    assert_eq!(same["only_in_one"], Value::Array(vec![]));
    file
}

#[test]
fn a_report_of_the_cpu_is_whole_and_compares() {
    let folder = tempfile::tempdir().unwrap();
    let file = bench_on("cpu", folder.path());
    let path = file.to_str().unwrap();

    // Twice the speed of everything is a ratio of two.
    let mut faster: Report = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    faster.steps[0].images_per_second *= 2.0;
    faster.ops.pop();
    let other = folder.path().join("faster.json");
    std::fs::write(&other, serde_json::to_string(&faster).unwrap()).unwrap();
    let text = stdout(&["bench", "--compare", path, other.to_str().unwrap(), "--json"]);
    let compared: Value = serde_json::from_str(&text).unwrap();
    let step = compared["ratios"].as_array().unwrap().iter().find(|ratio| ratio["kind"] == "step").unwrap();
    assert_eq!(step["ratio"], 2.0);
    assert_eq!(compared["only_in_one"].as_array().unwrap().len(), 1);
}

#[test]
fn a_report_of_a_gpu_is_whole_and_compares() {
    if let Err(error) = adapter::choose(&Selection { api: Api::Any, adapter: None }) {
        assert!(std::env::var("GPU_MNIST_GPU").as_deref() != Ok("require"), "{error}");
        println!("SKIPPED, no GPU: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    bench_on("gpu", folder.path());
}

#[test]
fn what_is_no_report_is_a_bad_file_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.json");
    for text in ["", "{}", r#"{"schema": 2}"#, r#"{"schema": 1}"#] {
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let output = gpu_mnist(&["bench", "--compare", path, path]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{text}: {message}");
        assert!(message.contains("gpu-mnist bench --json"), "{text}: {message}");
    }
}

#[test]
fn time_to_counts_the_seeds_that_reach_the_accuracy() {
    let args = ["bench", "--time-to", "0.5", "--seeds", "2", "--recipe", "softmax", "--epochs", "1"];
    let text = stdout(&[&args[..], &["--backend", "cpu", "--json"]].concat());
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&result["schema"], &result["reached"]), (&Value::from(1), &Value::from(1.0)), "{text}");
    let seeds = result["seeds"].as_array().unwrap();
    assert_eq!(seeds.len(), 2);
    assert_ne!(seeds[0]["accuracy"], seeds[1]["accuracy"], "seeds decide something");
    let mean = seeds.iter().map(|seed| seed["seconds"].as_f64().unwrap()).sum::<f64>() / 2.0;
    assert!((result["seconds"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9 && mean > 0.0);
}
