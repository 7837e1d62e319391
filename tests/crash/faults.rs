//! A failure planted at every operation on the file system, one after the other: making, writing, syncing, renaming.

use crate::scene::{Scene, check_failure, error_text};
use gpu_mnist::train::folder::{CHECKPOINT, RUN};

/// Plants a fault at each operation in turn until the run has no more of them.
fn at_every_operation(mode: &str) {
    let scene = Scene::new(2, 6);
    for number in 1.. {
        let what = format!("{mode}:{number}");
        let out = scene.path(&what);
        let output = scene.train(&out).env("GPU_MNIST_PLANT_DISK_FAULT", &what).output().unwrap();
        if output.status.success() {
            println!("{mode}: {} operations", number - 1);
            // Two files at the start, two at each end of an epoch, two checkpoints within each, two at the end, of five
            // operations each; and some twenty for the folder and the events.
            assert!(number > 60, "{mode}: {number}");
            scene.check_results(&out, &what);
            return;
        }
        let left = scene.litter(&out);
        if mode == "kill" {
            assert_eq!(output.status.code(), Some(137), "{what}: {}", error_text(&output));
            assert!(left.len() <= 1, "{what}: {left:?}");
        } else {
            check_failure(&output, &what);
            assert_eq!(left, Vec::<String>::new(), "{what}");
            let text = error_text(&output);
            assert!(text.contains("planted at operation"), "{what}: {text}");
            if out.join(CHECKPOINT).exists() && out.join(RUN).exists() {
                assert!(text.contains("gpu-mnist train --resume"), "{what}: {text}");
            }
        }
        scene.check_checkpoint(&out, &what);
        scene.check_end(&out, &what);
    }
}

#[test]
fn an_operation_that_fails_costs_no_more_than_an_interval() {
    at_every_operation("fail");
}

#[test]
fn a_disk_that_fails_from_some_operation_on_costs_no_more_than_an_interval() {
    at_every_operation("from");
}

#[test]
fn a_process_that_dies_at_any_operation_costs_no_more_than_an_interval() {
    at_every_operation("kill");
}
