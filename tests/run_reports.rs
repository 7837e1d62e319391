//! Pictures, pages and event files of real runs, by the commands that make them.

mod common;

use common::program::{fails, succeeds};
use common::tensorboard;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A short training into `out`, with further flags: what it prints.
fn train(out: &Path, more: &[&str]) -> (String, String) {
    let arguments =
        ["train", "--backend", "cpu", "--recipe", "mlp-16-16", "--limit", "640", "--epochs", "3", "--out"];
    succeeds(&[&arguments[..], &[out.to_str().unwrap()], more].concat())
}

const ALWAYS: [&str; 4] = ["history", "confusion", "mistakes", "filters"];
const WITH_HISTOGRAMS: [&str; 4] = ["activations", "weights", "gradients", "layers"];

/// The four files of each picture.
fn files(run: &Path, pictures: &[&str]) -> Vec<PathBuf> {
    let of = |picture: &&str| {
        ["light.svg", "dark.svg", "light.png", "dark.png"]
            .map(|end| run.join(format!("pictures/{picture}-{end}")))
    };
    pictures.iter().flat_map(of).collect()
}

#[test]
fn every_run_has_its_pictures_and_with_a_flag_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, rich) = (folder.path().join("plain"), folder.path().join("rich"));
    train(&plain, &["-q"]);
    assert!(files(&plain, &ALWAYS).iter().all(|file| file.is_file()));
    assert!(!plain.join("pictures/activations-light.svg").exists() && !plain.join("report.html").exists());
    train(&rich, &["-q", "--report", "--histograms"]);
    assert!(files(&rich, &ALWAYS).iter().chain(&files(&rich, &WITH_HISTOGRAMS)).all(|file| file.is_file()));
    let model = |run: &Path| std::fs::read(run.join("model.safetensors")).unwrap();
    assert!(model(&plain) == model(&rich), "looking at a run changes it");
    let page = std::fs::read_to_string(rich.join("report.html")).unwrap();
    for part in ["The 36 worst mistakes", "Test accuracy", "dense_1", "Confusion matrix", "untrained"] {
        assert!(page.contains(part), "{part}");
    }
    // Neither the data nor a device is needed, and the same comes out.
    std::fs::remove_file(rich.join("report.html")).unwrap();
    std::fs::remove_dir_all(rich.join("pictures")).unwrap();
    let (said, _) = succeeds(&["report", rich.to_str().unwrap()]);
    assert!(said.contains("report.html"));
    assert_eq!(std::fs::read_to_string(rich.join("report.html")).unwrap(), page);
    assert!(files(&rich, &WITH_HISTOGRAMS).iter().all(|file| file.is_file()));
}

#[test]
fn several_runs_are_laid_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    train(&one, &["-q"]);
    train(&two, &["-q", "--learning-rate", "0.01", "--histograms"]);
    let page = folder.path().join("both.html");
    let paths = [&one, &two, &page].map(|path| path.to_str().unwrap());
    succeeds(&["report", paths[0], paths[1], "--out", paths[2]]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text.contains("2 runs beside each other")
            && text.contains("<h3>one</h3>")
            && text.contains("<h3>two</h3>")
    );
    assert!(folder.path().join("both-dark.png").is_file());
    fails(&["report", "/nonexistent"], 4, &["/nonexistent"]);
}

/// What a run that was stopped leaves: no report.json, no model.
#[test]
fn a_run_that_is_not_finished_has_a_report_of_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, &["-q", "--histograms"]);
    for file in ["report.json", "model.safetensors", "steps.csv"] {
        std::fs::remove_file(run.join(file)).unwrap();
    }
    succeeds(&["report", run.to_str().unwrap()]);
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("not finished; 3 epochs are done") && page.contains("What layers put out"));
    assert!(!page.contains("Confusion"));
    std::fs::write(run.join("history.csv"), "epoch,accuracy\n1,many\n").unwrap();
    fails(&["report", run.to_str().unwrap()], 4, &["history.csv: line 2"]);
}

#[test]
fn tensorboard_reads_scalars_and_histograms_of_a_run() {
    if !tensorboard::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let (printed, _) = train(&run, &["--tensorboard", "--json", "--log-every", "10"]);
    let events: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = tensorboard::read(&run);
    let scalars = |tag: &str| -> Vec<(u64, f32)> {
        let points = found["scalars"][tag].as_array().unwrap_or_else(|| panic!("no {tag} in {found}"));
        points.iter().map(|point| (point[0].as_u64().unwrap(), point[2].as_f64().unwrap() as f32)).collect()
    };
    let told = |event: &str, x: &str, y: &str| -> Vec<(u64, f32)> {
        let of_kind = events.iter().filter(|one| one["event"] == event);
        of_kind.map(|one| (one[x].as_u64().unwrap(), one[y].as_f64().unwrap() as f32)).collect()
    };
    assert_eq!(scalars("loss/training"), told("epoch", "epoch", "loss"));
    assert_eq!(scalars("accuracy/validation"), told("epoch", "epoch", "val_accuracy"));
    assert_eq!(scalars("loss/step"), told("step", "step", "loss"));
    assert_eq!(scalars("accuracy/test")[0].1, told("result", "epochs", "test_accuracy")[0].1);
    for tag in ["activations/dense", "weights/dense.weight", "gradients/dense_2.bias"] {
        let steps: Vec<u64> = found["histograms"][tag]
            .as_array()
            .unwrap_or_else(|| panic!("no {tag} in {found}"))
            .iter()
            .map(|one| one[0].as_u64().unwrap())
            .collect();
        assert_eq!(steps, [0, 1, 2, 3], "{tag}");
    }
    let weights = &found["histograms"]["weights/dense.weight"][3];
    assert_eq!(weights[3], 784.0 * 16.0);
}

#[test]
fn the_console_has_lines_and_no_codes_where_it_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let (_, said) = train(&folder.path().join("run"), &[]);
    assert!(!said.contains('\u{1b}') && !said.contains('\r'), "{said:?}");
    assert!(said.lines().filter(|line| line.starts_with("epoch ")).count() == 3, "{said}");
    assert!(said.lines().any(|line| line.starts_with("loss ") && line.contains("60 steps")), "{said}");
    assert_eq!(train(&folder.path().join("quiet"), &["-q"]).1, "");
}

/// In a terminal there is a bar, and digits are drawn. `script` gives one; said aloud where it is not installed.
#[cfg(target_os = "linux")]
#[test]
fn the_console_has_a_bar_and_draws_digits_where_it_is_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let in_terminal = |arguments: &str| {
        let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_gpu-mnist"));
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
        script.env_remove("NO_COLOR").env_remove("GPU_MNIST_BACKEND").env_remove("GPU_MNIST_DATA_DIR");
        script.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let training = "train --backend cpu --recipe mlp-16-16 --epochs 2 --out";
    let Some(said) = in_terminal(&format!("{training} {}", run.display())) else {
        println!("NOT TESTED: `script` is not installed, which would give a terminal");
        return;
    };
    for part in ["\u{1b}[", "epoch 1/2", "images/s", "left", "/1875"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    let drawn = in_terminal(&format!("predict {} --backend cpu --index 0", run.display())).unwrap();
    assert!(drawn.contains("▀") && drawn.contains("\u{1b}[38;5;"), "{drawn:?}");
    assert!(drawn.contains("image 0: ") && drawn.contains("label 7"), "{drawn:?}");
    let sheet = folder.path().join("sheet.png");
    let drawn = in_terminal(&format!("data preview --out {}", sheet.display())).unwrap();
    assert!(drawn.contains("▀") && sheet.is_file(), "{drawn:?}");
}
