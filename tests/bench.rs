//! The `bench` command: what it measures, its report, two reports held against each other, and the time to an accuracy. That
//! figures are there and make sense is tested, not how large they are.

mod common;

use common::program::{fails, succeeds};
use serde_json::Value;
use std::path::Path;

/// A quick report in this file, and the tables.
fn report(device: &[&str], file: &Path) -> (Value, String) {
    let (tables, _) = succeeds(&[&["bench", "--quick", "--json", file.to_str().unwrap()], device].concat());
    (serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap(), tables)
}

fn positive(of: &Value, key: &str) -> f64 {
    let value = of[key].as_f64().or(of[key]["median"].as_f64());
    value.filter(|value| *value > 0.0).unwrap_or_else(|| panic!("{key} in {of}"))
}

#[test]
fn a_report_has_ceilings_ops_and_steps_of_every_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = common::gpu().map(|gpu| gpu.info().backend);
    for backend in ["cpu"].into_iter().chain(gpu.as_deref()) {
        let (report, tables) = report(&["--backend", backend], &folder.path().join("report.json"));
        assert_eq!((&report["schema"], &report["quick"]), (&1.into(), &true.into()));
        assert_eq!(report["device"]["backend"], backend);
        positive(&report["ceilings"], "gflop_per_s");
        positive(&report["ceilings"], "dispatch");
        positive(&report["ceilings"], "submit");
        let (ops, steps) = (report["ops"].as_array().unwrap(), report["steps"].as_array().unwrap());
        assert!(steps.len() >= 2, "{steps:?}");
        for step in steps {
            let of_recipe: Vec<&Value> = ops.iter().filter(|op| op["recipe"] == step["recipe"]).collect();
            let calls: u64 = of_recipe.iter().map(|op| op["count"].as_u64().unwrap()).sum();
            assert_eq!(step["dispatches"], calls, "{step}");
            let batch = step["batch_size"].as_f64().unwrap();
            let rate = batch / positive(step, "seconds");
            assert!((positive(step, "images_per_second") / rate - 1.0).abs() < 1e-6, "{step}");
            let flops: f64 = of_recipe.iter().map(|op| positive(op, "count") * positive(op, "flops")).sum();
            assert_eq!(positive(step, "flops"), flops, "{step}");
            for figures in of_recipe.into_iter().chain([step]) {
                let work = figures["flops"].as_f64().unwrap() / positive(figures, "seconds") / 1e9;
                assert!((positive(figures, "gflop_per_s") / work - 1.0).abs() < 1e-6, "{figures}");
            }
            assert!(tables.contains(step["recipe"].as_str().unwrap()), "{tables}");
        }
    }
}

#[test]
fn reports_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.json", "b.json"].map(|name| folder.path().join(name));
    let (mut report, _) = report(&["--backend", "cpu"], &a);
    let [a, b] = [&a, &b].map(|path| path.to_str().unwrap());
    for op in report["ops"].as_array_mut().unwrap() {
        let seconds = positive(op, "seconds");
        op["seconds"]["median"] = (seconds / 2.0).into();
    }
    let gone = report["steps"].as_array_mut().unwrap().pop().unwrap();
    std::fs::write(b, report.to_string()).unwrap();
    let (json, _) = succeeds(&["bench", "--compare", a, b, "--json"]);
    let comparison: Value = serde_json::from_str(&json).unwrap();
    for ratio in comparison["ratios"].as_array().unwrap() {
        let expected = if ratio["kind"] == "op" { 2.0 } else { 1.0 };
        assert!((ratio["ratio"].as_f64().unwrap() - expected).abs() < 1e-6, "{ratio}");
    }
    let only = comparison["only_in_one"].as_array().unwrap();
    assert_eq!(only.len(), 1, "{only:?}");
    assert!(only[0].as_str().unwrap().contains(gone["recipe"].as_str().unwrap()), "{only:?}");
    let (table, _) = succeeds(&["bench", "--compare", a, b]);
    assert!(table.contains("2.000") && table.contains("B / A"), "{table}");

    let other = folder.path().join("other");
    let other = other.to_str().unwrap();
    fails(&["bench", "--compare", a, other], 4, &[other, "bench --json FILE"]);
    for (content, says) in
        [("no json", "expected"), ("{}", "no schema"), (r#"{"schema": 99}"#, "its schema is 99")]
    {
        std::fs::write(other, content).unwrap();
        fails(&["bench", "--compare", other, b], 4, &[other, says]);
    }
    fails(&["bench", "--compare", a], 2, &["--compare"]);
}

#[test]
fn the_time_to_an_accuracy_counts_the_seeds_that_reach_it() {
    let race = |target: &str, more: &[&str]| {
        let arguments = ["bench", "--backend", "cpu", "--recipe", "mlp-16-16", "--epochs", "1", "--time-to"];
        let (json, _) = succeeds(&[&arguments[..], &[target, "--seeds", "2", "--json"], more].concat());
        serde_json::from_str::<Value>(&json).unwrap()
    };
    let reached = race("0.8", &[]);
    assert_eq!(reached["reached"], 1.0, "{reached}");
    let seeds = reached["seeds"].as_array().unwrap();
    let mean = seeds.iter().map(|seed| positive(seed, "accuracy")).sum::<f64>() / 2.0;
    assert_eq!(seeds.len(), 2);
    assert!((positive(&reached["accuracy"], "mean") - mean).abs() < 1e-9, "{reached}");
    assert!(positive(&reached["seconds"], "mean") > 0.0);
    assert_eq!(race("0.9999", &[])["reached"], 0.0);
    fails(&["bench", "--time-to", "99"], 2, &["0.99"]);
    fails(&["bench", "--recipe", "mlp-16-16", "--recipe", "softmax", "--time-to", "0.9"], 2, &["once"]);
}
