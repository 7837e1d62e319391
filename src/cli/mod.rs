//! The command line: flags in, library calls, printing. One file for each command.
//!
//! Results go to stdout, progress and messages to stderr.

mod args;
mod bench;
mod console;
mod data;
mod devices;
mod evaluate;
mod export;
mod predict;
mod report;
mod reproduce;
mod serve;
mod signals;
mod summary;
mod sweep;
mod train;
mod trials;
mod verify;
mod watchers;

use crate::error::{exit_code, printable};
use crate::report::terminal::TerminalStyle;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes:
  0    well
  1    failed otherwise
  2    wrong usage
  3    no usable device: none found, too small, refused, lost or hanging
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
    /// Pictures and a self-contained page of a run, or of several beside each other
    Report(report::Report),
    /// Look at data sets, check them, fetch them
    Data(data::Data),
    /// The layer table of a recipe or run, or its plan
    Summary(summary::Summary),
    /// CPU-against-GPU parity: every op against the f64 reference
    Verify(verify::Verify),
    /// Write a trained network for elsewhere: ONNX, PyTorch, a page on WebGPU
    Export(export::Export),
    /// A local page to draw digits on and to watch a run on
    Serve(serve::Serve),
    /// The device's ceilings, each op at the shapes of each recipe, and whole training steps
    Bench(Box<bench::Bench>),
    /// Every adapter, and which one `auto` takes
    Devices(devices::Devices),
    /// Train a grid of settings and seeds, or a part of one
    Sweep(Box<sweep::Sweep>),
    /// Train what was published, and print it beside what was obtained
    Reproduce(Box<reproduce::Reproduce>),
}

/// Parses the command line, runs the command, and reports errors.
pub fn main() -> ExitCode {
    quieten_drivers();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Train(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Summary(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Devices(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::Reproduce(command) => command.run(),
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

/// Mesa's OpenGL asks for a desktop's folder for sockets, which nothing here uses, and complains on stderr where it is not set,
/// as on servers and in containers. Any folder will do.
fn quieten_drivers() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first thing that `main` does, so there is no other thread that could read the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// Whoever read our output has read enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Whether digits are drawn on stdout: where a person looks at it.
fn draws() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}

/// How digits are drawn there.
fn style() -> TerminalStyle {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb");
    TerminalStyle::detect(draws() && !is_set("NO_COLOR") && !dumb)
}

/// Writes to stdout; unlike `println!`, a closed pipe is an error and not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
