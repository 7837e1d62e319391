//! SHA-256 of files, and whether they are the published ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::Result;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{Source, catalogue, folder, hex, known};
use crate::error::Error;

/// The list of sums that `data fetch` leaves beside files that it made from others, in the form of `sha256sum`.
pub const SUMS: &str = "SHA256SUMS";

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is this file of this set, as published.
    Published {
        /// The set.
        data_set: String,
        /// The file's name there.
        file: String,
    },
    /// It is as the list beside it says.
    Listed,
    /// It should be something else.
    Damaged {
        /// The sum that it should have.
        expected: String,
    },
    /// Nothing is on record.
    Unknown,
}

/// A file that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// Its SHA-256: of an embedded file once unpacked.
    pub sha256: String,
    /// What is known of it.
    pub verdict: Verdict,
}

/// The SHA-256 of a file as it lies on the disk.
///
/// # Errors
/// [`Error::BadFile`] when it cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    let (file, _) = super::open_regular(path)?;
    hash(path, file)
}

fn hash(path: &Path, mut reader: impl Read) -> Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hex(&digest.finalize())),
            Ok(read) => digest.update(&buffer[..read]),
            Err(error) => {
                let message =
                    format!("{}: cannot be read ({error}); download or copy it again", path.display());
                return Err(Error::BadFile(message).into());
            }
        }
    }
}

/// Looks at every IDX, `.npz` and `.zip` file of a folder, at one file, or at the embedded set.
///
/// # Errors
/// [`Error::BadFile`] when there is nothing to look at, or a file cannot be read.
pub fn verify(spec: &str) -> Result<Vec<Checked>> {
    if spec == "mnist" {
        return Ok(super::verify_embedded()?.into_iter().map(embedded).collect());
    }
    let path = Path::new(spec);
    let files = if path.is_dir() { folder::list(path)? } else { vec![path.to_owned()] };
    let is_data = |name: &str| {
        ["idx", ".npz", ".zip"].iter().any(|part| name.contains(part)) && !name.ends_with(".part")
    };
    let listed = if path.is_dir() { list(&path.join(SUMS)) } else { BTreeMap::new() };
    let mut checked = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_data(&name) {
            checked.push(check(&file, name, &listed)?);
        }
    }
    if checked.is_empty() {
        let message = format!("{spec}: no IDX, .npz or .zip file; give the folder or file of a data set");
        return Err(Error::BadFile(message).into());
    }
    mark_damaged(&mut checked);
    Ok(checked)
}

fn embedded(source: Source) -> Checked {
    let verdict = Verdict::Published { data_set: "mnist".into(), file: source.name.clone() };
    Checked { name: source.name, sha256: source.sha256, verdict }
}

fn check(path: &Path, name: String, listed: &BTreeMap<String, String>) -> Result<Checked> {
    let sha256 = sha256_of(path)?;
    let published = match identify(&sha256) {
        None if name.ends_with(".gz") => identify(&unpacked(path)?),
        found => found,
    };
    let verdict = match (published, listed.get(&name)) {
        (Some((data_set, file)), _) => Verdict::Published { data_set, file },
        (None, Some(expected)) if *expected == sha256 => Verdict::Listed,
        (None, Some(expected)) => Verdict::Damaged { expected: expected.clone() },
        (None, None) => Verdict::Unknown,
    };
    Ok(Checked { name, sha256, verdict })
}

/// Deflate packs at most 1032 to 1, so this ends.
fn unpacked(path: &Path) -> Result<String> {
    let (file, _) = super::open_regular(path)?;
    // A damaged file has no sum once unpacked.
    Ok(hash(path, MultiGzDecoder::new(BufReader::<File>::new(file))).unwrap_or_default())
}

fn identify(sha256: &str) -> Option<(String, String)> {
    let known = known::identify(sha256).map(|file| (file.data_set.to_owned(), file.name.to_owned()));
    known.or_else(|| catalogue::identify(sha256).map(|(set, file)| (set.to_owned(), file.name.to_owned())))
}

/// The sums of a list, by file name; none if there is no list.
fn list(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pair = |line: &str| line.split_once("  ").map(|(sum, name)| (name.to_owned(), sum.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// Beside files of a published set, an unknown one that has the name of another of its files should be that.
fn mark_damaged(checked: &mut [Checked]) {
    let sets: Vec<String> = checked
        .iter()
        .filter_map(|one| match &one.verdict {
            Verdict::Published { data_set, .. } => Some(data_set.clone()),
            _ => None,
        })
        .collect();
    for one in checked.iter_mut().filter(|one| one.verdict == Verdict::Unknown) {
        let set = sets.iter().find_map(|set| catalogue::find(set).ok());
        let file = set.and_then(|set| set.files.into_iter().find(|file| same_name(file.name, &one.name)));
        if let Some(file) = file {
            one.verdict = Verdict::Damaged { expected: file.sha256.to_owned() };
        }
    }
}

fn same_name(packed: &str, name: &str) -> bool {
    packed == name || packed.strip_suffix(".gz") == Some(name)
}
