//! Checksums of the published data sets.
//!
//! Mirrors and distributions pack the files anew (Debian's Fashion-MNIST is not the publisher's `.gz`), so
//! what identifies a file is the checksum of its unpacked bytes. That of the publisher's `.gz` stands beside
//! it for whoever downloads one.

use super::Source;

/// A published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// The set: `mnist` or `fashion-mnist`.
    pub data_set: &'static str,
    /// The file's name, without `.gz`.
    pub name: &'static str,
    /// Length in bytes, as [`Source::bytes`]: of an IDX file once unpacked, of an `.npz` file as it is.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: &'static str,
    /// Length in bytes and SHA-256 of the `.gz` file as first published, for IDX files.
    pub packed: Option<(u64, &'static str)>,
}

/// Every file whose checksum is on record.
///
/// MNIST: Y. LeCun, C. Cortes, C. Burges; `mnist.npz`: Keras. Fashion-MNIST: H. Xiao, K. Rasul, R. Vollgraf,
/// unpacked from Debian's `dataset-fashion-mnist`.
pub const KNOWN: [KnownFile; 9] = [
    KnownFile {
        data_set: "mnist",
        name: "train-images-idx3-ubyte",
        bytes: 47_040_016,
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        packed: Some((9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609")),
    },
    KnownFile {
        data_set: "mnist",
        name: "train-labels-idx1-ubyte",
        bytes: 60_008,
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        packed: Some((28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c")),
    },
    KnownFile {
        data_set: "mnist",
        name: "t10k-images-idx3-ubyte",
        bytes: 7_840_016,
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        packed: Some((1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6")),
    },
    KnownFile {
        data_set: "mnist",
        name: "t10k-labels-idx1-ubyte",
        bytes: 10_008,
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        packed: Some((4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6")),
    },
    KnownFile {
        data_set: "mnist",
        name: "mnist.npz",
        bytes: 11_490_434,
        sha256: "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        packed: None,
    },
    KnownFile {
        data_set: "fashion-mnist",
        name: "train-images-idx3-ubyte",
        bytes: 47_040_016,
        sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        packed: Some((26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84")),
    },
    KnownFile {
        data_set: "fashion-mnist",
        name: "train-labels-idx1-ubyte",
        bytes: 60_008,
        sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        packed: Some((29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845")),
    },
    KnownFile {
        data_set: "fashion-mnist",
        name: "t10k-images-idx3-ubyte",
        bytes: 7_840_016,
        sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        packed: Some((4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073")),
    },
    KnownFile {
        data_set: "fashion-mnist",
        name: "t10k-labels-idx1-ubyte",
        bytes: 10_008,
        sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        packed: Some((5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5")),
    },
];

/// The published file with this checksum, unpacked or packed; `None` is no fault, only an unknown file.
pub fn identify(sha256: &str) -> Option<&'static KnownFile> {
    KNOWN.iter().find(|file| file.sha256 == sha256 || file.packed.is_some_and(|(_, packed)| packed == sha256))
}

/// The names of the classes of the set that these files are of, in order; none where classes are called by their numbers.
pub fn class_names(sources: &[Source]) -> Vec<String> {
    let sets = sources.iter().filter_map(|source| identify(&source.sha256)).map(|file| file.data_set);
    let names: &[&str] = match sets.into_iter().next() {
        Some("fashion-mnist") => &FASHION,
        _ => &[],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

/// As its authors call them.
const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The four IDX files of a set, in the order of [`super::DataSet::sources`].
pub(super) fn sources(data_set: &str) -> Vec<Source> {
    let idx_files = KNOWN.iter().filter(|file| file.data_set == data_set && file.packed.is_some());
    let source = |file: &KnownFile| Source {
        name: file.name.to_owned(),
        bytes: file.bytes,
        sha256: file.sha256.to_owned(),
    };
    idx_files.map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_whole_and_different() {
        let mut sums: Vec<&str> = KNOWN
            .iter()
            .flat_map(|file| [Some(file.sha256), file.packed.map(|(_, sum)| sum)])
            .flatten()
            .collect();
        assert!(
            sums.iter().all(|sum| sum.len() == 64 && sum.bytes().all(|c| b"0123456789abcdef".contains(&c)))
        );
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), 17);
    }

    #[test]
    fn agrees_with_the_sums_beside_the_assets() {
        let listed = include_str!("../../assets/mnist/SHA256SUMS");
        for source in sources("mnist") {
            assert!(listed.contains(&format!("{}  {}\n", source.sha256, source.name)), "{source:?}");
        }
    }

    #[test]
    fn identifies_by_either_sum() {
        for file in &KNOWN {
            assert_eq!(identify(file.sha256), Some(file));
            assert!(file.packed.is_none_or(|(_, sum)| identify(sum) == Some(file)));
        }
        assert_eq!(identify(""), None);
    }
}
