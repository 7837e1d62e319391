//! The command line as scripts see it: exit codes, advice, JSON lines, and runs that are interrupted and taken up again.

mod common;

use common::program::{fails, gpu_mnist, run};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn text(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn wrong_usage_has_its_exit_codes_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let train = |more: &[&'static str]| {
        let mut all =
            vec!["train", "--backend", "cpu", "--recipe", "mlp-16-16", "--limit", "320", "--epochs", "1"];
        all.extend(["--out", out]);
        all.extend(more);
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let fails_training = |more: &[&'static str], code, says: &[&str]| {
        let all = train(more);
        fails(&all.iter().map(String::as_str).collect::<Vec<_>>(), code, says);
    };
    fails(&["train", "--recipe", "mlp-128"], 2, &["mlp-128-128"]);
    fails(&["train", "--no-such-flag"], 2, &["--no-such-flag"]);
    fails_training(&["--set", "training.epoch=3"], 2, &["epoch"]);
    fails_training(&["--data", "/nonexistent"], 4, &["/nonexistent"]);
    fails(&["evaluate", "/nonexistent"], 4, &["model.safetensors"]);
    assert!(!Path::new(out).exists(), "a run that cannot start leaves a folder");
    fails_training(&["--learning-rate", "1e30"], 5, &["not finite", "--learning-rate"]);
    fails_training(&[], 2, &["already holds a run", "--resume"]);
    std::fs::remove_dir_all(out).unwrap();
    fails_training(&["--min-accuracy", "1.0"], 6, &["--min-accuracy"]);
    fails(&["predict", out, "--index", "10000"], 2, &["10000 images"]);
}

#[test]
fn without_a_driver_a_gpu_is_refused_with_advice_and_auto_trains_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let arguments =
        ["--recipe", "mlp-16-16", "--limit", "320", "--epochs", "1", "--out", out.to_str().unwrap()];
    let without_driver = |backend: &str| {
        let mut command = gpu_mnist(&["train", "--backend", backend]);
        command
            .args(arguments)
            .env("VK_ICD_FILENAMES", "/nonexistent")
            .env("VK_DRIVER_FILES", "/nonexistent");
        command.output().unwrap()
    };
    let refused = without_driver("vulkan");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{message}");
    assert!(
        message.contains("apt-get install mesa-vulkan-drivers") && message.contains("--backend cpu"),
        "{message}"
    );
    let trained = without_driver("auto");
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
}

#[test]
fn json_lines_have_the_schema_and_nothing_else_is_on_stdout() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let output = run(&[
        "train",
        "--backend",
        "cpu",
        "--recipe",
        "mlp-16-16",
        "--limit",
        "320",
        "--epochs",
        "2",
        "--json",
        "--log-every",
        "4",
        "--out",
        out,
    ]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(!stdout.contains('\u{1b}') && !stdout.contains('\r'));
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["schema"] == 1));
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "step", "step", "epoch", "step", "step", "epoch", "result"]);
    assert_eq!(lines[1]["step"], 4);
    let result = &lines[7];
    for key in
        ["test_loss", "test_accuracy", "train_seconds", "images_per_second", "weights_sha256", "run_dir"]
    {
        assert!(!result[key].is_null(), "{key}");
    }
    let events = String::from_utf8(text(&Path::new(out).join("events.jsonl"))).unwrap();
    assert_eq!(events, stdout);
    let evaluated = run(&["evaluate", out, "--backend", "cpu", "--json"]);
    let evaluated: serde_json::Value = serde_json::from_slice(&evaluated.stdout).unwrap();
    assert_eq!(evaluated["test_accuracy"], result["test_accuracy"]);
    assert_eq!(evaluated["confusion"].as_array().unwrap().len(), 10);
}

/// Stopped by SIGINT at several moments, most of them in the middle of an epoch.
#[cfg(unix)]
#[test]
fn a_run_that_is_interrupted_and_taken_up_again_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let arguments = [
        "train",
        "--backend",
        "cpu",
        "--recipe",
        "mlp-16-16",
        "--limit",
        "9000",
        "--epochs",
        "80",
        "--optimizer",
        "sgd",
        "--set",
        "optimizer.momentum=0.9",
        "-q",
        "--out",
    ];
    let train = |name: &str| {
        let mut command = gpu_mnist(&arguments);
        command.arg(path(name)).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(train("whole").status().unwrap().success());
    let mut interrupted = 0;
    for milliseconds in [250, 400, 550] {
        let name = format!("stopped-{milliseconds}");
        let mut child = train(&name).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        let status = child.wait().unwrap();
        interrupted += usize::from(status.code() == Some(130));
        println!("{milliseconds} ms: kill {killed:?}, exit {status}");
        if path(&name).join("run.json").exists() {
            assert!(
                run(&["train", "--backend", "cpu", "-q", "--resume", path(&name).to_str().unwrap()])
                    .status
                    .success()
            );
            for file in ["model.safetensors", "history.csv", "steps.csv"] {
                assert!(
                    text(&path("whole").join(file)) == text(&path(&name).join(file)),
                    "{file} of {name} differs"
                );
            }
        }
    }
    assert!(interrupted > 0, "no run was interrupted, so nothing was tested; make it longer");
}
