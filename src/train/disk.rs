//! What training asks of the file system, one operation at a time, so that a test can make each one fail.
//!
//! [`System`] is the real one. `GPU_MNIST_PLANT_DISK_FAULT` plants a fault in it, counting operations from 1:
//!
//! - `fail:7`: the 7th operation fails as on a full disk; a write fails half-way.
//! - `from:7`: so does every later one, as when a disk stays full.
//! - `kill:7`: the process is gone before the 7th operation, a write half-way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The operations; each may fail at any time.
pub(super) trait Disk {
    /// A file open for writing.
    type File;

    /// A new, empty file; there must be none under this name, not even a link.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// All of `bytes` at the end of `file`, unless it fails on the way.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Brings a file's bytes to the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Gives a file another name, replacing what has that name, at one stroke.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Brings the names of a folder to the disk, where the system can do that.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Removes a file or link.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The file system of this machine.
pub(super) struct System;

impl Disk for System {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        fault(|| ())?;
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        fault(|| {
            // What stays half-written is for the caller to survive; that this fails too is not.
            let _ = file.write_all(&bytes[..bytes.len() / 2]);
        })?;
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        fault(|| ())?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fault(|| ())?;
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fault(|| ())?;
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        #[cfg(not(unix))]
        let _ = folder;
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

impl System {
    /// A folder with all folders above it.
    pub(super) fn create_folder(&self, path: &Path) -> io::Result<()> {
        fault(|| ())?;
        fs::create_dir_all(path)
    }

    /// A file to add to, made if it is not there.
    pub(super) fn open_to_append(&self, path: &Path) -> io::Result<File> {
        fault(|| ())?;
        OpenOptions::new().create(true).append(true).open(path)
    }
}

/// A planted fault.
#[derive(Clone, Copy)]
struct Plan {
    mode: Mode,
    at: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Fail,
    From,
    Kill,
}

impl Plan {
    fn parse(text: &str) -> Option<Self> {
        let (mode, at) = text.split_once(':')?;
        let mode = match mode {
            "fail" => Mode::Fail,
            "from" => Mode::From,
            "kill" => Mode::Kill,
            _ => return None,
        };
        Some(Self { mode, at: at.parse().ok()? })
    }
}

/// Counts an operation, and where the planted fault is due does `half` of it.
fn fault(half: impl FnOnce()) -> io::Result<()> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let plan = PLAN.get_or_init(|| Plan::parse(&std::env::var("GPU_MNIST_PLANT_DISK_FAULT").ok()?));
    let Some(Plan { mode, at }) = *plan else { return Ok(()) };
    let number = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    if number < at || (mode != Mode::From && number > at) {
        return Ok(());
    }
    half();
    if mode == Mode::Kill {
        signal_hook::low_level::exit(137);
    }
    Err(io::Error::new(ErrorKind::StorageFull, format!("planted at operation {number}")))
}
