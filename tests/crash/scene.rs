//! A small training run of the real program, and what must hold of its folder.

use gpu_mnist::rng::{Purpose, Stream};
use gpu_mnist::train::folder::{CHECKPOINT, EVENTS, HISTORY, MODEL, RUN, STEPS};
use gpu_mnist::train::state::Checkpoint;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Steps between checkpoints, and between logged steps.
pub(crate) const INTERVAL: usize = 4;

/// A folder with a data set and a recipe, and the files of the run that nothing happens to.
pub(crate) struct Scene {
    folder: TempDir,
    whole: [Vec<u8>; 3],
}

impl Scene {
    /// Trains `epochs` epochs of 10 steps on a network with `units` units, with dropout and momentum.
    pub(crate) fn new(epochs: usize, units: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        for (name, count) in [("train", 150), ("t10k", 40)] {
            let (images, labels) = noise(count);
            std::fs::write(data.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
            std::fs::write(data.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
        }
        let recipe = format!(
            "name = 'small'\nlayers = [{{ type = 'dense', units = {units}, activation = 'relu' }}, {{ type = 'dropout', \
             rate = 0.2 }}, {{ type = 'dense', units = 'classes' }}]\n\
             optimizer = {{ name = 'sgd', learning_rate = 0.01, momentum = 0.9 }}\n\
             training = {{ batch_size = 15, epochs = {epochs} }}\n"
        );
        std::fs::write(folder.path().join("small.toml"), recipe).unwrap();
        let mut scene = Self { folder, whole: Default::default() };
        let whole = scene.path("whole");
        let output = scene.train(&whole).output().unwrap();
        assert!(output.status.success(), "{}", error_text(&output));
        scene.whole = results(&whole);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that starts the run in `out`.
    pub(crate) fn train(&self, out: &Path) -> Command {
        let mut command = program();
        command.args(["train", "--data"]).arg(self.path("data")).arg("--recipe").arg(self.path("small.toml"));
        command.arg("--out").arg(out);
        often(&mut command);
        command
    }

    /// The command that takes the run up, or starts it if it had not begun.
    pub(crate) fn go_on(&self, out: &Path) -> Command {
        if !out.join(RUN).exists() {
            return self.train(out);
        }
        let mut command = program();
        command.args(["train", "--resume"]).arg(out);
        often(&mut command);
        command
    }

    /// What must hold after anything happened to the run: its checkpoint loads, and is not older than an interval.
    pub(crate) fn check_checkpoint(&self, out: &Path, what: &str) {
        let reached = steps_logged(out);
        let path = out.join(CHECKPOINT);
        let saved = match path.exists() {
            true => Checkpoint::load(&path).unwrap_or_else(|e| panic!("{what}: {e:#}")).progress.global_step,
            false => 0,
        };
        assert!(saved + INTERVAL >= reached, "{what}: saved at step {saved}, and step {reached} was done");
    }

    /// Takes the run up to its end, which must be that of the run that nothing happened to.
    pub(crate) fn check_end(&self, out: &Path, what: &str) {
        let output = self.go_on(out).output().unwrap();
        assert!(output.status.success(), "{what}: {}", error_text(&output));
        self.check_results(out, what);
    }

    /// The files of a finished run.
    pub(crate) fn check_results(&self, out: &Path, what: &str) {
        assert!(results(out) == self.whole, "{what}: the run ends with other bytes");
        assert_eq!(self.litter(out), Vec::<String>::new(), "{what}");
    }

    /// Files that belong to no finished run.
    pub(crate) fn litter(&self, out: &Path) -> Vec<String> {
        let expected = names(&self.path("whole"));
        names(out).into_iter().filter(|name| !expected.contains(name)).collect()
    }
}

/// The program on one thread of the CPU.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
    command.env_remove("GPU_MNIST_BACKEND").env_remove("GPU_MNIST_DATA_DIR");
    command
}

fn often(command: &mut Command) {
    command.args(["--backend", "cpu", "--threads", "1", "--quiet", "--log-every"]);
    command.args([INTERVAL.to_string(), "--checkpoint-steps".to_owned(), INTERVAL.to_string()]);
}

/// An IDX file of noisy 8x8 pictures of 4 classes, and one of their labels.
fn noise(count: u32) -> (Vec<u8>, Vec<u8>) {
    let stream = Stream::new(1, Purpose::Test, count, 0);
    let classes: Vec<u8> = (0..count).map(|i| stream.below(i, 4) as u8).collect();
    let mut images = vec![0, 0, 8, 3];
    [count, 8, 8].iter().for_each(|size| images.extend(size.to_be_bytes()));
    images.extend((0..64 * count).map(|i| stream.below(1000 + i, 100) as u8 + 50 * classes[i as usize / 64]));
    let mut labels = vec![0, 0, 8, 1];
    labels.extend(count.to_be_bytes());
    labels.extend(classes);
    (images, labels)
}

/// Of the files in a folder; none of one that is not there.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn results(out: &Path) -> [Vec<u8>; 3] {
    [MODEL, HISTORY, STEPS].map(|file| std::fs::read(out.join(file)).unwrap_or_default())
}

/// The last step in the events, of which a killed process can have left half a line.
fn steps_logged(out: &Path) -> usize {
    let text = std::fs::read_to_string(out.join(EVENTS)).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let steps = whole.lines().map(|line| serde_json::from_str(line).expect("an event"));
    let mut steps = steps.filter_map(|event: serde_json::Value| event["step"].as_u64());
    steps.next_back().unwrap_or(0) as usize
}

pub(crate) fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A failure that a script can tell from others, and a person can act on.
pub(crate) fn check_failure(output: &Output, what: &str) {
    let text = error_text(output);
    assert_eq!(output.status.code(), Some(1), "{what}: {:?} {text}", output.status);
    assert!(text.starts_with("error: ") && !text.contains("panicked"), "{what}: {text}");
    assert!(text.contains("cannot "), "{what}: {text}");
}
