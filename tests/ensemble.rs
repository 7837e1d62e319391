//! `evaluate` with several runs and with shifted views.

mod common;

use common::program::{run, succeeds};
use serde_json::Value;

fn evaluate(more: &[&str]) -> Value {
    let (json, _) = succeeds(&[&["evaluate", "--backend", "cpu", "--json"], more].concat());
    serde_json::from_str(&json).unwrap()
}

#[test]
fn runs_and_views_are_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let runs = ["0", "1", "2"].map(|seed| folder.path().join(seed).to_str().unwrap().to_owned());
    for (seed, out) in runs.iter().enumerate() {
        let arguments =
            ["train", "--backend", "cpu", "--recipe", "mlp-16-16", "--limit", "2000", "--epochs", "2"];
        let seed = seed.to_string();
        assert!(run(&[&arguments[..], &["--seed", &seed, "--out", out]].concat()).status.success());
    }
    let [a, b, c] = runs.each_ref().map(String::as_str);
    let figure = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let alone = [a, b, c].map(|run| evaluate(&[run]));
    let mean = |key: &str| alone.iter().map(|value| figure(value, key)).sum::<f64>() / 3.0;

    // One run asked twice is that run: the two ways of evaluating agree.
    let twice = evaluate(&[a, a]);
    assert_eq!(twice["confusion"], alone[0]["confusion"]);
    assert!((figure(&twice, "test_loss") - figure(&alone[0], "test_loss")).abs() < 1e-5);

    // By Jensen's inequality the loss of the mean is below the mean of the losses; order does not matter.
    let together = evaluate(&[a, b, c]);
    assert!(figure(&together, "test_loss") < mean("test_loss"), "{together}");
    assert!(figure(&together, "test_accuracy") > mean("test_accuracy"), "{together}");
    assert_eq!(evaluate(&[c, a, b])["confusion"], together["confusion"]);

    let shifted = evaluate(&[a, "--tta"]);
    assert_ne!(shifted["confusion"], alone[0]["confusion"]);
    assert_eq!(evaluate(&["--tta=1", a]), shifted);
    assert_eq!(evaluate(&["--tta=0", a]), alone[0]);
    assert_ne!(evaluate(&["--tta=2", a]), shifted);
    assert!(figure(&shifted, "test_accuracy") > 0.5, "{shifted}");

    assert_eq!(run(&["evaluate"]).status.code(), Some(2));
    assert_eq!(run(&["evaluate", a, "/nonexistent"]).status.code(), Some(4));
}
