//! The program as a user runs it.

use std::process::{Command, Output};

/// With these arguments, and nothing that the environment would change.
pub(crate) fn gpu_mnist(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-mnist"));
    command.args(arguments).env_remove("GPU_MNIST_BACKEND").env_remove("GPU_MNIST_DATA_DIR").env("LANG", "C");
    command
}

/// Runs to the end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    gpu_mnist(arguments).output().unwrap()
}

/// Runs, demands success, and returns what went to stdout and to stderr.
#[track_caller]
pub(crate) fn succeeds(arguments: &[&str]) -> (String, String) {
    let output = run(arguments);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    (stdout, stderr)
}

/// Runs, and demands an exit code and a message that holds every one of these.
#[track_caller]
pub(crate) fn fails(arguments: &[&str], code: i32, says: &[&str]) {
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for part in says {
        assert!(message.contains(part), "{arguments:?} says {message:?}, not {part:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}
