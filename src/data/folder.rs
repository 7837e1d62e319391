//! A folder of four IDX files, as MNIST, Fashion-MNIST, KMNIST and EMNIST are published.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{DataSet, Images, Source, Split, idx};
use crate::error::Error;

/// What a folder should hold, for messages.
pub(super) const EXPECTED: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                                   t10k-labels-idx1-ubyte (each plain or .gz)";

/// The most file names that a message lists.
const LISTED: usize = 20;

/// Reads the four files at the same time.
pub(super) fn load(folder: &Path) -> Result<DataSet> {
    let name = folder.display().to_string();
    let files = list(folder)?;
    let train_images = find(&name, &files, &["train"], "images", "idx3")?;
    let train_labels = find(&name, &files, &["train"], "labels", "idx1")?;
    let test_images = find(&name, &files, &["t10k", "test"], "images", "idx3")?;
    let test_labels = find(&name, &files, &["t10k", "test"], "labels", "idx1")?;
    let (train, test) = std::thread::scope(|scope| {
        let test = std::thread::Builder::new().spawn_scoped(scope, || split(test_images, test_labels));
        (split(train_images, train_labels), test.map(std::thread::ScopedJoinHandle::join))
    });
    let (train, mut sources) = train?;
    let (test, test_sources) = test?.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    sources.extend(test_sources);
    let short = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    DataSet::new(&super::file_name(&short.display().to_string()), train, test, sources)
        .map_err(|error| Error::BadFile(format!("in {name}, {error}")).into())
}

fn split(images: &Path, labels: &Path) -> Result<(Split, Vec<Source>)> {
    let (labels_read, labels_source) = idx::read_labels(labels)?;
    let (images_read, images_source): (Images, Source) = idx::read_images(images)?;
    let name = format!("{} with {}", images.display(), labels.display());
    Ok((Split::new(&name, images_read, labels_read)?, vec![images_source, labels_source]))
}

/// The regular files of a folder, in order of name.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable =
        |error| Error::BadFile(format!("{}: cannot be read ({error}); check its rights", folder.display()));
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The one file whose name says that it holds the `kind` of one of `splits`:
/// `emnist-letters-train-images-idx3-ubyte.gz` has `train`, `images` and `idx3`. Where the same file lies
/// there plain and gzipped, as in a torchvision cache, the plain one is taken.
fn find<'a>(
    folder: &str,
    files: &'a [PathBuf],
    splits: &[&str],
    kind: &str,
    rank: &str,
) -> Result<&'a PathBuf> {
    let mut fitting: Vec<&PathBuf> =
        files.iter().filter(|path| matches(&lower_name(path), splits, kind, rank)).collect();
    let plain: Vec<String> = fitting.iter().map(|path| lower_name(path)).collect();
    fitting.retain(|path| {
        lower_name(path).strip_suffix(".gz").is_none_or(|stem| !plain.iter().any(|name| name == stem))
    });
    match fitting[..] {
        [path] => Ok(path),
        [] => bail!(Error::BadFile(format!(
            "{folder}: no {} {kind}; the folder holds {}; expected {EXPECTED}",
            noun(splits),
            listed(files.iter())
        ))),
        [..] => bail!(Error::BadFile(format!(
            "{folder}: {} files fit the {} {kind}: {}; expected one: give each set a folder of its own",
            fitting.len(),
            noun(splits),
            listed(fitting.into_iter())
        ))),
    }
}

/// Whether a lower-case file name has a split directly before the kind, and the rank anywhere.
fn matches(name: &str, splits: &[&str], kind: &str, rank: &str) -> bool {
    let role = |split: &&str| {
        ["-", "_", ".", ""].iter().any(|joint| name.contains(&format!("{split}{joint}{kind}")))
    };
    name.contains(rank) && splits.iter().any(role)
}

fn noun(splits: &[&str]) -> &'static str {
    if splits.contains(&"train") { "training" } else { "test" }
}

fn lower_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Quoted names, not all if there are many.
fn listed<'a>(paths: impl ExactSizeIterator<Item = &'a PathBuf>) -> String {
    let count = paths.len();
    let names = paths.take(LISTED).map(|path| format!("{:?}", path.file_name().unwrap_or_default()));
    let mut text = names.collect::<Vec<_>>().join(", ");
    if count > LISTED {
        text += &format!(" and {} more", count - LISTED);
    }
    if count == 0 { "no files".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training_images(names: &[&str]) -> Result<String> {
        let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        find("f", &files, &["train"], "images", "idx3").map(|path| path.display().to_string())
    }

    #[test]
    fn finds_the_file_under_every_name_in_use() -> Result<()> {
        for name in [
            "train-images-idx3-ubyte",
            "train-images.idx3-ubyte",
            "TRAIN-IMAGES-IDX3-UBYTE.GZ",
            "emnist-letters-train-images-idx3-ubyte.gz",
            "my-test-of-train_images.idx3",
        ] {
            let others = ["t10k-images-idx3-ubyte", "train-labels-idx1-ubyte", "README.md", name];
            assert_eq!(training_images(&others)?, name);
        }
        Ok(())
    }

    #[test]
    fn prefers_the_plain_one_of_two_packings() -> Result<()> {
        let both = ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"];
        assert_eq!(training_images(&both)?, "train-images-idx3-ubyte");
        Ok(())
    }

    #[test]
    fn lists_what_it_found_when_it_cannot_choose() {
        let text = training_images(&["a-train-images-idx3-ubyte", "b-train-images-idx3-ubyte"]);
        let text = text.expect_err("two fit").to_string();
        assert!(
            text.contains("2 files fit the training images: \"a-train-images-idx3-ubyte\", \"b-"),
            "{text}"
        );
        let text = training_images(&["notes.txt"]).expect_err("none fits").to_string();
        assert!(
            text.contains("no training images; the folder holds \"notes.txt\"; expected train-"),
            "{text}"
        );
        let many = ["x"; 25];
        let text = training_images(&many).expect_err("none fits").to_string();
        assert!(text.contains("\"x\" and 5 more"), "{text}");
    }
}
