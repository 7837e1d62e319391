//! Files that are written whole or not at all.

use super::disk::{Disk, System};
use anyhow::{Context, Result};
use std::io;
use std::path::{Path, PathBuf};

/// How the name of a file ends that is being written.
pub(super) const TEMPORARY: &str = ".gpu-mnist.tmp";

/// Writes `bytes` to a temporary file beside `path`, brings them to the disk, and renames it to `path`.
/// Whatever happens, `path` holds the old bytes or the new ones.
///
/// # Errors
/// When a file cannot be written; the temporary file is removed then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_on(&System, path, bytes)
        .with_context(|| format!("cannot write {}; make room there and check its rights", path.display()))
}

fn write_on<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    // What a killed process left is in the way; so is a link that somebody put there.
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_and_rename(disk, &temporary, path, bytes);
    if written.is_err() {
        // Nothing more can be done about a file that cannot be removed.
        let _ = disk.remove(&temporary);
    }
    written
}

fn write_and_rename<D: Disk>(disk: &D, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = disk.create(temporary)?;
    disk.write(&mut file, bytes)?;
    // Before the rename, or a lost power supply could leave the new name with no bytes.
    disk.sync(&file)?;
    drop(file);
    disk.rename(temporary, path)?;
    disk.sync_folder(folder_of(path))
}

/// The folder that `path` is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// One name for each file, so that what a killed process left is overwritten by the next.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(TEMPORARY);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    /// Numbers of files by name.
    type Names = BTreeMap<PathBuf, usize>;

    /// A disk with a cache, as POSIX leaves it: bytes are safe once the file is synced, names once the folder is. Of
    /// what is not synced any part may be on the disk when the power fails.
    #[derive(Default)]
    struct Cached {
        /// Of each file, the bytes, and how many of them are safe.
        files: RefCell<Vec<(Vec<u8>, usize)>>,
        names: RefCell<Names>,
        /// The names that a power failure may leave, oldest first; the first is safe.
        possible_names: RefCell<Vec<Names>>,
        /// Operations until one fails.
        left: Cell<usize>,
    }

    impl Cached {
        fn with(path: &Path, bytes: &[u8]) -> Self {
            let names = Names::from([(path.to_owned(), 0)]);
            Self {
                files: RefCell::new(vec![(bytes.to_vec(), bytes.len())]),
                possible_names: RefCell::new(vec![names.clone()]),
                names: RefCell::new(names),
                left: Cell::new(usize::MAX),
            }
        }

        fn step(&self) -> io::Result<()> {
            self.left.set(self.left.get().checked_sub(1).ok_or_else(|| io::Error::other("planted"))?);
            Ok(())
        }

        fn changed(&self) {
            self.possible_names.borrow_mut().push(self.names.borrow().clone());
        }

        /// Everything that may be under `path` after the power failed.
        fn after_power_failure(&self, path: &Path) -> Vec<Option<Vec<u8>>> {
            let files = self.files.borrow();
            let of = |names: &Names| match names.get(path) {
                None => vec![None],
                Some(&number) => {
                    let (bytes, safe) = &files[number];
                    (*safe..=bytes.len()).map(|length| Some(bytes[..length].to_vec())).collect()
                }
            };
            self.possible_names.borrow().iter().flat_map(of).collect()
        }
    }

    impl Disk for Cached {
        type File = usize;

        fn create(&self, path: &Path) -> io::Result<usize> {
            self.step()?;
            assert!(!self.names.borrow().contains_key(path), "{} is in the way", path.display());
            self.files.borrow_mut().push((Vec::new(), 0));
            let number = self.files.borrow().len() - 1;
            self.names.borrow_mut().insert(path.to_owned(), number);
            self.changed();
            Ok(number)
        }

        fn write(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
            let failed = self.step();
            let written = if failed.is_err() { bytes.len() / 2 } else { bytes.len() };
            self.files.borrow_mut()[*file].0.extend(&bytes[..written]);
            failed
        }

        fn sync(&self, file: &usize) -> io::Result<()> {
            self.step()?;
            let (bytes, safe) = &mut self.files.borrow_mut()[*file];
            *safe = bytes.len();
            Ok(())
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step()?;
            let number = self.names.borrow_mut().remove(from).ok_or(io::ErrorKind::NotFound)?;
            self.names.borrow_mut().insert(to.to_owned(), number);
            self.changed();
            Ok(())
        }

        fn sync_folder(&self, _: &Path) -> io::Result<()> {
            self.step()?;
            *self.possible_names.borrow_mut() = vec![self.names.borrow().clone()];
            Ok(())
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.names.borrow_mut().remove(path).ok_or(io::ErrorKind::NotFound)?;
            self.changed();
            Ok(())
        }
    }

    #[test]
    fn a_power_failure_at_any_time_leaves_the_old_bytes_or_the_new() {
        let path = Path::new("run/checkpoint");
        for operations in 0..=6 {
            let disk = Cached::with(path, b"old");
            disk.left.set(operations);
            let written = write_on(&disk, path, b"newer");
            assert_eq!(written.is_ok(), operations >= 5, "create, write, sync, rename, sync");
            for found in disk.after_power_failure(path) {
                let found = found.expect("the file never vanishes");
                assert!(found == b"old" || found == b"newer", "{operations}: {found:?}");
                assert!(written.is_err() || found == b"newer", "what was written stays written");
            }
            assert_eq!(disk.names.borrow().len(), 1, "{operations}: no litter");
        }
    }

    /// The model above must see what it is for: without the first sync, a power failure leaves a part of a file.
    #[test]
    fn a_rename_of_what_is_not_synced_would_be_seen() {
        let (path, other) = (Path::new("a"), Path::new("b"));
        let disk = Cached::with(path, b"old");
        let mut file = disk.create(other).unwrap();
        disk.write(&mut file, b"newer").unwrap();
        disk.rename(other, path).unwrap();
        assert!(disk.after_power_failure(path).contains(&Some(b"ne".to_vec())));
        assert!(disk.after_power_failure(path).contains(&Some(b"old".to_vec())));
    }

    #[test]
    fn what_a_killed_process_left_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(temporary_name(&path), b"half of somethi").unwrap();
        write(&path, b"whole").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_under_the_temporary_name_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("file"), folder.path().join("precious"));
        std::fs::write(&precious, b"precious").unwrap();
        std::os::unix::fs::symlink(&precious, temporary_name(&path)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
