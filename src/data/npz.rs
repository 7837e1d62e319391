//! `mnist.npz`, as Keras publishes it: a zip archive of the arrays `x_train`, `y_train`, `x_test` and
//! `y_test`.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use anyhow::{Result, bail};
use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;
use sha2::{Digest, Sha256};
use zip::read::ZipFile;
use zip::{CompressionMethod, ZipArchive};

use super::bounded::{Meter, Metered, damaged, fill};
use super::npy::{self, Array};
use super::{DataSet, Images, Source, Split, excerpt, file_name, hex};
use crate::error::Error;

/// The most member names that a message lists.
const LISTED: usize = 20;

/// Reads an archive; the set is named after the file, without `.npz`.
///
/// # Errors
/// [`Error::BadFile`] if it cannot be read, an array is missing or damaged, images are not bytes of shape
/// `(count, height, width)`, or labels not integers 0..=255 of shape `(count,)`.
pub fn load(path: &Path) -> Result<DataSet> {
    let name = path.display().to_string();
    let (mut file, bytes) = super::open_regular(path)?;
    let sha256 = sha256(&name, &mut file)?;
    file.rewind().map_err(|error| damaged(&name, 0, &error))?;
    decode(&name, BufReader::<File>::new(file), bytes, sha256)
}

/// [`load`] from memory; `name` is the file's.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, bytes: &[u8]) -> Result<DataSet> {
    decode(name, Cursor::new(bytes), bytes.len() as u64, sha256(name, &mut &bytes[..])?)
}

fn sha256(name: &str, file: &mut impl Read) -> Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match fill(file, &mut buffer).map_err(|error| damaged(name, 0, &error))? {
            0 => return Ok(hex(&digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

fn decode(name: &str, reader: impl Read + Seek, bytes: u64, sha256: String) -> Result<DataSet> {
    let mut archive = ZipArchive::new(reader).map_err(|error| {
        Error::BadFile(format!(
            "{name}: is not a zip archive as numpy.savez writes it ({error}); download or save it again"
        ))
    })?;
    if archive.has_duplicate_names() {
        bail!(Error::BadFile(format!(
            "{name}: two members have the same name, expected each once; save it again with numpy.savez"
        )));
    }
    let mut array = |key: &str| member(name, &mut archive, key, bytes);
    let train = split(name, "train", array("x_train")?, &array("y_train")?)?;
    let test = split(name, "test", array("x_test")?, &array("y_test")?)?;
    let stem = Path::new(name)
        .file_stem()
        .map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
    let source = Source { name: file_name(name), bytes, sha256 };
    DataSet::new(&stem, train, test, vec![source])
        .map_err(|error| Error::BadFile(format!("in {name}, {error}")).into())
}

/// Reads one array. Members are unpacked here rather than by the archive, so that what comes out can be
/// weighed against what went in.
fn member<R: Read + Seek>(
    name: &str,
    archive: &mut ZipArchive<R>,
    key: &str,
    file_bytes: u64,
) -> Result<Array> {
    let member_name = format!("{key}.npy");
    let Some(index) = archive.index_for_name_raw(member_name.as_bytes()) else {
        bail!(Error::BadFile(format!(
            "{name}: has no {member_name}; the archive holds {}; save it with \
             numpy.savez(file, x_train=.., y_train=.., x_test=.., y_test=..)",
            listed(archive)
        )));
    };
    let name = format!("{name}: {member_name}");
    let file = archive.by_index_raw(index).map_err(|error| {
        Error::BadFile(format!("{name}: cannot be found in the archive ({error}); download or save it again"))
    })?;
    if file.encrypted() {
        bail!(Error::BadFile(format!("{name}: is encrypted; save the archive without a password")));
    }
    let (method, crc, packed_bytes) =
        (file.compression(), file.crc32(), file.compressed_size().min(file_bytes));
    let raw = Meter::new(BufReader::with_capacity(1 << 16, RawMember(file)));
    match method {
        CompressionMethod::Stored => checked(&name, raw, packed_bytes, crc),
        CompressionMethod::Deflated => checked(&name, DeflateDecoder::new(raw), packed_bytes, crc),
        other => bail!(Error::BadFile(format!(
            "{name}: is packed by {other}, expected stored or deflated; save it with numpy.savez_compressed"
        ))),
    }
}

/// A member as it lies in the archive.
struct RawMember<'a, R: Read>(ZipFile<'a, R>);

impl<R: Read> Read for RawMember<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// Reads an array and compares the checksum of all its bytes with that in the archive.
fn checked(name: &str, source: impl Metered, packed_bytes: u64, recorded: u32) -> Result<Array> {
    let mut source = CrcReader::new(source);
    let array = npy::read(name, &mut source, packed_bytes)?;
    let found = source.crc().sum();
    if found != recorded {
        bail!(Error::BadFile(format!(
            "{name}: has checksum {found:08x}, the archive says {recorded:08x}; \
             the file is damaged: download it again"
        )));
    }
    Ok(array)
}

fn split(name: &str, which: &str, images: Array, labels: &Array) -> Result<Split> {
    let images = into_images(&format!("{name}: x_{which}.npy"), images)?;
    let labels = to_labels(&format!("{name}: y_{which}.npy"), labels)?;
    Split::new(&format!("{name}: x_{which}.npy with y_{which}.npy"), images, labels)
}

fn into_images(name: &str, array: Array) -> Result<Images> {
    if (array.dtype.kind, array.dtype.bytes) != ('u', 1) {
        bail!(Error::BadFile(format!(
            "{name}: pixels are {:?}, expected bytes '|u1' from 0 to 255; save x.astype('uint8')",
            array.dtype.text
        )));
    }
    let [count, height, width] = array.shape[..] else {
        bail!(Error::BadFile(format!(
            "{name}: has shape {:?}, expected (count, height, width); save x.reshape(count, height, width)",
            array.shape
        )));
    };
    Images::new(name, count, height, width, array.data)
}

fn to_labels(name: &str, array: &Array) -> Result<Vec<u8>> {
    let dtype = &array.dtype;
    if !['u', 'i'].contains(&dtype.kind) || dtype.bytes > 8 || (dtype.order == '>' && dtype.bytes > 1) {
        bail!(Error::BadFile(format!(
            "{name}: labels are {:?}, expected little-endian integers of at most 8 bytes; save y.astype('uint8')",
            dtype.text
        )));
    }
    if array.shape.len() != 1 {
        bail!(Error::BadFile(format!(
            "{name}: has shape {:?}, expected (count,), a class number for each image; save y.reshape(-1), \
             or y.argmax(axis=1) of one-hot labels",
            array.shape
        )));
    }
    let signed = dtype.kind == 'i';
    let numbers = array.data.chunks_exact(dtype.bytes).map(|bytes| little_endian(bytes, signed));
    numbers
        .enumerate()
        .map(|(row, number)| {
            u8::try_from(number).map_err(|_| {
                Error::BadFile(format!(
                    "{name}: label {number} in row {row}, expected 0 to 255; number the classes from 0"
                ))
                .into()
            })
        })
        .collect()
}

/// An integer of 1 to 8 bytes.
fn little_endian(bytes: &[u8], signed: bool) -> i128 {
    let magnitude = bytes.iter().rev().fold(0_i128, |number, &byte| number << 8 | i128::from(byte));
    let negative = signed && bytes.last().is_some_and(|&byte| byte >= 0x80);
    if negative { magnitude - (1 << (8 * bytes.len())) } else { magnitude }
}

/// Quoted member names, not all if there are many.
fn listed<R: Read + Seek>(archive: &ZipArchive<R>) -> String {
    let names = archive.file_names_raw().take(LISTED).map(|name| excerpt(&String::from_utf8_lossy(name)));
    let mut text = names.collect::<Vec<_>>().join(", ");
    if archive.len() > LISTED {
        text += &format!(" and {} more", archive.len() - LISTED);
    }
    if archive.is_empty() { "nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_integers_of_every_width() {
        assert_eq!(little_endian(&[0xff], false), 255);
        assert_eq!(little_endian(&[0xff], true), -1);
        assert_eq!(little_endian(&[0x34, 0x12], true), 0x1234);
        assert_eq!(little_endian(&[0, 0, 0x80], true), -0x80_0000);
        assert_eq!(little_endian(&[0xff; 8], false), i128::from(u64::MAX));
        assert_eq!(little_endian(&[0, 0, 0, 0, 0, 0, 0, 0x80], true), i128::from(i64::MIN));
    }
}
