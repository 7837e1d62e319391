//! Data sets: from files to bytes in memory.
//!
//! [`DataSet::load`] takes `mnist` (embedded), a folder of four IDX files ([`idx`]) or an `.npz` file ([`npz`]).
//! Pixels stay bytes; [`scaling`] says what numbers a network sees, [`split`] which rows it trains on,
//! [`summary`] what is in a set, and [`sums`] whether the files are the published ones, which are in [`known`] and
//! [`catalogue`]. [`mod@fetch`] gets them: the only place that opens a socket.
//!
//! *Files are hostile until read:* every size is checked before memory is taken for it, nothing here panics
//! on a file, and every refusal is an [`Error::BadFile`] that names the file and says what to do.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use anyhow::{Result, bail};

use crate::error::Error;

mod bounded;
pub mod catalogue;
mod embedded;
pub mod fetch;
mod folder;
pub mod idx;
pub mod known;
mod npy;
pub mod npz;
pub mod scaling;
pub mod split;
pub mod summary;
pub mod sums;
mod unpack;

pub use embedded::verify as verify_embedded;
pub use scaling::{PixelTransform, Scaling};
pub use split::validation_cut;
pub use summary::Summary;

/// Grey pictures of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// How many; at least one.
    pub count: usize,
    /// Rows of each; at least one.
    pub height: usize,
    /// Columns of each; at least one.
    pub width: usize,
    /// `[count][height][width]`, 0 is paper and 255 is ink.
    pub pixels: Vec<u8>,
}

impl Images {
    /// Gives `pixels` their shape. `name` begins the message of an error.
    ///
    /// # Errors
    /// [`Error::BadFile`] if a size is zero or the sizes do not multiply to the number of pixels.
    pub fn new(name: &str, count: usize, height: usize, width: usize, pixels: Vec<u8>) -> Result<Self> {
        if count == 0 || height == 0 || width == 0 {
            bail!(Error::BadFile(format!(
                "{name}: holds {count} images of {height}x{width}, expected at least one image of at least 1x1; \
                 give a file with images"
            )));
        }
        let expected = height.checked_mul(width).and_then(|size| size.checked_mul(count));
        if expected != Some(pixels.len()) {
            bail!(Error::BadFile(format!(
                "{name}: has {} pixels, expected {count} x {height} x {width}; make the sizes agree",
                pixels.len()
            )));
        }
        Ok(Self { count, height, width, pixels })
    }

    /// Pixels of one image.
    pub fn size(&self) -> usize {
        self.height * self.width
    }

    /// The pixels of images `rows`, `[rows][height][width]`.
    ///
    /// # Panics
    /// If `rows` goes beyond [`Images::count`].
    pub fn rows(&self, rows: Range<usize>) -> &[u8] {
        &self.pixels[rows.start * self.size()..rows.end * self.size()]
    }
}

/// Images with their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The pictures.
    pub images: Images,
    /// The class of each, as many as [`Images::count`].
    pub labels: Vec<u8>,
}

impl Split {
    /// Puts images and labels together. `name` begins the message of an error.
    ///
    /// # Errors
    /// [`Error::BadFile`] if there are not as many labels as images.
    pub fn new(name: &str, images: Images, labels: Vec<u8>) -> Result<Self> {
        if labels.len() != images.count {
            bail!(Error::BadFile(format!(
                "{name}: {} images but {} labels, expected one label for each image; \
                 are the two files of the same set?",
                images.count,
                labels.len()
            )));
        }
        Ok(Self { images, labels })
    }
}

/// Where data came from, for the record of a run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// The file's name, without its folder.
    pub name: String,
    /// Length in bytes: of an IDX file once unpacked, of an `.npz` file as it is.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits of the same bytes, so that gzipping a file anew changes
    /// nothing.
    pub sha256: String,
}

/// Training and test images with labels.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// `mnist`, or the name of the folder or file.
    pub name: String,
    /// What to train on; validation data are cut off it by [`validation_cut`].
    pub train: Split,
    /// What to evaluate on; images of the same size.
    pub test: Split,
    /// One more than the greatest label of both splits.
    pub classes: usize,
    /// The files, in the order training images, training labels, test images, test labels, or the `.npz`.
    pub sources: Vec<Source>,
}

impl DataSet {
    /// Puts the splits together and counts the classes.
    ///
    /// # Errors
    /// [`Error::BadFile`] if the images of the two splits differ in size.
    pub fn new(name: &str, train: Split, test: Split, sources: Vec<Source>) -> Result<Self> {
        if (train.images.height, train.images.width) != (test.images.height, test.images.width) {
            bail!(Error::BadFile(format!(
                "{name}: training images are {}x{} and test images {}x{}, expected one size; \
                 use files of the same set",
                train.images.height, train.images.width, test.images.height, test.images.width
            )));
        }
        let greatest = train.labels.iter().chain(&test.labels).max().copied().unwrap_or(0);
        Ok(Self { name: name.to_owned(), train, test, classes: usize::from(greatest) + 1, sources })
    }

    /// MNIST itself, which is part of the program.
    ///
    /// # Errors
    /// [`Error::BadFile`] if the program file is damaged.
    pub fn embedded() -> Result<Self> {
        embedded::load()
    }

    /// `mnist` is the embedded set (a folder of that name is `./mnist`); else the path of a folder of four
    /// IDX files, or of an `.npz` file with `x_train`, `y_train`, `x_test` and `y_test`.
    ///
    /// # Errors
    /// [`Error::BadFile`] if there is no such thing or it is not a whole data set.
    pub fn load(spec: &str) -> Result<Self> {
        let path = Path::new(spec);
        if spec == "mnist" {
            Self::embedded()
        } else if path.is_dir() {
            folder::load(path)
        } else if has_extension(path, "npz") {
            npz::load(path)
        } else {
            let found = if path.exists() { "is neither a folder nor an .npz file" } else { "does not exist" };
            bail!(Error::BadFile(format!(
                "{spec:?} {found}; give `mnist`, a folder that holds {}, or an .npz file",
                folder::EXPECTED
            )))
        }
    }

    /// Keeps the first `n` training images; all of them if there are no more than that.
    ///
    /// # Errors
    /// [`Error::Usage`] if `n` is zero.
    pub fn limit(&mut self, n: usize) -> Result<()> {
        if n == 0 {
            bail!(Error::Usage("a limit of 0 leaves no training images; give 1 or more".to_owned()));
        }
        let images = &mut self.train.images;
        if n < images.count {
            images.count = n;
            images.pixels.truncate(n * images.height * images.width);
            self.train.labels.truncate(n);
        }
        Ok(())
    }
}

/// Opens a file and gives its length in bytes. Pipes and devices have no length and no end: they are refused
/// before they are opened, since opening a pipe can wait for ever.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let unreadable = |error: &std::io::Error| {
        Error::BadFile(format!("{}: cannot be read ({error}); check the path and its rights", path.display()))
    };
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        bail!(Error::BadFile(format!("{}: is not a regular file; give the file itself", path.display())));
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    Ok((file, metadata.len()))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// The last part of a path, for [`Source::name`] and [`DataSet::name`].
fn file_name(path: &str) -> String {
    let resolved = Path::new(path);
    resolved.file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Quoted text of a file for a message, and of a long one the beginning, since a file can make it as long as
/// it likes.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 100;
    let quoted: String = text.chars().take(SHOWN).collect();
    if quoted.len() < text.len() { format!("{quoted:?}..") } else { format!("{quoted:?}") }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(count: usize, side: usize, label: u8) -> Split {
        let images = Images::new("f", count, side, side, vec![0; count * side * side]).expect("sizes agree");
        Split::new("f", images, vec![label; count]).expect("counts agree")
    }

    #[test]
    fn shapes_must_agree_with_the_pixels() {
        assert!(Images::new("f", 2, 3, 4, vec![0; 24]).is_ok());
        assert!(Images::new("f", 2, 3, 4, vec![0; 23]).is_err());
        assert!(Images::new("f", 0, 3, 4, vec![]).is_err());
        assert!(Images::new("f", usize::MAX, usize::MAX, 2, vec![]).is_err());
    }

    #[test]
    fn every_image_needs_a_label() {
        let images = split(3, 2, 0).images;
        let text = Split::new("f", images, vec![0; 2]).expect_err("one is missing").to_string();
        assert!(text.contains("3 images but 2 labels"), "{text}");
    }

    #[test]
    fn classes_count_from_zero_over_both_splits() {
        let data = DataSet::new("f", split(3, 2, 1), split(1, 2, 26), vec![]).expect("sizes agree");
        assert_eq!(data.classes, 27);
        let text = DataSet::new("f", split(3, 2, 1), split(1, 3, 1), vec![]).expect_err("differ").to_string();
        assert!(text.contains("training images are 2x2 and test images 3x3"), "{text}");
    }

    #[test]
    fn a_limit_keeps_the_first_training_images_only() {
        let mut data = DataSet::new("f", split(5, 2, 1), split(4, 2, 2), vec![]).expect("sizes agree");
        data.train.images.pixels[4] = 9;
        data.limit(2).expect("is not zero");
        assert_eq!(
            (data.train.images.count, data.train.images.pixels.len(), data.train.labels.len()),
            (2, 8, 2)
        );
        assert_eq!(data.train.images.rows(1..2), [9, 0, 0, 0]);
        assert_eq!((data.test.images.count, data.classes), (4, 3));
        data.limit(100).expect("is not zero");
        assert_eq!(data.train.images.count, 2);
        assert_eq!(crate::error::exit_code(&data.limit(0).expect_err("is zero")), 2);
    }

    #[test]
    fn a_missing_path_says_what_can_be_given() {
        let text = DataSet::load("no/such/place").expect_err("is not there").to_string();
        assert!(text.contains("does not exist; give `mnist`, a folder that holds"), "{text}");
    }
}
