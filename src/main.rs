//! The command line of gpu-mnist.

use std::process::ExitCode;

fn main() -> ExitCode {
    gpu_mnist::cli::main()
}
