//! SIGINT and SIGTERM: saved and exit code 130; a second one does not wait.

use crate::scene::{Scene, program};
use gpu_mnist::train::folder::{CHECKPOINT, EVENTS};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn send(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Waits until the run has come so far that it has a file with anything in it.
fn wait_for(path: &Path, child: &mut Child) {
    while !path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        assert!(child.try_wait().unwrap().is_none(), "ended too early");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_first_signal_saves_and_leaves_with_130() {
    let scene = Scene::new(300, 24);
    for signal in ["-INT", "-TERM"] {
        let out = scene.path(&signal[1..]);
        let mut child = scene.train(&out).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        wait_for(&out.join(CHECKPOINT), &mut child);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{signal}: {text}");
        assert!(text.contains("interrupted; saved: go on with: gpu-mnist train --resume"), "{text}");
        scene.check_checkpoint(&out, signal);
        scene.check_end(&out, signal);
    }
}

/// The first turn of this network is 16 steps, which take so long that only a process that leaves at once can be gone before
/// they are over.
#[test]
fn the_second_signal_leaves_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = program();
    command.args([
        "train",
        "--recipe",
        "cnn-64-128",
        "--batch-size",
        "512",
        "--backend",
        "cpu",
        "--threads",
        "1",
    ]);
    command.args(["--limit", "10240", "--epochs", "100", "--quiet", "--out"]).arg(&out);
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(&out.join(EVENTS), &mut child);
    std::thread::sleep(Duration::from_millis(300));
    send(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the first signal waits for the step");
    send(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(!text.contains("saved"), "it did not wait to save: {text}");
    assert!(!out.join(CHECKPOINT).exists(), "it did not wait to save");
}
