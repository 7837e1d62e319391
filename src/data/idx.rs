//! IDX, the file format of MNIST, plain or gzipped.
//!
//! ```text
//! 0 0 TYPE RANK | RANK big-endian u32 sizes | the data, last index fastest
//! ```
//! TYPE 8 is bytes, the only one here. Images have rank 3, `[count][height][width]`; labels have rank 1,
//! `[count]`.
//! Source: <http://yann.lecun.com/exdb/mnist/>, "the IDX file format".

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Result, bail};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::bounded::{Meter, Metered, damaged, fill, read_payload};
use super::{Images, Source, file_name, hex};
use crate::error::Error;

/// First bytes of a gzip stream (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads an image file, gzipped or not.
///
/// # Errors
/// [`Error::BadFile`] if it cannot be read or is not one whole IDX file of bytes with rank 3.
pub fn read_images(path: &Path) -> Result<(Images, Source)> {
    let (reader, file_bytes) = open(path)?;
    let name = path.display().to_string();
    into_images(&name, decode(&name, reader, file_bytes, Kind::Images, true)?)
}

/// Reads a label file, gzipped or not: one label a row.
///
/// # Errors
/// [`Error::BadFile`] if it cannot be read or is not one whole IDX file of bytes with rank 1.
pub fn read_labels(path: &Path) -> Result<(Vec<u8>, Source)> {
    let (reader, file_bytes) = open(path)?;
    let idx = decode(&path.display().to_string(), reader, file_bytes, Kind::Labels, true)?;
    Ok((idx.data, idx.source))
}

/// [`read_images`] from memory; `name` begins every message.
///
/// # Errors
/// As [`read_images`].
pub fn parse_images(name: &str, bytes: &[u8]) -> Result<(Images, Source)> {
    into_images(name, decode(name, bytes, bytes.len() as u64, Kind::Images, true)?)
}

/// [`read_labels`] from memory; `name` begins every message.
///
/// # Errors
/// As [`read_labels`].
pub fn parse_labels(name: &str, bytes: &[u8]) -> Result<(Vec<u8>, Source)> {
    let idx = decode(name, bytes, bytes.len() as u64, Kind::Labels, true)?;
    Ok((idx.data, idx.source))
}

/// What a file should hold.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Rank 3.
    Images,
    /// Rank 1.
    Labels,
}

impl Kind {
    fn rank(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Images => "images (rank 3)",
            Self::Labels => "labels (rank 1)",
        }
    }
}

/// A whole file: sizes, data, and where they came from.
pub(super) struct Idx {
    /// As many sizes as the rank.
    pub(super) sizes: Vec<usize>,
    /// The product of the sizes, in bytes.
    pub(super) data: Vec<u8>,
    /// Length and checksum of the unpacked file; the checksum is empty if none was asked for.
    pub(super) source: Source,
}

/// Gives the data their shape.
pub(super) fn into_images(name: &str, idx: Idx) -> Result<(Images, Source)> {
    let [count, height, width] = idx.sizes[..] else {
        bail!(Error::BadFile(format!("{name}: rank {} where images have 3", idx.sizes.len())));
    };
    Ok((Images::new(name, count, height, width, idx.data)?, idx.source))
}

fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let (file, length) = super::open_regular(path)?;
    Ok((BufReader::with_capacity(1 << 16, file), length))
}

/// Reads a file of `file_bytes` bytes from `reader`. `hashed` asks for the checksum, which costs more than
/// the unpacking does.
pub(super) fn decode(
    name: &str,
    mut reader: impl BufRead,
    file_bytes: u64,
    kind: Kind,
    hashed: bool,
) -> Result<Idx> {
    let start = reader.fill_buf().map_err(|error| damaged(name, 0, &error))?;
    if start.starts_with(&GZIP_MAGIC) {
        decode_unpacked(name, &mut MultiGzDecoder::new(Meter::new(reader)), file_bytes, true, kind, hashed)
    } else {
        decode_unpacked(name, &mut Meter::new(reader), file_bytes, false, kind, hashed)
    }
}

fn decode_unpacked(
    name: &str,
    source: &mut impl Metered,
    file_bytes: u64,
    packed: bool,
    kind: Kind,
    hashed: bool,
) -> Result<Idx> {
    let mut header = [0; 16];
    let header = &mut header[..4 + 4 * kind.rank()];
    let found = fill(source, header).map_err(|error| damaged(name, 0, &error))?;
    let header = &header[..found];
    check_magic(name, header, kind)?;
    let (sizes, data_bytes) = sizes(name, header, kind)?;
    let whole = header.len() as u64 + data_bytes;
    if !packed && whole != file_bytes {
        let wrong = if whole > file_bytes { "is cut short" } else { "has bytes left over" };
        bail!(Error::BadFile(format!(
            "{name}: the header [{}] says {} = {whole} bytes in all, the file has {file_bytes}: it {wrong}; \
             download or copy it again",
            spaced_hex(header),
            shape(&sizes, header.len()),
        )));
    }
    let mut digest = hashed.then(|| Sha256::new_with_prefix(header));
    let data = read_payload(name, source, data_bytes, file_bytes, |part| {
        if let Some(digest) = &mut digest {
            digest.update(part);
        }
    })?;
    let sha256 = digest.map_or_else(String::new, |digest| hex(&digest.finalize()));
    Ok(Idx { sizes, data, source: Source { name: file_name(name), bytes: whole, sha256 } })
}

/// Refuses what is not IDX of bytes in the rank of `kind`, and says what it looks like instead.
fn check_magic(name: &str, header: &[u8], kind: Kind) -> Result<()> {
    let expected = format!("expected an IDX file of {}, beginning 00 00 08 0{}", kind.noun(), kind.rank());
    let advice = match *header {
        [] => "the file is empty: download it again",
        [0, 0, 8, rank, ..] if usize::from(rank) == kind.rank() => return Ok(()),
        [0, 0, 8, 1, ..] => "these are labels: are two files swapped or misnamed?",
        [0, 0, 8, 3, ..] => "these are images: are two files swapped or misnamed?",
        [0, 0, 8, _, ..] => "this rank is neither that of images (3) nor of labels (1): convert the file",
        [0, 0, 9 | 0x0b..=0x0e, _, ..] => {
            "its numbers are not unsigned bytes (type 08): convert pixels and labels to bytes"
        }
        [0x1f, 0x8b, ..] => "the file is gzipped twice: gunzip it once",
        [b'P', b'K', ..] => "this is a zip archive: unzip it and give the folder",
        [b'<', ..] => "this looks like a web page, so the download failed: download the file again",
        _ => "this is not IDX: download the file again, or give another",
    };
    bail!(Error::BadFile(format!(
        "{name}: begins [{}]; {expected}; {advice}",
        spaced_hex(&header[..header.len().min(4)])
    )))
}

/// The sizes in a header whose magic is right, and their product in bytes.
fn sizes(name: &str, header: &[u8], kind: Kind) -> Result<(Vec<usize>, u64)> {
    let whole = 4 + 4 * kind.rank();
    if header.len() < whole {
        bail!(Error::BadFile(format!(
            "{name}: the header has {} bytes [{}], expected {whole}; the file is cut short: download it again",
            header.len(),
            spaced_hex(header)
        )));
    }
    let (words, _) = header[4..].as_chunks::<4>();
    let sizes: Vec<u32> = words.iter().map(|&word| u32::from_be_bytes(word)).collect();
    let product = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(u64::from(size)));
    // Below u64::MAX - 16, so that the header can be added; and memory must be able to address it.
    let addressable = product.filter(|&product| isize::try_from(product).is_ok());
    let Some(product) = addressable else {
        bail!(Error::BadFile(format!(
            "{name}: the sizes {sizes:?} in the header [{}] multiply to more than any file can hold; \
             the file is damaged or hostile: download it again",
            spaced_hex(header)
        )));
    };
    Ok((sizes.iter().map(|&size| size as usize).collect(), product))
}

/// `16 + 60000 x 28 x 28`.
fn shape(sizes: &[usize], header_bytes: usize) -> String {
    let product: Vec<String> = sizes.iter().map(usize::to_string).collect();
    format!("{header_bytes} + {}", product.join(" x "))
}

fn spaced_hex(bytes: &[u8]) -> String {
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    const TWO_IMAGES: [u8; 16 + 2 * 3 * 2] =
        [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    #[test]
    fn reads_images_row_by_row_plain_and_gzipped_alike() {
        let (plain, plain_source) = parse_images("dir/a", &TWO_IMAGES).expect("is IDX");
        assert_eq!((plain.count, plain.height, plain.width), (2, 3, 2));
        assert_eq!(plain.pixels, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let (gzipped, gzipped_source) = parse_images("dir/a.gz", &gzip(&TWO_IMAGES)).expect("is IDX");
        assert_eq!(gzipped, plain);
        assert_eq!(gzipped_source.sha256, plain_source.sha256, "the checksum is that of the unpacked file");
        assert_eq!((plain_source.bytes, plain_source.name.as_str()), (28, "a"));
    }

    #[test]
    fn reads_gzip_members_one_after_the_other() {
        let mut packed = gzip(&TWO_IMAGES[..9]);
        packed.extend(gzip(&TWO_IMAGES[9..]));
        assert_eq!(parse_images("a", &packed).expect("is IDX").0.count, 2);
    }

    #[test]
    fn reads_labels() {
        let (labels, source) = parse_labels("l", &[0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 255]).expect("is IDX");
        assert_eq!(labels, [7, 0, 255]);
        // printf '\0\0\10\1\0\0\0\3\7\0\377' | sha256sum
        assert_eq!(source.sha256, "8a8b30ac621750e799324ca5273a5a4d9ccb6dcaea056ec06147378494d3085e");
    }

    #[test]
    fn names_the_swapped_file() {
        let text = parse_labels("l", &TWO_IMAGES).expect_err("these are images").to_string();
        assert!(text.contains("these are images: are two files swapped"), "{text}");
    }
}
