//! Sweeps and reproductions as scripts see them: shards and their merging, going on where one stopped, what is left behind.

mod common;

use common::program::{fails, succeeds};
use serde_json::Value;
use std::path::Path;

const GRID: &str = "recipe = 'mlp-16-16'\nseeds = 2\n[set]\nepochs = 2\nvalidation_split = 0.25\n\
                    [grid]\noptimizer.learning_rate = [0.001, 0.01]\nactivation = ['relu', 'tanh']\n";
const QUICK: [&str; 4] = ["--backend", "cpu", "--limit", "160"];

fn sweep(more: &[&str]) -> (String, String) {
    succeeds(&[&["sweep"], more, &QUICK].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

/// The rows of a sweep without what no two runs share.
fn rows(folder: &Path) -> Vec<Value> {
    let mut rows = json(&folder.join("results.json")).as_array().unwrap().clone();
    rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("train_seconds")));
    rows
}

/// The run folders of a sweep with the checksums of their weights.
fn weights(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir())
    {
        let result = json(&entry.path().join("result.json"));
        let weights = result["summary"]["weights_sha256"].as_str().unwrap().to_owned();
        found.push((entry.file_name().into_string().unwrap(), weights));
    }
    found.sort();
    found
}

#[test]
fn three_shards_merged_are_the_sweep_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("grid.toml"), GRID).unwrap();
    let (grid, whole, merged) = (path("grid.toml"), path("whole"), path("merged"));
    let (table, _) = sweep(&[&grid, "--out", &whole]);
    let parts = ["1/3", "2/3", "3/3"].map(|shard| (shard, path(&shard.replace('/', "-of-"))));
    for (shard, out) in &parts {
        sweep(&[&grid, "--shard", shard, "--out", out]);
    }
    let counts = parts.each_ref().map(|(_, out)| weights(Path::new(out)).len());
    assert_eq!(counts, [3, 3, 2]);

    let [one, two, three] = parts.each_ref().map(|(_, out)| out.as_str());
    fails(&["sweep", "--merge", one, three, "--out", &merged], 4, &["3 of 8 trainings are in no part"]);
    fails(&["sweep", "--merge", one, three], 2, &["needs --out"]);
    let (merged_table, _) = succeeds(&["sweep", "--merge", one, two, three, "--out", &merged]);

    let (whole, merged) = (Path::new(&whole), Path::new(&merged));
    assert_eq!(weights(whole).len(), 8);
    assert_eq!(weights(whole), weights(merged));
    assert_eq!(rows(whole), rows(merged));
    let distinct: std::collections::BTreeSet<String> =
        weights(whole).into_iter().map(|(_, sha)| sha).collect();
    assert_eq!(distinct.len(), 8, "every setting and seed must change the training");
    let without_seconds = |table: &str| -> Vec<Vec<String>> {
        table
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(|cell| cell.trim().to_owned())
                    .filter(|cell| !cell.is_empty())
                    .take(5)
                    .collect()
            })
            .collect()
    };
    assert_eq!(without_seconds(&table), without_seconds(&merged_table));
    assert_eq!(table.lines().count(), 2 + 4);

    // A row is the mean over its seeds, and the run folders are complete runs.
    let row = &rows(merged)[0];
    assert_eq!(
        row["settings"],
        serde_json::json!([["optimizer.learning_rate", "0.001"], ["activation", "relu"]])
    );
    assert_eq!((&row["n"], &row["diverged"]), (&Value::from(2), &Value::from(0)));
    let accuracy = |seed: usize| {
        let run = format!("{}-learning_rate=0.001,activation=relu-seed{seed}", seed + 1);
        succeeds(&["evaluate", "--backend", "cpu", merged.join(&run).to_str().unwrap()]);
        json(&merged.join(run).join("result.json"))["summary"]["test_accuracy"].as_f64().unwrap()
    };
    let mean = (accuracy(0) + accuracy(1)) / 2.0;
    assert!((row["test_accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    for name in ["table.md", "report.html", "curves-light.svg", "curves-dark.png"] {
        assert!(merged.join(name).is_file(), "{name}");
    }
    let curves = std::fs::read_to_string(merged.join("curves-light.svg")).unwrap();
    for row in rows(merged) {
        assert!(curves.contains(row["name"].as_str().unwrap()), "{}", row["name"]);
    }
    assert!(curves.contains("Validation accuracy"));

    // A shared folder is merged where it is, and parts of other sweeps are refused.
    let shared = path("shared");
    parts.iter().for_each(|(shard, _)| drop(sweep(&[&grid, "--shard", shard, "--out", &shared])));
    succeeds(&["sweep", "--merge", &shared]);
    assert_eq!(rows(Path::new(&shared)), rows(whole));
    std::fs::write(path("other.toml"), GRID.replace("0.01", "0.02")).unwrap();
    let (other, out) = (path("other.toml"), path("other"));
    sweep(&[&other, "--shard", "1/3", "--out", &out]);
    fails(&["sweep", "--merge", &out, two, three, "--out", &path("mixed")], 4, &["different sweeps"]);
    fails(&[&["sweep", &other, "--out", two][..], &QUICK].concat(), 2, &["holds another sweep"]);
}

#[test]
fn a_sweep_goes_on_where_it_was_and_divergence_is_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let text =
        "recipe = 'mlp-16-16'\n[set]\nepochs = 1\noptimizer = 'sgd'\n[grid]\nlearning_rate = [0.01, 1e30]\n";
    std::fs::write(path("grid.toml"), text).unwrap();
    let (grid, out) = (path("grid.toml"), path("out"));
    let (table, messages) = sweep(&[&grid, "--out", &out]);
    assert!(table.lines().next().unwrap().contains("diverged"), "{table}");
    assert!(messages.contains("learning_rate=1e30-seed0: diverged"), "{messages}");
    let results = rows(Path::new(&out));
    assert_eq!((&results[1]["diverged"], &results[1]["test_accuracy"]), (&Value::from(1), &Value::Null));
    let stamp = |run: &str| {
        std::fs::metadata(Path::new(&out).join(run).join("result.json")).unwrap().modified().unwrap()
    };
    let before = stamp("1-learning_rate=0.01-seed0");
    // One training is lost; only that is trained again, to the same end.
    let lost = Path::new(&out).join("2-learning_rate=1e30-seed0");
    std::fs::remove_dir_all(&lost).unwrap();
    let (again, messages) = sweep(&[&grid, "--out", &out, "--json"]);
    assert!(messages.contains("learning_rate=0.01-seed0: test accuracy") && messages.contains(", as found"));
    assert_eq!(stamp("1-learning_rate=0.01-seed0"), before);
    assert!(lost.join("result.json").is_file());
    let lines: Vec<Value> = again.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line["schema"] == 1));
    assert_eq!(rows(Path::new(&out)), results);
    fails(&["sweep", &grid, "--out", &out, "--backend", "cpu", "--limit", "161"], 2, &["another sweep"]);
    fails(&["sweep", "/nonexistent.toml"], 4, &["/nonexistent.toml"]);
    fails(&["sweep", &grid, "--shard", "3/2"], 2, &["I/N"]);
    fails(&["sweep"], 2, &["FILE.toml"]);
}

#[test]
fn reproduce_prints_published_beside_obtained_and_adds_seeds_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let reproduce = |more: &[&str]| {
        let rows = ["--only", "mlp-16-16", "--only", "N(0, 1), tanh"];
        succeeds(&[&["reproduce", "--epochs", "1", "--out", out], &rows[..], more, &QUICK].concat())
    };
    let (table, _) = reproduce(&[]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[3].starts_with("N(0, 1), tanh") && lines[3].contains("0.1094"), "{table}");
    assert!(lines[3].ends_with("fails alike") && lines[3].contains("cpu, "), "{table}");
    let (markdown, messages) = reproduce(&["--seeds", "2", "--markdown"]);
    assert!(markdown.starts_with("| recipe ") && markdown.contains(" ± "), "{markdown}");
    assert_eq!(messages.matches(", as found").count(), 2, "{messages}");
    let results = json(&Path::new(out).join("results.json"));
    let row = &results[1];
    assert_eq!((&row["verdict"], &row["published_accuracy"]), (&Value::from("fails"), &Value::from(0.1094)));
    assert_eq!((&row["n"], &row["recipe"]), (&Value::from(2), &Value::from("mlp-50x100")));
    assert_eq!(results[0]["verdict"], "unpublished");
    // What was trained otherwise is not taken for the same.
    fails(
        &[&["reproduce", "--only", "mlp-16-16", "--epochs", "2", "--out", out][..], &QUICK].concat(),
        2,
        &["another recipe"],
    );
    fails(&["reproduce", "--only", "mlp"], 2, &["no such row or recipe"]);
}
