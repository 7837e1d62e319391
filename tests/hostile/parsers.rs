//! Changed model files, checkpoints, recipes, records and pictures: read, or refused as bad files, and never a panic.

use gpu_mnist::error::exit_code;
use gpu_mnist::layers::{Shape, resolve};
use gpu_mnist::predict::{Options, decode, prepare};
use gpu_mnist::recipe::{Recipe, preset};
use gpu_mnist::train::folder::Folder;
use gpu_mnist::train::model::Model;
use gpu_mnist::train::state::Checkpoint;
use proptest::prelude::*;
use std::sync::LazyLock;

use crate::data::{changed, changes};
use crate::make;

static MODEL: LazyLock<Vec<u8>> = LazyLock::new(|| make::model().to_bytes().unwrap());
static CHECKPOINT: LazyLock<Vec<u8>> = LazyLock::new(|| make::checkpoint().to_bytes().unwrap());

/// What was read, if it was; a refusal must be one of a bad file, in few words.
fn read<T>(result: anyhow::Result<T>) -> Result<Option<T>, TestCaseError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            prop_assert_eq!(exit_code(&error), 4, "{:#}", error);
            let length = format!("{error:#}").len();
            prop_assert!(length < 8000, "a message of {} bytes", length);
            Ok(None)
        }
    }
}

fn read_model(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Some(model) = read(Model::parse("changed", bytes))? {
        let written = model.to_bytes().unwrap();
        prop_assert!(Model::parse("written", &written).unwrap().to_bytes().unwrap() == written);
    }
    Ok(())
}

fn read_checkpoint(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Some(checkpoint) = read(Checkpoint::parse("changed", bytes))? {
        let written = checkpoint.to_bytes().unwrap();
        prop_assert!(Checkpoint::parse("written", &written).unwrap().to_bytes().unwrap() == written);
    }
    Ok(())
}

fn read_recipe(text: &str) -> Result<(), TestCaseError> {
    if let Some(recipe) = read(Recipe::from_toml(text, "changed"))? {
        let written = recipe.to_toml().unwrap();
        prop_assert_eq!(Recipe::from_toml(&written, "written").unwrap().to_toml().unwrap(), written);
        recipe.print_config().unwrap();
        read(resolve(&recipe, Shape { channels: 1, height: 28, width: 28 }, 10))?;
    }
    Ok(())
}

fn read_picture(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Some(picture) = read(decode(bytes))? {
        let (width, height) = picture.size();
        if u64::from(width) * u64::from(height) < 10_000 {
            read(prepare(&picture, &Options::default(), None))?;
        }
    }
    Ok(())
}

/// The header of a safetensors file and the data behind it.
fn header_and_data(file: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    rest.split_at(u64::from_le_bytes(*length) as usize)
}

/// A file whose header is changed, and whose first eight bytes tell its length.
fn with_changed_header(file: &[u8], changes: &[crate::data::Change]) -> Vec<u8> {
    let (header, data) = header_and_data(file);
    let header = changed(header, changes);
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

/// A picture in each format that is read.
fn pictures() -> Vec<Vec<u8>> {
    use image::{DynamicImage, GrayImage, ImageFormat, Luma};
    let stroke =
        |x: u32, y: u32| Luma([if x.abs_diff(10 + y / 8) < 3 && (4..28).contains(&y) { 20 } else { 240 }]);
    let gray = DynamicImage::ImageLuma8(GrayImage::from_fn(32, 32, stroke));
    let formats = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::WebP];
    let write = |format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = if format == ImageFormat::WebP { gray.to_rgb8().into() } else { gray.clone() };
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    formats.map(write).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_models_never_panic(changes in changes()) {
        read_model(&changed(&MODEL, &changes))?;
        read_model(&with_changed_header(&MODEL, &changes))?;
        read_checkpoint(&with_changed_header(&MODEL, &changes))?;
    }

    #[test]
    fn changed_checkpoints_never_panic(changes in changes()) {
        read_checkpoint(&changed(&CHECKPOINT, &changes))?;
        read_checkpoint(&with_changed_header(&CHECKPOINT, &changes))?;
    }

    #[test]
    fn changed_numbers_in_headers_never_panic(
        which in any::<prop::sample::Index>(),
        number in prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(1 << 32), Just(1 << 63), any::<u64>()],
        on_model in any::<bool>(),
    ) {
        let file = if on_model { &*MODEL } else { &*CHECKPOINT };
        let (header, data) = header_and_data(file);
        let text = std::str::from_utf8(header).unwrap();
        let starts: Vec<usize> = text.char_indices().zip(std::iter::once(' ').chain(text.chars()))
            .filter(|((_, c), before)| c.is_ascii_digit() && !before.is_ascii_digit()).map(|((at, _), _)| at).collect();
        let start = starts[which.index(starts.len())];
        let rest = text[start..].trim_start_matches(|c: char| c.is_ascii_digit());
        let header = format!("{}{number}{rest}", &text[..start]);
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
        if on_model { read_model(&bytes)? } else { read_checkpoint(&bytes)? }
    }

    #[test]
    fn changed_recipes_never_panic(which in prop::sample::select(preset::names().collect::<Vec<_>>()), changes in changes()) {
        let text = preset::text(which).unwrap();
        read_recipe(&String::from_utf8_lossy(&changed(text.as_bytes(), &changes)))?;
    }

    #[test]
    fn recipes_of_strange_numbers_never_panic(
        key in prop::sample::select(vec![
            "training.batch_size", "training.epochs", "training.clip_norm", "optimizer.learning_rate", "optimizer.momentum",
            "schedule.warmup_steps", "layers.0.filters", "layers.0.kernel", "layers.1.size", "layers.3.rate",
        ]),
        value in prop::sample::select(vec![
            "0", "1", "-1", "9223372036854775807", "-9223372036854775808", "4294967296", "1e308", "-0.0", "1e-320", "inf",
            "-inf", "nan", "true", "''", "[]", "{}", "1979-05-27", "[[1], [2]]",
        ]),
    ) {
        let mut recipe = Recipe::from_toml(
            "name = 'x'\ntraining = { batch_size = 3, epochs = 2 }\noptimizer = { name = 'sgd', learning_rate = 0.1 }\n\
             schedule = { kind = 'constant' }\nlayers = [{ type = 'conv2d', filters = 3, kernel = 3 }, \
             { type = 'max_pool', size = 2 }, { type = 'flatten' }, { type = 'dropout', rate = 0.1 }, \
             { type = 'dense', units = 'classes' }]\n", "strange").unwrap();
        match recipe.apply_set(&format!("{key}={value}")) {
            Ok(()) => read_recipe(&recipe.to_toml().unwrap())?,
            Err(error) => prop_assert_eq!(exit_code(&error), 2, "{:#}", error),
        }
    }

    #[test]
    fn changed_pictures_never_panic(which in 0..4_usize, changes in changes()) {
        read_picture(&changed(&pictures()[which], &changes))?;
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_model(&bytes)?;
        read_checkpoint(&bytes)?;
        read_recipe(&String::from_utf8_lossy(&bytes))?;
        read_picture(&bytes)?;
        for start in [&b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"[..], b"\xff\xd8\xff", b"BM", b"RIFF\0\x01\0\0WEBPVP8"] {
            read_picture(&[start, &bytes].concat())?;
        }
    }
}

proptest! {
    // Each writes files.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_records_never_panic(changes in changes()) {
        let folder = tempfile::tempdir().unwrap();
        let record = r#"{"version":"0.1.0","seed":3,"data":"mnist","sources":[{"name":"a","bytes":3,"sha256":"ab"}],"limit":5,
            "init_from":null,"device":{"backend":"cpu","adapter":"x","driver":"x","threads":1}}"#;
        std::fs::write(folder.path().join("recipe.toml"), make::RECIPE).unwrap();
        std::fs::write(folder.path().join("run.json"), changed(record.as_bytes(), &changes)).unwrap();
        read(Folder::open(folder.path()))?;
        std::fs::write(folder.path().join("run.json"), record).unwrap();
        std::fs::write(folder.path().join("recipe.toml"), changed(make::RECIPE.as_bytes(), &changes)).unwrap();
        read(Folder::open(folder.path()))?;
    }
}

#[test]
fn what_is_changed_is_good() {
    Model::parse("model", &MODEL).unwrap();
    Checkpoint::parse("checkpoint", &CHECKPOINT).unwrap();
    for bytes in pictures() {
        prepare(&decode(&bytes).unwrap(), &Options::default(), None).unwrap();
    }
}

/// `cargo test --release --test hostile -- --ignored writes_the_seeds`: where fuzzing starts from.
#[test]
#[ignore = "adds to fuzz/corpus"]
fn writes_the_seeds() {
    use crate::{make::Use, pack};
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus.join(target)).unwrap();
        std::fs::write(corpus.join(target).join(name), bytes).unwrap();
    };
    for case in make::cases().iter().filter(|case| case.bytes.len() < 8192) {
        let target = match case.how {
            Use::Images | Use::Labels if case.name.ends_with(".gz") => "gzip",
            Use::Images | Use::Labels => "idx",
            Use::Npz => "npz",
            Use::Recipe => "recipe",
            Use::Model => "model",
            Use::Checkpoint => "checkpoint",
            Use::Record => continue,
            Use::Picture => "image",
        };
        let bytes = if target == "gzip" { [&[0], &case.bytes[..]].concat() } else { case.bytes.clone() };
        write(target, case.name, &bytes);
    }
    for (name, bytes) in make::good_idx() {
        write("idx", name, &bytes);
        write("gzip", name, &[&[2], &bytes[..]].concat());
        write("gzip", &format!("{name}.gz"), &[&[0], &pack::gzip(&bytes)[..]].concat());
    }
    write("npz", "good", &pack::zip(&make::good_npz()));
    write("npy", "pixels", &pack::npy("|u1", "(3, 2, 2)", &[5; 12]));
    write("npy", "labels", &pack::npy("<i4", "(3,)", &[0; 12]));
    write("model", "good", &MODEL);
    write("checkpoint", "good", &CHECKPOINT);
    for name in preset::names() {
        write("recipe", name, preset::text(name).unwrap().as_bytes());
    }
    for (number, bytes) in pictures().iter().enumerate() {
        write("image", &format!("good-{number}"), bytes);
    }
}
