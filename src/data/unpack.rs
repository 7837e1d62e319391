//! From the files that publishers offer to those that the program reads, where they differ.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::bufread::MultiGzDecoder;
use zip::ZipArchive;

use super::catalogue::{Catalogued, Form};
use super::sums::{SUMS, sha256_of};
use crate::error::Error;

/// The sets in EMNIST's archive.
const EMNIST: [&str; 6] = ["balanced", "byclass", "bymerge", "digits", "letters", "mnist"];
/// A member or label file that is larger is none of theirs.
const LARGEST: u64 = 1 << 30;

/// Does what the form of the set asks for. Its files have been checked.
pub(super) fn unpack(set: &Catalogued, folder: &Path) -> Result<()> {
    match set.form {
        Form::Idx => Ok(()),
        Form::Emnist => {
            EMNIST.iter().try_for_each(|split| emnist(&folder.join(set.files[0].name), folder, split))
        }
        Form::Qmnist => {
            let made: Vec<String> =
                ["train", "test"].iter().map(|split| qmnist_labels(folder, split)).collect::<Result<_>>()?;
            write_sums(folder, &made)
        }
    }
}

/// One set of EMNIST's archive into a folder of its own.
fn emnist(archive: &Path, folder: &Path, split: &str) -> Result<()> {
    let bad = |what: String| Error::BadFile(format!("{}: {what}; fetch it again", archive.display()));
    let target = folder.join(split);
    std::fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    let file = File::open(archive).map_err(|error| bad(format!("cannot be read ({error})")))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| bad(error.to_string()))?;
    let mut made = Vec::new();
    for (part, kind) in
        [("train", "images-idx3"), ("train", "labels-idx1"), ("test", "images-idx3"), ("test", "labels-idx1")]
    {
        let name = format!("emnist-{split}-{part}-{kind}-ubyte.gz");
        let member = zip.by_name(&format!("gzip/{name}")).map_err(|error| bad(format!("{name}: {error}")))?;
        let mut bytes = Vec::new();
        member.take(LARGEST).read_to_end(&mut bytes).map_err(|error| bad(format!("{name}: {error}")))?;
        write(&target.join(&name), &bytes)?;
        made.push(name);
    }
    write_sums(&target, &made)
}

/// QMNIST's labels are `00 00 0c 02`, a count, 8, and rows of eight big-endian numbers, the class first.
fn qmnist_labels(folder: &Path, split: &str) -> Result<String> {
    let path = folder.join(format!("qmnist-{split}-labels-idx2-int.gz"));
    let bad = |what: &str| Error::BadFile(format!("{}: {what}; fetch it again", path.display()));
    let file = File::open(&path).map_err(|error| bad(&format!("cannot be read ({error})")))?;
    let mut bytes = Vec::new();
    let mut unpacked = MultiGzDecoder::new(BufReader::new(file)).take(LARGEST);
    unpacked.read_to_end(&mut bytes).map_err(|error| bad(&error.to_string()))?;
    let labels = first_column(&bytes).ok_or_else(|| bad("holds no table of labels"))?;
    let mut idx = vec![0, 0, 8, 1];
    idx.extend((labels.len() as u32).to_be_bytes());
    idx.extend(labels);
    let name = format!("qmnist-{split}-labels-idx1-ubyte");
    write(&folder.join(&name), &idx)?;
    Ok(name)
}

fn first_column(bytes: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let (magic, rows, columns) = (word(0)?, word(4)? as usize, word(8)? as usize);
    let table = bytes.get(12..)?;
    if magic != 0x0c02 || columns == 0 || rows.checked_mul(columns)?.checked_mul(4)? != table.len() {
        return None;
    }
    table.chunks_exact(4 * columns).map(|row| (row[..3] == [0; 3]).then_some(row[3])).collect()
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    if let Err(error) = written {
        bail!("cannot write {}: {error}; make room or choose another --out", path.display());
    }
    Ok(())
}

/// The sums of files that no publisher has sums of.
fn write_sums(folder: &Path, names: &[String]) -> Result<()> {
    let mut text = String::new();
    for name in names {
        text.push_str(&format!("{}  {name}\n", sha256_of(&folder.join(name))?));
    }
    write(&folder.join(SUMS), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::first_column;

    fn table(magic: u32, rows: u32, columns: u32, words: &[u32]) -> Vec<u8> {
        [&[magic, rows, columns], words].concat().iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn labels_are_the_first_column() {
        assert_eq!(first_column(&table(0x0c02, 2, 3, &[7, 300, 1, 2, 4, 5])), Some(vec![7, 2]));
        for wrong in [
            table(0x0802, 1, 1, &[7]),
            table(0x0c02, 2, 1, &[7]),
            table(0x0c02, 1, 0, &[]),
            table(0x0c02, 1, 1, &[256]),
            table(0x0c02, u32::MAX, u32::MAX, &[1]),
            vec![0, 0],
        ] {
            assert_eq!(first_column(&wrong), None, "{wrong:?}");
        }
    }
}
