//! The data sets that can be fetched: where from, and what must arrive.
//!
//! The sums are of the files as their publishers offer them: MNIST and Fashion-MNIST as in [`super::known`]; KMNIST and EMNIST as
//! TensorFlow Datasets records them; QMNIST as in its repository.

use anyhow::{Result, bail};

use super::known::KNOWN;
use crate::error::Error;

/// A file to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name, there and here.
    pub name: &'static str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal digits.
    pub sha256: &'static str,
}

/// What is done with the files once they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing: four gzipped IDX files.
    Idx,
    /// A zip archive of several sets, each unpacked into a folder of its own.
    Emnist,
    /// Labels are tables of eight numbers, of which the first is the class.
    Qmnist,
}

/// A data set that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogued {
    /// What `data fetch` calls it.
    pub name: &'static str,
    /// Where its files are, tried in order; each ends in a slash.
    pub mirrors: &'static [&'static str],
    /// All of them.
    pub files: Vec<Remote>,
    /// What is done with them.
    pub form: Form,
}

/// The names, in the order of their years.
pub const NAMES: [&str; 5] = ["mnist", "fashion-mnist", "kmnist", "emnist", "qmnist"];

const KMNIST: [Remote; 4] = [
    Remote {
        name: "train-images-idx3-ubyte.gz",
        bytes: 18_165_135,
        sha256: "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    },
    Remote {
        name: "train-labels-idx1-ubyte.gz",
        bytes: 29_497,
        sha256: "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    },
    Remote {
        name: "t10k-images-idx3-ubyte.gz",
        bytes: 3_041_136,
        sha256: "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    },
    Remote {
        name: "t10k-labels-idx1-ubyte.gz",
        bytes: 5_120,
        sha256: "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
];

const EMNIST: [Remote; 1] = [Remote {
    name: "gzip.zip",
    bytes: 561_753_746,
    sha256: "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
}];

const QMNIST: [Remote; 4] = [
    Remote {
        name: "qmnist-train-images-idx3-ubyte.gz",
        bytes: 9_704_059,
        sha256: "9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d",
    },
    Remote {
        name: "qmnist-train-labels-idx2-int.gz",
        bytes: 463_024,
        sha256: "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
    },
    Remote {
        name: "qmnist-test-images-idx3-ubyte.gz",
        bytes: 9_742_279,
        sha256: "43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375",
    },
    Remote {
        name: "qmnist-test-labels-idx2-int.gz",
        bytes: 526_800,
        sha256: "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06",
    },
];

/// The set of this name.
///
/// # Errors
/// [`Error::Usage`] with the names that there are.
pub fn find(name: &str) -> Result<Catalogued> {
    let (mirrors, files, form): (&'static [&'static str], Vec<Remote>, Form) = match name {
        "mnist" => (
            &[
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ],
            published("mnist"),
            Form::Idx,
        ),
        "fashion-mnist" => (
            &[
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ],
            published("fashion-mnist"),
            Form::Idx,
        ),
        "kmnist" => (&["https://codh.rois.ac.jp/kmnist/dataset/kmnist/"], KMNIST.to_vec(), Form::Idx),
        "emnist" => (
            &[
                "https://biometrics.nist.gov/cs_links/EMNIST/",
                "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
            ],
            EMNIST.to_vec(),
            Form::Emnist,
        ),
        "qmnist" => (
            &["https://raw.githubusercontent.com/facebookresearch/qmnist/master/"],
            QMNIST.to_vec(),
            Form::Qmnist,
        ),
        _ => bail!(Error::Usage(format!(
            "{name:?} is no data set that can be fetched; there are {}",
            NAMES.join(", ")
        ))),
    };
    let name = NAMES.into_iter().find(|known| *known == name).unwrap_or_default();
    Ok(Catalogued { name, mirrors, files, form })
}

/// The `.gz` files of a set, as they were first published.
fn published(data_set: &str) -> Vec<Remote> {
    let files = KNOWN.iter().filter(|file| file.data_set == data_set);
    let remote = |file: &super::known::KnownFile| {
        let (bytes, sha256) = file.packed?;
        Some(Remote { name: packed_name(file.name), bytes, sha256 })
    };
    files.filter_map(remote).collect()
}

/// The names of the four files are the same in every set of this form.
fn packed_name(name: &str) -> &'static str {
    KMNIST
        .iter()
        .map(|file| file.name)
        .find(|packed| packed.strip_suffix(".gz") == Some(name))
        .unwrap_or_default()
}

/// The set and file with this sum, as published.
pub fn identify(sha256: &str) -> Option<(&'static str, Remote)> {
    NAMES.into_iter().filter_map(|name| find(name).ok()).find_map(|set| {
        let file = set.files.iter().find(|file| file.sha256 == sha256)?;
        Some((set.name, *file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_has_a_name_a_size_and_a_sum_of_its_own() {
        let mut sums = BTreeSet::new();
        for name in NAMES {
            let set = find(name).expect("is in the list");
            assert_eq!(set.name, name);
            assert!(set.mirrors.iter().all(|mirror| mirror.starts_with("https://") && mirror.ends_with('/')));
            for file in &set.files {
                assert!(!file.name.is_empty() && file.bytes > 1000 && file.sha256.len() == 64, "{file:?}");
                assert!(sums.insert(file.sha256), "{file:?}");
                assert_eq!(identify(file.sha256), Some((name, *file)));
            }
        }
        assert_eq!(sums.len(), 17);
        assert_eq!(crate::error::exit_code(&find("mnits").expect_err("is misspelt")), 2);
    }
}
