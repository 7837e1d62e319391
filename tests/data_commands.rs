//! `data info`, `data preview` and `data verify` as people call them.

mod common;

use common::program::{fails, run, succeeds};
use std::path::Path;

fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeeds(&[arguments, &["--json"]].concat()).0).unwrap()
}

#[test]
fn info_has_the_published_figures_of_mnist() {
    let found = json(&["data", "info"]);
    assert_eq!((&found["schema"], &found["classes"]), (&1.into(), &10.into()));
    let train = &found["train"];
    assert_eq!(train["count"], 60_000);
    assert_eq!(
        train["per_class"],
        serde_json::json!([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    );
    // As PyTorch's MNIST example divides by: 0.1307 and 0.3081.
    let share = |key: &str| train[key].as_f64().unwrap() / 255.0;
    assert!((share("mean") - 0.1307).abs() < 5e-5 && (share("deviation") - 0.3081).abs() < 5e-5, "{train}");
    let (text, _) = succeeds(&["data", "info"]);
    assert!(text.contains("60,000") && text.contains("mnist train-images-idx3-ubyte"), "{text}");
}

#[test]
fn verify_knows_the_published_files_and_finds_a_changed_one() {
    assert!(succeeds(&["data", "verify"]).0.contains("ok: mnist train-images-idx3-ubyte"));
    let folder = tempfile::tempdir().unwrap();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/mnist");
    for name in ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"] {
        std::fs::copy(assets.join(name), folder.path().join(name)).unwrap();
    }
    let spec = folder.path().to_str().unwrap();
    // Packed anew, so it is the unpacked sum that is known.
    let found = json(&["data", "verify", "--data", spec]);
    assert_eq!(found["files"][1]["verdict"]["published"]["file"], "t10k-labels-idx1-ubyte");
    let path = folder.path().join("t10k-labels-idx1-ubyte.gz");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    fails(&["data", "verify", "--data", spec], 4, &["1 of 2 files", "data fetch"]);
}

#[test]
fn files_that_nobody_knows_are_not_called_right() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 1, 5]).unwrap();
    let output = run(&["data", "verify", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not on record"));
}

#[test]
fn preview_writes_a_sheet_with_labels_and_with_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let sheet = path("sheet.svg");
    let found = json(&["data", "preview", "--count", "7", "--first", "3", "--out", &sheet]);
    // The first labels of MNIST are 5 0 4 1 9 2 1 3 1 4.
    let labels: Vec<u64> =
        found["images"].as_array().unwrap().iter().map(|one| one["label"].as_u64().unwrap()).collect();
    assert_eq!(labels, [1, 9, 2, 1, 3, 1, 4]);
    let svg = std::fs::read_to_string(&sheet).unwrap();
    assert!(svg.contains("#3") && svg.contains("7 of 60000"), "the sheet has numbers");
    let run = path("run");
    let train = [
        "train",
        "--backend",
        "cpu",
        "--recipe",
        "mlp-16-16",
        "--limit",
        "640",
        "--epochs",
        "2",
        "-q",
        "--out",
        &run,
    ];
    succeeds(&train);
    let picture = path("sheet.png");
    let flags = [
        "data",
        "preview",
        &run,
        "--backend",
        "cpu",
        "--split",
        "test",
        "--wrong",
        "--random",
        "1",
        "--count",
        "5",
    ];
    let found = json(&[&flags[..], &["--out", &picture]].concat());
    let images = found["images"].as_array().unwrap();
    assert_eq!(images.len(), 5);
    for one in images {
        assert_ne!(one["label"], one["answer"]);
        let index = one["index"].to_string();
        let predicted = json(&["predict", &run, "--backend", "cpu", "--index", &index]);
        assert_eq!(predicted["digit"], one["answer"]);
    }
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    fails(&["data", "preview", "--first", "60000"], 2, &["60000"]);
}
