//! MNIST, part of the program, so that the first command needs nothing.

use anyhow::{Result, bail};

use super::idx::{Kind, decode, into_images};
use super::{DataSet, Source, Split, known};
use crate::error::Error;

/// The names of the files in `assets/mnist` and in [`known`], and their gzipped bytes, in the order of
/// [`DataSet::sources`].
const FILES: [(&str, Kind, &[u8]); 4] = [
    (
        "train-images-idx3-ubyte",
        Kind::Images,
        include_bytes!("../../assets/mnist/train-images-idx3-ubyte.gz"),
    ),
    (
        "train-labels-idx1-ubyte",
        Kind::Labels,
        include_bytes!("../../assets/mnist/train-labels-idx1-ubyte.gz"),
    ),
    ("t10k-images-idx3-ubyte", Kind::Images, include_bytes!("../../assets/mnist/t10k-images-idx3-ubyte.gz")),
    ("t10k-labels-idx1-ubyte", Kind::Labels, include_bytes!("../../assets/mnist/t10k-labels-idx1-ubyte.gz")),
];

/// Unpacks the set. The checksums in the sources are those on record: computing them takes as long as
/// unpacking, gzip's own checksum has been compared, and [`verify`] computes them.
pub(super) fn load() -> Result<DataSet> {
    let test = || split(&FILES[2], &FILES[3]);
    let (train, test) = std::thread::scope(|scope| {
        let test = std::thread::Builder::new().spawn_scoped(scope, test);
        (split(&FILES[0], &FILES[1]), test.map(std::thread::ScopedJoinHandle::join))
    });
    let test = test?.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    DataSet::new("mnist", train?, test, known::sources("mnist"))
}

/// Computes the checksums of the embedded files and compares them with those on record. Takes about a quarter
/// of a second.
///
/// # Errors
/// [`Error::BadFile`] if the program file is damaged.
pub fn verify() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (name, kind, bytes) in FILES {
        sources.push(decode(name, bytes, bytes.len() as u64, kind, true)?.source);
    }
    let recorded = known::sources("mnist");
    if sources != recorded {
        bail!(Error::BadFile(format!(
            "embedded MNIST: found {sources:?}, expected {recorded:?}; \
             the program file is damaged: install it again"
        )));
    }
    Ok(sources)
}

fn split(images: &(&str, Kind, &[u8]), labels: &(&str, Kind, &[u8])) -> Result<Split> {
    let unpack = |(name, kind, bytes): &(&str, Kind, &[u8])| {
        decode(&format!("embedded {name}"), *bytes, bytes.len() as u64, *kind, false)
    };
    let (pixels, _) = into_images(images.0, unpack(images)?)?;
    Split::new(images.0, pixels, unpack(labels)?.data)
}
