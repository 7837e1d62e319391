//! `serve`

use super::signals;
use crate::serve::{PORT, Server, Watched};
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

/// Flags of `serve`.
#[derive(Args)]
pub(super) struct Serve {
    /// The run folder, in training or done, or a model file
    run: PathBuf,
    /// The port of the page on 127.0.0.1; 0 is any
    #[arg(long, value_name = "N", default_value = PORT)]
    port: u16,
}

impl Serve {
    pub(super) fn run(&self) -> Result<()> {
        let watched = Arc::new(Watched::new(&self.run)?);
        let server = Server::bind(self.port)?;
        let stop = signals::stop_flag()?;
        super::print(&format!("{}\n", server.url()))?;
        super::console::eprint_line("Ctrl-C ends it");
        server.run(&watched, &stop);
        Ok(())
    }
}

/// The page of a run in training.
pub(super) struct Page(Server);

impl Page {
    /// Listens before anything is made that a taken port would leave behind.
    pub(super) fn bind(port: u16) -> Result<Self> {
        Server::bind(port).map(Self)
    }

    /// Shows a run until `stop` is set.
    pub(super) fn show(self, run: &Path, stop: &Arc<AtomicBool>) -> Result<Showing> {
        let (watched, url, stop) = (Arc::new(Watched::new(run)?), self.0.url(), Arc::clone(stop));
        Ok(Showing { url, thread: std::thread::spawn(move || self.0.run(&watched, &stop)) })
    }
}

/// A page that is shown.
pub(super) struct Showing {
    /// Where it is.
    pub(super) url: String,
    thread: JoinHandle<()>,
}

impl Showing {
    /// Waits until it is over.
    pub(super) fn wait(self) {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}
