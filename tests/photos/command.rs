//! `predict` as scripts and people see it.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::Result;
use gpu_mnist::data::DataSet;
use image::GrayImage;

use super::generator::Scene;

fn predict(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
    command.args(["predict", "builtin", "--backend", "cpu", "--threads", "1"]).args(arguments);
    command.env_remove("GPU_MNIST_BACKEND").env_remove("GPU_MNIST_DATA_DIR").env("LC_ALL", "C.UTF-8");
    command.output().expect("is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(output: &Output) -> Result<Vec<serde_json::Value>> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Photos of the first two test digits, a 7 and a 2, each in a file, and both in one.
fn photos(folder: &Path) -> Result<[String; 3]> {
    let data = DataSet::embedded()?;
    let (seven, two) = (data.test.images.rows(0..1), data.test.images.rows(1..2));
    let scenes = [
        ("seven.jpg", Scene::with_digit(3, seven)),
        ("two.jpg", Scene::with_digit(4, two)),
        ("both.jpg", Scene::with_rows(5, &[vec![seven, two]])),
    ];
    let mut paths = Vec::new();
    for (name, mut scene) in scenes {
        scene.jpeg = Some(90);
        std::fs::write(folder.join(name), scene.encode())?;
        paths.push(folder.join(name).display().to_string());
    }
    Ok(paths.try_into().expect("three"))
}

#[test]
fn json_has_a_line_for_each_digit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [seven, two, both] = &photos(folder.path())?;
    let found = lines(&predict(&["--json", seven, two]))?;
    for ((line, path), digit) in found.iter().zip([seven, two]).zip([7, 2]) {
        assert_eq!((line["schema"].as_u64(), line["image"].as_str()), (Some(1), Some(path.as_str())));
        assert_eq!(line["digit"], digit);
        let probabilities: Vec<f64> = serde_json::from_value(line["probabilities"].clone())?;
        assert!(probabilities.len() == 10 && (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(line["warnings"].is_array());
    }
    assert_eq!(found.len(), 2);
    let alone = lines(&predict(&["--json", both]))?;
    assert!(alone.len() == 1 && alone[0]["warnings"].to_string().contains("--multi"), "{alone:?}");
    let all = lines(&predict(&["--json", "--multi", both]))?;
    let digits: Vec<u64> = all.iter().filter_map(|line| line["digit"].as_u64()).collect();
    assert_eq!(digits, [7, 2]);
    Ok(())
}

#[test]
fn people_see_the_answer_and_every_stage() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [seven, _, both] = &photos(folder.path())?;
    let stages = folder.path().join("stages");
    let output = predict(&[seven, "--explain", &stages.display().to_string()]);
    let shown = text(&output.stdout);
    assert!(shown.starts_with(&format!("{seven}: 7 (")), "{shown}");
    // Digits are drawn in terminals alone.
    assert!(!shown.contains('\x1b') && shown.lines().count() == 1, "{shown}");
    let mut names: Vec<String> = std::fs::read_dir(&stages)?
        .map(|entry| Ok(text(entry?.file_name().as_encoded_bytes())))
        .collect::<Result<_>>()?;
    names.sort();
    assert!(names.len() >= 8 && names[0] == "01-picture.png", "{names:?}");
    let framed = image::open(stages.join(&names[names.len() - 1]))?;
    assert_eq!((framed.width(), framed.height()), (28, 28));
    let shown = text(&predict(&["--multi", both]).stdout);
    assert!(shown.ends_with(&format!("{both}: 7 2\n")), "{shown}");
    Ok(())
}

#[test]
fn what_cannot_be_read_has_exit_code_4_and_the_rest_is_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [seven, ..] = &photos(folder.path())?;
    let blank = folder.path().join("blank.png").display().to_string();
    std::fs::write(&blank, Scene::blank(9).encode())?;
    let notes = folder.path().join("notes.txt").display().to_string();
    std::fs::write(&notes, "a shopping list")?;
    let output = predict(&["--json", &notes, seven, &blank]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(text(&output.stdout).contains("\"digit\":7"), "{}", text(&output.stdout));
    for part in [
        format!("{notes}: not a picture that can be read (a text file), expected PNG"),
        format!("{blank}: no digit: the picture is blank"),
    ] {
        assert!(message.contains(&part), "{message}");
    }
    assert_eq!(predict(&[]).status.code(), Some(2));
    Ok(())
}

#[test]
fn an_exported_image_has_the_answer_of_its_index() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = DataSet::embedded()?;
    let path = folder.path().join("8.png").display().to_string();
    // Test image 8 is a 5 that looks like a 6.
    let image = GrayImage::from_raw(28, 28, data.test.images.rows(8..9).to_vec()).expect("sizes agree");
    image.save(&path)?;
    let found = lines(&predict(&["--json", &path, "--index", "8"]))?;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["probabilities"], found[1]["probabilities"]);
    Ok(())
}
