//! The command line: flags in, library calls, printing. One file for each command.
//!
//! Results go to stdout, progress and messages to stderr.

mod args;
mod bench;
mod console;
mod devices;
mod evaluate;
mod predict;
mod signals;
mod summary;
mod train;
mod verify;

use crate::error::{exit_code, printable};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0    well
  1    failed otherwise
  2    wrong usage
  3    no usable device
  4    bad data, model or recipe file
  5    diverged (NaN or infinite loss)
  6    a threshold not met (--min-accuracy, verify)
  130  interrupted, after saving

Environment: GPU_MNIST_BACKEND and GPU_MNIST_DATA_DIR stand in for --backend and --data; NO_COLOR and wgpu's own \
WGPU_* variables are honoured.";

/// No message that helps is longer; what is quotes a file without end.
const LONGEST_MESSAGE: usize = 4000;

/// Trains digit classifiers on any GPU, and proves its kernels right against the CPU.
#[derive(Parser)]
#[command(name = "gpu-mnist", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a recipe; makes a run folder
    Train(Box<train::Train>),
    /// Loss, accuracy, confusion matrix and per-class figures of a run on the test set
    Evaluate(evaluate::Evaluate),
    /// Recognise digits
    Predict(predict::Predict),
    /// The layer table of a recipe or run, or its plan
    Summary(summary::Summary),
    /// CPU-against-GPU parity: every op against the f64 reference
    Verify(verify::Verify),
    /// The device's ceilings, each op at the shapes of each recipe, and whole training steps
    Bench(Box<bench::Bench>),
    /// Every adapter, and which one `auto` takes
    Devices(devices::Devices),
}

/// Parses the command line, runs the command, and reports errors.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Train(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Summary(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Devices(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves only the exit code.
            let _ =
                writeln!(std::io::stderr(), "error: {}", printable(&format!("{error:#}"), LONGEST_MESSAGE));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Whoever read our output has read enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Writes to stdout; unlike `println!`, a closed pipe is an error and not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
