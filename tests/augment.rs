//! Augmentation: each change does what it says, and the draws depend on seed, epoch and image alone.

mod common;

use common::devices;
use gpu_mnist::backend::device::Device;
use gpu_mnist::data::{DataSet, Images};
use gpu_mnist::recipe::{Augment, Recipe};
use gpu_mnist::train::augmented::augmented;
use gpu_mnist::train::run::{Job, Outcome, run};
use std::sync::atomic::AtomicBool;

/// A cross of ink, off the centre of 21x21.
fn cross(count: usize) -> Images {
    let pixel = |i: usize| if (i % 21 == 8) || (i / 21 == 12) { 200 } else { 0 };
    let pixels = (0..count).flat_map(|_| (0..441).map(pixel)).collect();
    Images::new("cross", count, 21, 21, pixels).unwrap()
}

fn changed(augment: &Augment, seed: u64, epoch: usize) -> Vec<Vec<u8>> {
    let images = cross(64);
    let rows: Vec<u32> = (0..64).collect();
    let after = augmented(&images, &rows, augment, seed, epoch);
    (0..64).map(|n| after.rows(n..n + 1).to_vec()).collect()
}

/// The mean place of the ink, x and y.
fn centre(image: &[u8]) -> (f64, f64) {
    let ink: f64 = image.iter().map(|&p| f64::from(p)).sum();
    let mean = |place: fn(usize) -> usize| {
        image.iter().enumerate().map(|(i, &p)| place(i) as f64 * f64::from(p)).sum::<f64>() / ink
    };
    (mean(|i| i % 21), mean(|i| i / 21))
}

#[test]
fn without_augmentation_images_stay_as_they_are() {
    let images = cross(3);
    assert_eq!(augmented(&images, &[2, 0], &Augment::default(), 1, 0).pixels, cross(2).pixels);
}

#[test]
fn shifts_reach_both_sides_and_no_further_than_they_may() {
    // A single dot, so that nothing leaves the image.
    let mut pixels = vec![0; 441];
    pixels[10 * 21 + 10] = 255;
    let images = Images::new("dots", 200, 21, 21, pixels.repeat(200)).unwrap();
    let rows: Vec<u32> = (0..200).collect();
    let after = augmented(&images, &rows, &Augment { shift: 3.0, ..Augment::default() }, 5, 0);
    let places: Vec<(f64, f64)> = (0..200).map(|n| centre(after.rows(n..n + 1))).collect();
    for axis in [|p: &(f64, f64)| p.0 - 10.0, |p: &(f64, f64)| p.1 - 10.0] {
        let moved: Vec<f64> = places.iter().map(axis).collect();
        let (least, most) =
            moved.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        assert!(least < -2.5 && most > 2.5 && least > -3.01 && most < 3.01, "{least} {most}");
        let mean = moved.iter().sum::<f64>() / 200.0;
        // Three deviations of the mean of 200 numbers uniform in [-3, 3].
        assert!(mean.abs() < 3.0 * 3.0 / 600.0_f64.sqrt(), "{mean}");
    }
}

#[test]
fn a_quarter_turn_is_a_quarter_turn() {
    // With every angle in (-90, 90) degrees: the dot right of the centre stays on its circle, on the right.
    let mut pixels = vec![0; 441];
    pixels[10 * 21 + 17] = 255;
    let images = Images::new("dots", 100, 21, 21, pixels.repeat(100)).unwrap();
    let rows: Vec<u32> = (0..100).collect();
    let after = augmented(&images, &rows, &Augment { rotation: 90.0, ..Augment::default() }, 5, 0);
    let mut angles: Vec<f64> = Vec::new();
    for n in 0..100 {
        let (x, y) = centre(after.rows(n..n + 1));
        let (x, y) = (x - 10.0, y - 10.0);
        assert!((x.hypot(y) - 7.0).abs() < 0.3 && x > -0.5, "{x} {y}");
        angles.push(y.atan2(x).to_degrees());
    }
    angles.sort_by(f64::total_cmp);
    assert!(angles[0] < -75.0 && angles[99] > 75.0 && angles[49].abs() < 25.0, "{angles:?}");
}

#[test]
fn scaling_shearing_deforming_and_erasing_change_what_they_should() {
    let off = Augment::default();
    let ink = |image: &Vec<u8>| image.iter().map(|&p| u32::from(p)).sum::<u32>();
    let before = ink(&cross(1).pixels);
    // The row of ink through the whole width stays one under a shear about the centre, but for its height.
    for image in changed(&Augment { shear: 40.0, ..off.clone() }, 1, 0) {
        assert!((6..15).all(|x| image[12 * 21 + x] == 200), "a horizontal line must stay");
    }
    // Nodes further apart than the image is wide move all of it nearly alike; nearer ones bend it.
    let bent = changed(&Augment { elastic: 2.0, ..off.clone() }, 1, 0);
    assert!(bent.iter().all(|image| *image != cross(1).pixels));
    let erased = changed(&Augment { erase: 0.5, erase_size: 0.9, ..off.clone() }, 1, 0);
    let hit = erased.iter().filter(|image| ink(image) < before).count();
    assert!((15..=40).contains(&hit), "{hit} of 64 lost ink, at a probability of a half");
    assert!(erased.iter().all(|image| image.iter().zip(&cross(1).pixels).all(|(a, b)| a == b || *a == 0)));
    let sizes: Vec<u32> = changed(&Augment { scale: 0.4, ..off }, 1, 0).iter().map(ink).collect();
    assert!(
        sizes.iter().any(|&ink| ink > before * 11 / 10) && sizes.iter().any(|&ink| ink < before * 9 / 10)
    );
}

#[test]
fn a_share_of_the_images_is_moved_as_all_would_be_and_the_others_are_left_alone() {
    let moved = |share| {
        let ranges = Augment {
            shift: 2.0,
            rotation: 20.0,
            scale: 0.2,
            shear: 10.0,
            elastic: 1.0,
            ..Augment::default()
        };
        changed(&Augment { share, ..ranges }, 1, 0)
    };
    let (all, half) = (moved(1.0), moved(0.5));
    let left_alone = half.iter().filter(|image| **image == cross(1).pixels).count();
    assert!((20..=44).contains(&left_alone), "{left_alone} of 64 are as they were, at a share of a half");
    let as_all = half.iter().zip(&all).filter(|(half, all)| half == all).count();
    assert_eq!(as_all + left_alone, 64);
}

#[test]
fn draws_depend_on_seed_epoch_and_image_and_on_nothing_else() {
    let augment = Augment { shift: 2.0, elastic: 1.0, erase: 0.5, ..Augment::default() };
    let first = changed(&augment, 1, 0);
    assert_eq!(first, changed(&augment, 1, 0));
    assert_ne!(first, changed(&augment, 2, 0));
    assert_ne!(first, changed(&augment, 1 << 32 | 1, 0), "all 64 bits of the seed count");
    assert_ne!(first, changed(&augment, 1, 1));
    assert!((1..64).all(|n| first[n] != first[0]), "equal images must be changed differently");
    let images = cross(64);
    let shuffled = augmented(&images, &[63, 5, 0], &augment, 1, 0);
    for (place, image) in [63, 5, 0].into_iter().enumerate() {
        assert_eq!(shuffled.rows(place..place + 1), first[image], "the order must not matter");
    }
}

#[test]
fn augmented_training_is_the_same_on_any_number_of_threads_and_nearly_so_on_a_gpu() {
    let mut data = DataSet::embedded().unwrap();
    data.limit(300).unwrap();
    data.test.images.count = 50;
    data.test.images.pixels.truncate(50 * 784);
    data.test.labels.truncate(50);
    let mut recipe = Recipe::preset("mlp-128-128").unwrap();
    for change in [
        "data.scaling=unit",
        "training.epochs=2",
        "augment.shift=2",
        "augment.rotation=15",
        "augment.scale=0.1",
        "augment.shear=10",
        "augment.elastic=1.5",
        "augment.erase=0.3",
    ] {
        recipe.apply_set(change).unwrap();
    }
    let train = |device: &Device| -> Outcome {
        let job = Job {
            recipe: &recipe,
            data: &data,
            device,
            seed: 4,
            initial: None,
            checkpoint: None,
            folder: None,
            log_every: 0,
            checkpoint_steps: 0,
            checkpoint_seconds: f64::INFINITY,
            stop: &AtomicBool::new(false),
        };
        run(job, &mut ()).unwrap()
    };
    let one = train(&Device::Cpu { threads: 1 });
    let three = train(&Device::Cpu { threads: 3 });
    assert_eq!(one.summary.weights_sha256, three.summary.weights_sha256);
    for (name, device) in devices() {
        let losses = train(&device).losses;
        for (step, (a, b)) in one.losses.iter().zip(&losses).enumerate() {
            assert!((a - b).abs() <= 1e-3 * a.abs(), "{name}, step {step}: {a} and {b}");
        }
    }
}

#[test]
fn a_sheet_shows_augmented_images() {
    let folder = tempfile::tempdir().unwrap();
    let preview = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gpu-mnist"))
            .args(["data", "preview", "--data", "mnist", "--count", "4", "--out", out.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        (output.status.code(), std::fs::read(out).unwrap_or_default())
    };
    let (plain, changed) = (preview("a.png", &[]), preview("b.png", &["--augment", "cnn-best"]));
    assert_eq!((plain.0, changed.0), (Some(0), Some(0)));
    assert!(plain.1 != changed.1 && !changed.1.is_empty());
    assert_eq!(preview("c.png", &["--augment", "softmax"]).0, Some(2), "nothing is on");
    assert_eq!(preview("d.png", &["--augment", "cnn-best", "--split", "test"]).0, Some(2));
}
