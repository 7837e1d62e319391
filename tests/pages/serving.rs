//! The program itself, serving.

use crate::trained::Trained;
use gpu_mnist::recipe::Overrides;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

/// A running program that has a page.
pub(crate) struct Serving {
    pub(crate) url: String,
    child: Child,
}

impl Serving {
    /// `serve` on a run or model file.
    pub(crate) fn of(run: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
        command.arg("serve").arg(run).args(["--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self::at(url.trim(), child)
    }

    /// `train --serve` with these flags.
    pub(crate) fn training(flags: &[&str], out: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
        command.args(["train", "--backend", "cpu", "--serve=0", "--out"]).arg(out).args(flags);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find_map(|line| line.strip_prefix("the run is on ").map(str::to_owned)).unwrap();
        // Nobody else reads, and the program must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self::at(&url, child)
    }

    fn at(url: &str, child: Child) -> Self {
        assert!(url.starts_with("http://127.0.0.1:"), "{url:?}");
        Self { url: url.to_owned(), child }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(mut self) -> ExitStatus {
        let killed = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A network that recognises drawn digits, trained once for all tests here.
pub(crate) fn reader() -> &'static Trained {
    static READER: OnceLock<Trained> = OnceLock::new();
    let changes = || Overrides { batch_size: Some(32), ..Overrides::default() };
    READER.get_or_init(|| crate::trained::trained_on(12_000, "cnn-16", changes()))
}

/// A folder with that network in it.
pub(crate) fn reader_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    reader().model.save(&folder.path().join("model.safetensors")).unwrap();
    folder
}
