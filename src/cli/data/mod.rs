//! `data`: look at data sets, check them, fetch them.

mod fetch;
mod info;
mod preview;
mod verify;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Flags of `data`.
#[derive(Args)]
pub(super) struct Data {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Counts, classes, mean and deviation
    Info(info::Info),
    /// A contact sheet with labels, and with the predictions of a run
    Preview(Box<preview::Preview>),
    /// Whether the files are the published ones, by SHA-256
    Verify(verify::Verify),
    /// Get a published set: mnist, fashion-mnist, kmnist, emnist or qmnist
    Fetch(fetch::Fetch),
}

impl Data {
    pub(super) fn run(&self) -> Result<()> {
        match &self.command {
            Command::Info(command) => command.run(),
            Command::Preview(command) => command.run(),
            Command::Verify(command) => command.run(),
            Command::Fetch(command) => command.run(),
        }
    }
}
