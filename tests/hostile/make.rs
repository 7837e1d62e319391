//! Makes the files of the folder `files`, each with how it is given to the program and a part of the message that it must
//! earn.

use gpu_mnist::data::PixelTransform;
use gpu_mnist::layers::{Shape, resolve};
use gpu_mnist::plan::network::place_parameters;
use gpu_mnist::recipe::Recipe;
use gpu_mnist::train::engine::Weights;
use gpu_mnist::train::model::Model;
use gpu_mnist::train::state::{Checkpoint, Progress};

use crate::pack::{self, Member, gzip, npy, npz_from, zip};

/// How a file is given to the program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Use {
    /// As the training images of `train --data FOLDER`.
    Images,
    /// As the test labels.
    Labels,
    /// `train --data FILE.npz`
    Npz,
    /// `train --recipe FILE.toml`
    Recipe,
    /// `evaluate FILE`
    Model,
    /// In a run folder, `train --resume`.
    Checkpoint,
    /// The `run.json` of a run folder, `train --resume`.
    Record,
    /// A picture of a digit.
    Picture,
}

/// A hostile file.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) how: Use,
    pub(crate) message: &'static str,
    pub(crate) bytes: Vec<u8>,
}

fn case(name: &'static str, how: Use, message: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name, how, message, bytes: bytes.into() }
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let groups =
        [idx_cases(), npz_cases(), recipe_cases(), model_cases(), checkpoint_cases(), record_cases()];
    groups.into_iter().flatten().chain(picture_cases()).collect()
}

/// A recipe that trains two epochs of three steps on the good data.
pub(crate) const RECIPE: &str = "name = 'small'\n\
    layers = [{ type = 'dense', units = 5, activation = 'relu' }, { type = 'dense', units = 'classes' }]\n\
    optimizer = { name = 'sgd', learning_rate = 0.1, momentum = 0.5 }\n\
    training = { batch_size = 4, epochs = 2 }\n";

/// 12 training and 6 test images of 4x4 in 3 classes.
pub(crate) fn good_idx() -> [(&'static str, Vec<u8>); 4] {
    let pixels: Vec<u8> = (0..12 * 16_u32).map(|i| (i * 37 % 251) as u8).collect();
    let labels: Vec<u8> = (0..12).map(|i| i % 3).collect();
    [
        ("train-images-idx3-ubyte", pack::idx(&[12, 4, 4], &pixels)),
        ("train-labels-idx1-ubyte", pack::idx(&[12], &labels)),
        ("t10k-images-idx3-ubyte", pack::idx(&[6, 4, 4], &pixels[..96])),
        ("t10k-labels-idx1-ubyte", pack::idx(&[6], &labels[..6])),
    ]
}

/// The same as the members of an archive.
pub(crate) fn good_npz() -> Vec<Member> {
    let [(_, x_train), (_, y_train), (_, x_test), (_, y_test)] = good_idx();
    vec![
        Member::deflated("x_train.npy", &npy("|u1", "(12, 4, 4)", &x_train[16..])),
        Member::stored("y_train.npy", &npy("|u1", "(12,)", &y_train[8..])),
        Member::deflated("x_test.npy", &npy("|u1", "(6, 4, 4)", &x_test[16..])),
        Member::stored("y_test.npy", &npy("|u1", "(6,)", &y_test[8..])),
    ]
}

fn idx_cases() -> Vec<Case> {
    use Use::{Images, Labels};
    let images = &good_idx()[0].1;
    let packed = gzip(images);
    let bomb = pack::gzip_bomb(&pack::idx(&[1 << 20, 4, 4], &[]), 2);
    vec![
        case("empty.idx", Images, "begins []; expected an IDX file", []),
        case("half-a-header.idx", Images, "the header has 9 bytes", &images[..9]),
        case("cut-short.idx", Images, "it is cut short", &images[..100]),
        case("left-over.idx", Images, "it has bytes left over", [&images[..], &[0]].concat()),
        case(
            "sizes-overflow.idx",
            Images,
            "multiply to more than any file can hold",
            pack::idx(&[!0; 3], &[0; 9]),
        ),
        case(
            "sizes-beyond-the-file.idx",
            Images,
            "60000 x 28 x 28 = 47040016 bytes",
            pack::idx(&[60_000, 28, 28], &[0; 9]),
        ),
        case("no-images.idx", Images, "holds 0 images of 4x4", pack::idx(&[0, 4, 4], &[])),
        case("flat-images.idx", Images, "holds 12 images of 0x4", pack::idx(&[12, 0, 4], &[])),
        case(
            "another-size.idx",
            Images,
            "training images are 2x8 and test images 4x4",
            pack::idx(&[12, 2, 8], &[1; 192]),
        ),
        case("floats.idx", Images, "not unsigned bytes", [&[0, 0, 13, 3], &images[4..]].concat()),
        case("labels-for-images.idx", Images, "these are labels", pack::idx(&[12], &[0; 12])),
        case("images-for-labels.idx", Labels, "these are images", pack::idx(&[1, 1, 1], &[0])),
        case("too-few-labels.idx", Labels, "6 images but 5 labels", pack::idx(&[5], &[0; 5])),
        case(
            "page.idx",
            Images,
            "this looks like a web page",
            *b"<!DOCTYPE html><title>404 Not Found</title>",
        ),
        case("cut-short.gz", Images, "the packed data end too early", &packed[..packed.len() / 2]),
        case("wrong-checksum.gz", Images, "the packed data are damaged", {
            let mut bytes = packed.clone();
            let at = bytes.len() - 7;
            bytes[at] ^= 0x40;
            bytes
        }),
        case("twice.gz", Images, "the file is gzipped twice", gzip(&packed)),
        case("bomb.gz", Images, "more than 100 to 1", bomb),
        case(
            "sizes-overflow.gz",
            Images,
            "multiply to more than any file can hold",
            gzip(&pack::idx(&[!0; 3], &[])),
        ),
        case("goes-on.gz", Images, "data go on after the 192 bytes", [&packed[..], &packed[..]].concat()),
    ]
}

fn npz_cases() -> Vec<Case> {
    use Use::Npz;
    let good = good_npz();
    let with = |name: &str, array: &[u8]| npz_from(good.clone(), name, array);
    let x = |descr: &str, shape: &str| with("x_train.npy", &npy(descr, shape, &[0; 192]));
    let escape = "\x1b[31m\x07";
    let mut strange = good.clone();
    strange[0].name = format!("x_train{escape}.npy");
    vec![
        case("empty.npz", Npz, "is not a zip archive", []),
        case("cut-short.npz", Npz, "is not a zip archive", {
            let all = zip(&good);
            all[..all.len() - 40].to_vec()
        }),
        case("no-test-labels.npz", Npz, "has no y_test.npy", zip(&good[..3])),
        case("pickled.npz", Npz, "holds \"|O\", expected integers", x("|O", "(12, 4, 4)")),
        case("floats.npz", Npz, "pixels are \"<f4\"", x("<f4", "(3, 4, 4)")),
        case(
            "shape-overflows.npz",
            Npz,
            "is more than any file can hold",
            x("|u1", "(4294967296, 4294967296, 4294967296)"),
        ),
        case("shape-beyond-the-file.npz", Npz, "cannot come out of", x("|u1", "(100000000, 28, 28)")),
        case(
            "header-is-code.npz",
            Npz,
            "the header is \"__import__('os')",
            with("x_train.npy", &pack::npy_with_header(1, "__import__('os').system('id')", &[0; 12])),
        ),
        case(
            "strange-name.npz",
            Npz,
            "has no x_train.npy; the archive holds \"x_train\\u{1b}[31m",
            zip(&strange),
        ),
        case(
            "label-too-great.npz",
            Npz,
            "label 65535 in row 0",
            with("y_train.npy", &npy("<u2", "(12,)", &[0xff; 24])),
        ),
    ]
}

fn recipe_cases() -> Vec<Case> {
    use Use::Recipe;
    let layers = |layers: &str| {
        format!("name = 'x'\ntraining.epochs = 1\noptimizer.name = 'sgd'\nlayers = [{layers}]\n")
    };
    let output = "{ type = 'dense', units = 'classes' }";
    let wide = "{ type = 'repeat', times = 100, layers = [{ type = 'dense', units = 8192 }] }";
    let mut nested = String::from("{ type = 'dense', units = 2 }");
    for _ in 0..6 {
        nested = format!("{{ type = 'repeat', times = 1000, layers = [{nested}] }}");
    }
    let replaced = |from: &str, to: &str| {
        assert!(RECIPE.contains(from));
        RECIPE.replace(from, to)
    };
    vec![
        case("empty.toml", Recipe, "name: this key is missing", []),
        case("picture.toml", Recipe, "cannot read the recipe", *b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        case("broken.toml", Recipe, "is not valid TOML", "name = 'x\nlayers = [[["),
        case("deep.toml", Recipe, "is not valid TOML", format!("name = {}", "[".repeat(20_000))),
        case("deep-keys.toml", Recipe, "deep-keys.toml", format!("{}x = 1", "a.".repeat(20_000))),
        case(
            "long-line.toml",
            Recipe,
            "is not valid TOML",
            format!("name = 'x' # {}\nlayers = {} ?", "x".repeat(9000), "y".repeat(9000)),
        ),
        case("long-key.toml", Recipe, "long-key.toml", format!("{}{} = 1\n", RECIPE, "k".repeat(9000))),
        case("escape.toml", Recipe, "names a folder", replaced("'small'", "\"\\u001b]0;owned\\u0007\"")),
        case("path-for-a-name.toml", Recipe, "names a folder", replaced("'small'", "'../../etc'")),
        case("epochs-0.toml", Recipe, "epochs", replaced("epochs = 2", "epochs = 0")),
        case("batch-negative.toml", Recipe, "batch_size", replaced("batch_size = 4", "batch_size = -4")),
        case(
            "rate-nan.toml",
            Recipe,
            "learning_rate",
            replaced("learning_rate = 0.1", "learning_rate = nan"),
        ),
        case("unknown-layer.toml", Recipe, "dens", replaced("'dense', units = 5", "'dens', units = 5")),
        case(
            "units-overflow.toml",
            Recipe,
            "more than 67108864 values",
            layers(&format!("{{ type = 'dense', units = 9223372036854775807 }}, {output}")),
        ),
        case(
            "memory.toml",
            Recipe,
            "more than 268435456; make it smaller",
            layers(&format!("{wide}, {output}")),
        ),
        case("repeats.toml", Recipe, "layers are too many", layers(&format!("{nested}, {output}"))),
        case(
            "kernel-too-large.toml",
            Recipe,
            "conv2d",
            layers(&format!("{{ type = 'conv2d', filters = 2, kernel = 4294967295 }}, {output}")),
        ),
        case(
            "no-end.toml",
            Recipe,
            "but the data set has 3 classes",
            layers("{ type = 'dense', units = 7 }"),
        ),
    ]
}

/// The network of [`RECIPE`] with weights that are all different.
pub(crate) fn model() -> Model {
    let recipe = Recipe::from_toml(RECIPE, "small").unwrap();
    let input = Shape { channels: 1, height: 4, width: 4 };
    let layers = resolve(&recipe, input, 3).unwrap();
    let places = place_parameters(&layers);
    let weights = Weights::initial(&layers, &places, 1);
    let transform = PixelTransform { mean: 0.0, divisor: 255.0, l2_columns: false };
    Model { recipe, input, classes: 3, transform, weights }
}

/// A file with this header text, and these data.
fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// The header of a file, and its data.
fn parts(file: &[u8]) -> (String, Vec<u8>) {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    (String::from_utf8(header.to_vec()).unwrap(), data.to_vec())
}

/// A file with a part of its header replaced.
fn replaced(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (header, data) = parts(file);
    assert!(header.contains(from), "{from}: {header}");
    safetensors(&header.replacen(from, to, 1), &data)
}

fn model_cases() -> Vec<Case> {
    use Use::Model;
    let good = model().to_bytes().unwrap();
    let (header, data) = parts(&good);
    let with = |from: &str, to: &str| replaced(&good, from, to);
    let mut infinite = model();
    infinite.weights.parameters[7] = f32::INFINITY;
    let wide = "units = 8000000";
    vec![
        case("empty.safetensors", Model, "has 0 bytes, expected a safetensors file", []),
        case("seven-bytes.safetensors", Model, "has 7 bytes", [0; 7]),
        case(
            "header-of-2-63-bytes.safetensors",
            Model,
            "a header of 9223372036854775808 bytes, but",
            [&(1_u64 << 63).to_le_bytes()[..], &good[8..]].concat(),
        ),
        case("header-beyond-the-file.safetensors", Model, "it is cut short", &good[..100]),
        case("cut-short.safetensors", Model, "follow the header: it is cut short", &good[..good.len() - 40]),
        case(
            "left-over.safetensors",
            Model,
            "is not a whole safetensors file",
            [&good[..], &[0; 4]].concat(),
        ),
        case(
            "not-json.safetensors",
            Model,
            "is not a whole safetensors file",
            safetensors("{\"a\": [1, 2", &data),
        ),
        case(
            "deep-json.safetensors",
            Model,
            "is not a whole safetensors file",
            safetensors(&"[".repeat(50_000), &data),
        ),
        case(
            "not-utf-8.safetensors",
            Model,
            "is not a whole safetensors file",
            [&4_u64.to_le_bytes()[..], b"{\xff\xfe}"].concat(),
        ),
        case(
            "pickle.safetensors",
            Model,
            "it is cut short, or no safetensors file",
            *b"\x80\x04\x95\x10\0\0\0\0\0\0\0cos\nsystem\n",
        ),
        case(
            "no-metadata.safetensors",
            Model,
            "the metadata key \"gpu_mnist\" is missing",
            safetensors(&format!("{{{}", &header[header.find("\"dense.bias\"").unwrap()..]), &data),
        ),
        case(
            "another-format.safetensors",
            Model,
            "the model has format 2",
            with("\\\"format\\\":1", "\\\"format\\\":2"),
        ),
        case(
            "shape-overflows.safetensors",
            Model,
            "which is more than any file can hold",
            with("\"shape\":[5]", "\"shape\":[4294967296,4294967296,2]"),
        ),
        case(
            "shape-beyond-its-bytes.safetensors",
            Model,
            "5000000000 bytes, but the header gives it the bytes",
            with("\"shape\":[5]", "\"shape\":[1250000000]"),
        ),
        case("offsets-overlap.safetensors", Model, "is not a whole safetensors file", {
            let entry = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
            let metadata = &header[1..header.find("\"dense.bias\"").unwrap()];
            safetensors(&format!("{{{metadata}\"a\":{entry},\"b\":{entry}}}"), &[0; 4])
        }),
        case(
            "offsets-backwards.safetensors",
            Model,
            "but the header gives it the bytes 20 to 0",
            with("\"data_offsets\":[0,20]", "\"data_offsets\":[20,0]"),
        ),
        case("integers.safetensors", Model, "is of type I32, expected F32", with("\"F32\"", "\"I32\"")),
        case("unknown-type.safetensors", Model, "is not one", with("\"F32\"", "\"F33\"")),
        case(
            "tensor-missing.safetensors",
            Model,
            "the tensor dense.weight is missing",
            with("dense.weight", "dense.other"),
        ),
        case(
            "tensor-transposed.safetensors",
            Model,
            "the tensor dense.weight has the shape [16, 5], expected [5, 16]",
            with("\"shape\":[5,16]", "\"shape\":[16,5]"),
        ),
        case(
            "tensor-with-escapes.safetensors",
            Model,
            "the tensor dense.weight is missing",
            with("dense.weight", "\\u001b[2J\\u0007dense.weight"),
        ),
        case("infinite.safetensors", Model, "is not finite", infinite.to_bytes().unwrap()),
        case(
            "recipe-broken.safetensors",
            Model,
            "recipe of the model file is not valid TOML",
            with("name = ", "name = = "),
        ),
        case("recipe-wide.safetensors", Model, "more than 67108864 values", with("units = 5", wide)),
        case(
            "recipe-wider-than-its-tensors.safetensors",
            Model,
            "expected [4000000, 16]",
            with("units = 5", "units = 4000000"),
        ),
        case(
            "no-classes.safetensors",
            Model,
            "0 classes are not what",
            with("\\\"classes\\\":3", "\\\"classes\\\":0"),
        ),
        case(
            "too-many-classes.safetensors",
            Model,
            "18446744073709551615 classes are not what",
            with("\\\"classes\\\":3", "\\\"classes\\\":18446744073709551615"),
        ),
        case(
            "images-overflow.safetensors",
            Model,
            "are not what this program takes",
            with("\\\"input\\\":[1,4,4]", "\\\"input\\\":[1,4294967296,4294967296]"),
        ),
        case(
            "divisor-0.safetensors",
            Model,
            "a divisor from 1e-6 to 1e6",
            with("\\\"divisor\\\":255.0", "\\\"divisor\\\":0.0"),
        ),
    ]
}

/// A checkpoint of the run after one epoch and a step.
pub(crate) fn checkpoint() -> Checkpoint {
    let weights = model().weights;
    let history = vec![gpu_mnist::train::event::EpochRecord {
        epoch: 1,
        loss: 1.0,
        accuracy: 0.5,
        val_loss: None,
        val_accuracy: None,
        seconds: 0.1,
        images_per_second: 100.0,
    }];
    Checkpoint {
        progress: Progress { epoch: 1, step: 1, global_step: 4, history, ..Progress::default() },
        moments: vec![vec![0.0; weights.parameters.len()]],
        weights,
        hits: vec![1],
        losses: vec![1.0; 4],
        best_weights: None,
    }
}

fn checkpoint_cases() -> Vec<Case> {
    use Use::Checkpoint;
    let good = checkpoint();
    let with = |change: &dyn Fn(&mut gpu_mnist::train::state::Checkpoint)| {
        let mut checkpoint = good.clone();
        change(&mut checkpoint);
        checkpoint.to_bytes().unwrap()
    };
    let torn = "parts do not fit together";
    let bytes = good.to_bytes().unwrap();
    vec![
        case("checkpoint-cut-short.safetensors", Checkpoint, "it is cut short", &bytes[..bytes.len() / 2]),
        case(
            "checkpoint-of-a-model.safetensors",
            Checkpoint,
            "the metadata key",
            model().to_bytes().unwrap(),
        ),
        case(
            "checkpoint-format.safetensors",
            Checkpoint,
            "the checkpoint has format 9",
            replaced(&bytes, "\\\"format\\\":1", "\\\"format\\\":9"),
        ),
        case(
            "checkpoint-losses.safetensors",
            Checkpoint,
            torn,
            with(&|c| {
                c.losses.pop();
            }),
        ),
        case(
            "checkpoint-moments.safetensors",
            Checkpoint,
            torn,
            with(&|c| {
                c.moments[0].pop();
            }),
        ),
        case(
            "checkpoint-no-moments.safetensors",
            Checkpoint,
            "of another network",
            with(&|c| c.moments.clear()),
        ),
        case(
            "checkpoint-weights.safetensors",
            Checkpoint,
            "of another network",
            with(&|c| {
                c.weights.parameters.pop();
                c.moments[0].pop();
            }),
        ),
        case(
            "checkpoint-best.safetensors",
            Checkpoint,
            torn,
            with(&|c| c.best_weights = Some(Weights { parameters: vec![1.0], statistics: vec![] })),
        ),
        case(
            "checkpoint-step.safetensors",
            Checkpoint,
            "stands at step 3 of epoch 2, 6 steps in all",
            with(&|c| {
                c.progress.step = 3;
                c.progress.global_step = 6;
                c.hits = vec![1; 3];
                c.losses = vec![1.0; 6];
            }),
        ),
        case(
            "checkpoint-overflow.safetensors",
            Checkpoint,
            torn,
            replaced(&bytes, "\\\"global_step\\\":4", "\\\"global_step\\\":18446744073709551615"),
        ),
        case(
            "checkpoint-infinite.safetensors",
            Checkpoint,
            "not finite",
            with(&|c| c.weights.parameters[0] = f32::NAN),
        ),
    ]
}

fn record_cases() -> Vec<Case> {
    let record = |limit: &str, data: &str, more: &str| {
        format!(
            "{{\"version\":\"0.1.0\",\"seed\":0,\"data\":{data},\"sources\":[],\"limit\":{limit},\"init_from\":null,\
             \"device\":{{\"backend\":\"cpu\",\"adapter\":\"x\",\"driver\":\"x\",\"threads\":1}}{more}}}"
        )
    };
    vec![
        case("record-empty.json", Use::Record, "it is not what `gpu-mnist train` writes", []),
        case("record-not-text.json", Use::Record, "cannot be read as text", [0xff; 40]),
        case("record-deep.json", Use::Record, "it is not what `gpu-mnist train` writes", "[".repeat(50_000)),
        case("record-limit-0.json", Use::Record, "a limit of 0", record("0", "\"mnist\"", "")),
        case(
            "record-data.json",
            Use::Record,
            "is neither a folder nor an .npz file",
            record("null", "\"/etc/passwd\"", ""),
        ),
    ]
}

/// A PNG whose header says these sizes, with a right checksum, and then nothing.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&header);
    bytes.extend(pack::crc(&header).to_be_bytes());
    bytes
}

fn picture_cases() -> Vec<Case> {
    use Use::Picture;
    let mut bmp = b"BM".to_vec();
    for word in [54_u32, 0, 54, 40, 0x7fff_ffff, 0x7fff_ffff, 0x0018_0001, 0, 0, 0, 0, 0, 0] {
        bmp.extend(word.to_le_bytes());
    }
    let pixels_of_nothing = [png(8000, 8000), b"\0\0\0\0IDAT\x35\xaf\x06\x1e".to_vec()].concat();
    let webp = [&b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f"[..], &[0xff; 12]].concat();
    vec![
        case("empty.png", Picture, "not a picture that can be read", []),
        case(
            "text.png",
            Picture,
            "not a picture that can be read",
            *b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        ),
        case("header-only.png", Picture, "damaged or cut short", png(28, 28)),
        case("pixels-overflow.png", Picture, "too large to decode", png(0x7fff_ffff, 0x7fff_ffff)),
        case("many-pixels.png", Picture, "damaged or cut short", png(65_535, 65_535)),
        case("large-for-its-file.png", Picture, "from a file of 45 bytes", pixels_of_nothing),
        case("no-pixels.png", Picture, "Invalid image dimensions", png(0, 28)),
        case(
            "cut-short.jpg",
            Picture,
            "damaged or cut short",
            *b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0",
        ),
        case("pixels-overflow.bmp", Picture, "too large", bmp),
        case("noise.webp", Picture, "damaged or cut short", webp),
    ]
}
