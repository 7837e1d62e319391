//! The folder `files`: one hostile file each, given to the real program, which must refuse it with the message that stands
//! here and exit code 4. `make.rs` has written them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::make::{self, Use};
use crate::pack;

/// Address space of a measured process; what is refused needs none of it.
#[cfg(target_os = "linux")]
const MEMORY_KIB: usize = 1 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/files")
}

/// Runs the program, on Linux with little memory to be had.
fn program(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_gpu-mnist");
    #[cfg(target_os = "linux")]
    let mut command = {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {MEMORY_KIB} && exec \"$0\" \"$@\""), binary]);
        command
    };
    #[cfg(not(target_os = "linux"))]
    let mut command = Command::new(binary);
    command.args(arguments).env_remove("GPU_MNIST_BACKEND").env_remove("GPU_MNIST_DATA_DIR").output().unwrap()
}

/// A good data set of 4x4 pictures in 3 classes, a run on it, and room for what goes wrong.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.data("data", None);
        std::fs::write(scene.path("small.toml"), make::RECIPE).unwrap();
        let (recipe, data, out) = (scene.path("small.toml"), scene.path("data"), scene.path("run"));
        let arguments = ["train", "--backend", "cpu", "--recipe", &recipe, "--data", &data, "--out", &out];
        let output = program(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        scene
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A folder of good IDX files, and `bad` for one of them.
    fn data(&self, name: &str, bad: Option<(&str, &Path)>) -> String {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        for (file, bytes) in make::good_idx() {
            match bad {
                Some((start, path)) if file.starts_with(start) => {
                    let gz = if path.extension().is_some_and(|end| end == "gz") { ".gz" } else { "" };
                    std::fs::copy(path, folder.join(format!("{file}{gz}"))).unwrap();
                }
                _ => std::fs::write(folder.join(file), bytes).unwrap(),
            }
        }
        folder.display().to_string()
    }

    /// A copy of the run with `file` instead of its own.
    fn run_with(&self, name: &str, own: &str, file: &Path) -> String {
        let run = self.folder.path().join(name);
        std::fs::create_dir(&run).unwrap();
        for entry in Path::new(&self.path("run")).read_dir().unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                continue;
            }
            std::fs::copy(entry.path(), run.join(entry.file_name())).unwrap();
        }
        std::fs::copy(file, run.join(own)).unwrap();
        run.display().to_string()
    }

    /// Gives the file to the program in the way that it is meant for.
    fn give(&self, name: &str, how: Use) -> Output {
        let path = folder().join(name);
        let file = path.display().to_string();
        let (recipe, data, out) = (self.path("small.toml"), self.path("data"), self.path("out"));
        let train = |recipe: &str, data: &str| {
            let output =
                program(&["train", "--backend", "cpu", "--recipe", recipe, "--data", data, "--out", &out]);
            assert!(!Path::new(&out).exists(), "{name}: a run that cannot start leaves a folder");
            output
        };
        let resume = |run: &str| program(&["train", "--backend", "cpu", "--resume", run]);
        match how {
            Use::Images => train(&recipe, &self.data(name, Some(("train-images", &path)))),
            Use::Labels => train(&recipe, &self.data(name, Some(("t10k-labels", &path)))),
            Use::Npz => train(&recipe, &file),
            Use::Recipe => train(&file, &data),
            Use::Model => program(&["evaluate", &file, "--backend", "cpu", "--data", &data]),
            Use::Checkpoint => resume(&self.run_with(name, "checkpoint.safetensors", &path)),
            Use::Record => resume(&self.run_with(name, "run.json", &path)),
            Use::Picture => program(&["predict", "builtin", &file, "--backend", "cpu"]),
        }
    }
}

#[test]
fn every_file_is_refused_by_the_program_with_its_message_and_exit_code_4() {
    let scene = Scene::new();
    let mut wrong = Vec::new();
    for case in make::cases() {
        let output = scene.give(case.name, case.how);
        let text = String::from_utf8_lossy(&output.stderr);
        println!("{}: {}", case.name, text.trim_end());
        let clean = !text.contains("panicked") && !text.chars().any(|c| c.is_control() && c != '\n');
        let fits = text.contains(case.message) && text.contains("error: ") && text.len() < 4500;
        if output.status.code() != Some(4) || !clean || !fits || !output.stdout.is_empty() {
            wrong.push(format!("{}, {:?}: {:?} {text}", case.name, case.message, output.status));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Each is one change away from a file that is accepted, which this shows for those that the scene does not use.
#[test]
fn the_good_files_are_accepted() {
    let scene = Scene::new();
    let data = scene.path("data");
    let npz = scene.path("good.npz");
    std::fs::write(&npz, pack::zip(&make::good_npz())).unwrap();
    let model = scene.path("good.safetensors");
    std::fs::write(&model, make::model().to_bytes().unwrap()).unwrap();
    let recipe = scene.path("small.toml");
    let out = scene.path("from-npz");
    let run = scene.path("run");
    for arguments in [
        &["train", "--backend", "cpu", "--recipe", &recipe, "--data", &npz, "--out", &out][..],
        &["evaluate", &model, "--backend", "cpu", "--data", &data],
        &["train", "--backend", "cpu", "--resume", &run],
    ] {
        let output = program(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_folder_holds_these_files_and_no_others() {
    let mut found: Vec<String> = (folder().read_dir().unwrap())
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut expected: Vec<_> = make::cases().iter().map(|case| case.name).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(found.len() >= 30);
}

/// `cargo test --release --test hostile -- --ignored writes_the_files`, after a change to `make.rs`.
#[test]
#[ignore = "writes the folder anew"]
fn writes_the_files() {
    let _ = std::fs::remove_dir_all(folder());
    std::fs::create_dir(folder()).unwrap();
    for case in make::cases() {
        std::fs::write(folder().join(case.name), &case.bytes).unwrap();
    }
}

/// A model file is all that is opened beside what the system needs: no path in its metadata leads anywhere.
#[cfg(target_os = "linux")]
#[test]
fn loading_a_model_opens_that_file_alone() {
    let scene = Scene::new();
    let (run, log) = (scene.path("run"), scene.path("strace"));
    let model = format!("{run}/model.safetensors");
    let traced = Command::new("strace")
        .args(["-f", "-e", "trace=open,openat,openat2,connect,execve", "-o", &log])
        .args([env!("CARGO_BIN_EXE_gpu-mnist"), "summary", &model])
        .current_dir(&run)
        .output();
    let opened = match (traced, std::fs::read_to_string(&log)) {
        (Ok(output), Ok(opened)) if output.status.success() => opened,
        (traced, _) => {
            println!("SKIPPED, strace cannot be used here: {traced:?}");
            return;
        }
    };
    let system = ["/lib", "/usr/lib", "/etc/ld.so", "/proc/", "/sys/", "/dev/"];
    // Libraries are looked for in many places.
    let found = opened.lines().filter(|line| line.contains("open") && !line.contains(" = -1 ENOENT"));
    let paths = found.filter_map(|line| line.split('"').nth(1));
    let own: Vec<_> = paths.filter(|path| !system.iter().any(|start| path.starts_with(start))).collect();
    assert_eq!(own, [model.as_str()], "{opened}");
    assert!(!opened.contains("connect("), "{opened}");
    assert_eq!(opened.matches("execve(").count(), 1, "{opened}");
}
