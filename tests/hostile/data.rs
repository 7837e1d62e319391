//! Hostile IDX, gzip and `.npz` files.

use gpu_mnist::data::{DataSet, idx, npz};
use gpu_mnist::error::exit_code;
use proptest::prelude::*;

use crate::pack::{self, Member, gzip, npy, npy_with_header, npz_with, zip};

/// What reads the bytes.
#[derive(Clone, Copy, Debug)]
enum As {
    Images,
    Labels,
    Npz,
}

fn read(how: As, bytes: &[u8]) -> anyhow::Result<()> {
    match how {
        As::Images => idx::parse_images("hostile", bytes).map(|_| ()),
        As::Labels => idx::parse_labels("hostile", bytes).map(|_| ()),
        As::Npz => npz::parse("hostile", bytes).map(|_| ()),
    }
}

/// Bytes, and a part of the message that they must earn.
type Case = (As, &'static str, Vec<u8>);

fn idx_cases() -> Vec<Case> {
    let images = pack::idx(&[2, 2, 2], &[0; 8]);
    vec![
        (As::Images, "begins []; expected an IDX file of images (rank 3)", vec![]),
        (As::Images, "begins [00]", vec![0]),
        (As::Images, "the header has 5 bytes [00 00 08 03 00], expected 16", vec![0, 0, 8, 3, 0]),
        (As::Labels, "the header has 7 bytes", vec![0, 0, 8, 1, 0, 0, 0]),
        (
            As::Images,
            "16 + 60000 x 28 x 28 = 47040016 bytes in all, the file has 16",
            pack::idx(&[60_000, 28, 28], &[]),
        ),
        (As::Images, "the file has 23: it is cut short", images[..23].to_vec()),
        (As::Images, "the file has 25: it has bytes left over", [&images[..], &[0]].concat()),
        (As::Labels, "the file has 11: it has bytes left over", pack::idx(&[2], &[0; 3])),
        (
            As::Images,
            "[00 00 08 03 ff ff ff ff ff ff ff ff ff ff ff ff] multiply to more",
            pack::idx(&[!0; 3], &[]),
        ),
        // The product is 2^63: it fits 64 bits, but neither memory nor a file.
        (As::Images, "multiply to more", pack::idx(&[1 << 31, 1 << 31, 2], &[])),
        (As::Images, "holds 0 images of 28x28", pack::idx(&[0, 28, 28], &[])),
        (As::Images, "holds 5 images of 0x28", pack::idx(&[5, 0, 28], &[])),
        (As::Images, "these are labels: are two files swapped", pack::idx(&[4], &[0; 4])),
        (As::Labels, "these are images: are two files swapped", images.clone()),
        (As::Images, "neither that of images (3) nor of labels (1)", pack::idx(&[2, 2], &[0; 4])),
        (As::Images, "not unsigned bytes (type 08)", [&[0, 0, 13, 3], &images[4..]].concat()),
        (As::Images, "this looks like a web page", b"<!DOCTYPE html><title>403 Forbidden</title>".to_vec()),
        (As::Images, "this is a zip archive: unzip it", zip(&pack::good_members())),
        (As::Images, "this is not IDX", b"\x89PNG\r\n\x1a\n0000".to_vec()),
        (As::Images, "begins [03 08 00 00]", [&[3, 8, 0, 0], &images[4..]].concat()),
    ]
}

fn gzip_cases() -> Vec<Case> {
    let images = pack::idx(&[2, 2, 2], &[0; 8]);
    let packed = gzip(&images);
    let with = |at: usize, byte: u8| {
        let mut bytes = packed.clone();
        bytes[at] ^= byte;
        bytes
    };
    let end = packed.len();
    vec![
        (As::Images, "the packed data end too early, after 0 good bytes", vec![0x1f, 0x8b]),
        (As::Images, "the packed data end too early", packed[..12].to_vec()),
        (As::Images, "the packed data end too early, after 8 good bytes", packed[..end - 1].to_vec()),
        (As::Images, "the packed data are damaged", with(2, 0xff)),
        (As::Images, "the packed data are damaged", with(end - 8, 1)),
        (As::Images, "the packed data are damaged", with(end - 4, 1)),
        (
            As::Images,
            "the packed data are damaged",
            [&packed[..], b"rubbish at the end of the file"].concat(),
        ),
        (As::Images, "the packed data end too early", [&packed[..], &packed[..9]].concat()),
        (As::Images, "data go on after the 8 bytes", [&packed[..], &packed[..]].concat()),
        (As::Images, "data go on after the 8 bytes", gzip(&[&images[..], &[0]].concat())),
        (As::Images, "promises 8 bytes of data, found 7", gzip(&images[..23])),
        (As::Images, "the header has 12 bytes", gzip(&images[..12])),
        (As::Images, "begins []", gzip(&[])),
        (As::Images, "the file is gzipped twice", gzip(&packed)),
        (As::Images, "these are labels", gzip(&pack::idx(&[2], &[0; 2]))),
        (
            As::Images,
            "promises 9223372032559808512 bytes of data, which cannot",
            gzip(&pack::idx(&[1 << 31, 0x7fff_ffff, 2], &[])),
        ),
        (As::Labels, "promises 4294967295 bytes of data, which cannot", gzip(&pack::idx(&[!0], &[0; 9]))),
        (As::Images, "multiply to more", gzip(&pack::idx(&[!0; 3], &[]))),
    ]
}

fn npz_cases() -> Vec<Case> {
    let members = pack::good_members();
    let good = zip(&members);
    let header = |text: &str| npz_with("x_train.npy", &npy_with_header(1, text, &[0; 12]));
    let x = |descr: &str, shape: &str, data: &[u8]| npz_with("x_train.npy", &npy(descr, shape, data));
    let y = |descr: &str, shape: &str, data: &[u8]| npz_with("y_train.npy", &npy(descr, shape, data));
    let changed = |change: fn(&mut Member)| {
        let mut members = members.clone();
        change(&mut members[0]);
        zip(&members)
    };
    let twice = [&members[..], &members[..1]].concat();
    let mut long_header = npy("|u1", "(3, 2, 2)", &[0; 12]);
    long_header.splice(6..10, [2, 0, 0xff, 0xff, 0xff, 0xff]);
    let mut future = npy("|u1", "(3, 2, 2)", &[0; 12]);
    future[6] = 4;
    vec![
        (As::Npz, "is not a zip archive", vec![]),
        (As::Npz, "is not a zip archive", b"PK\x03\x04".to_vec()),
        (As::Npz, "is not a zip archive", good[..good.len() - 30].to_vec()),
        (As::Npz, "is not a zip archive", pack::idx(&[2, 2, 2], &[0; 8])),
        (As::Npz, "has no x_train.npy; the archive holds nothing", zip(&[])),
        (
            As::Npz,
            "has no y_test.npy; the archive holds \"x_train.npy\", \"y_train.npy\"",
            zip(&members[..3]),
        ),
        (As::Npz, "two members have the same name", zip(&twice)),
        (As::Npz, "x_train.npy: is encrypted", changed(|member| member.flags = 1)),
        (As::Npz, "expected stored or deflated", changed(|member| member.method = 12)),
        (As::Npz, "the archive says 00000000", changed(|member| member.crc = 0)),
        (As::Npz, "the packed data", changed(|member| member.packed.truncate(20))),
        (As::Npz, "the packed data are damaged", changed(|member| member.packed[0] = 0xff)),
        (As::Npz, "it is not a NumPy array", changed(|member| member.method = 0)),
        (As::Npz, "x_train.npy: is cut short in its header", npz_with("x_train.npy", b"\x93NUMPY\x01")),
        (As::Npz, "is cut short in its header", npz_with("x_train.npy", b"\x93NUMPY\x01\0\xff\x00{")),
        (As::Npz, "it is not a NumPy array", npz_with("x_train.npy", b"\x80\x04\x95 pickled")),
        (As::Npz, "it is not a NumPy array", npz_with("x_train.npy", &future)),
        (As::Npz, "the header claims 4294967295 bytes", npz_with("x_train.npy", &long_header)),
        (
            As::Npz,
            "the header is \"{'descr': [('a', '|u1')]",
            header("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (12,), }"),
        ),
        (
            As::Npz,
            "is in Fortran order",
            header("{'descr': '|u1', 'fortran_order': True, 'shape': (3, 2, 2), }"),
        ),
        (As::Npz, "the header is \"__import__('os')\"", header("__import__('os')")),
        (As::Npz, "holds \"|O\", expected integers", x("|O", "(3, 2, 2)", &[0; 12])),
        (As::Npz, "pixels are \"<f4\", expected bytes", x("<f4", "(3, 2, 2)", &[0; 48])),
        (As::Npz, "has shape [3, 4], expected (count, height, width)", x("|u1", "(3, 4)", &[0; 12])),
        (As::Npz, "holds 0 images of 2x2", x("|u1", "(0, 2, 2)", &[])),
        (As::Npz, "promises 13 bytes of data, found 12", x("|u1", "(13, 1, 1)", &[0; 12])),
        (As::Npz, "data go on after the 12 bytes", x("|u1", "(3, 2, 2)", &[0; 13])),
        (As::Npz, "is more than any file can hold", x("|u1", "(4294967296, 4294967296, 2)", &[])),
        (As::Npz, "which cannot come out of", x("|u1", "(1000000, 1000, 1000)", &[])),
        (As::Npz, "3 images but 2 labels", y("|u1", "(2,)", &[0; 2])),
        (As::Npz, "label 256 in row 1, expected 0 to 255", y("<u2", "(3,)", &[0, 0, 0, 1, 1, 0])),
        (As::Npz, "label -1 in row 2", y("|i1", "(3,)", &[0, 1, 0xff])),
        (As::Npz, "labels are \">i2\", expected little-endian", y(">i2", "(3,)", &[0; 6])),
        (As::Npz, "labels are \"<f8\"", y("<f8", "(3,)", &[0; 24])),
        (As::Npz, "argmax(axis=1) of one-hot labels", y("|u1", "(3, 2)", &[0; 6])),
        (As::Npz, "the header is \"{'descr': 'xxxx", header(&format!("{{'descr': '{}'", "x".repeat(9000)))),
        (As::Npz, "holds \"xxxx", x(&"x".repeat(9000), "(3, 2, 2)", &[0; 12])),
        (As::Npz, "the header is", x("|u1", &format!("({})", "1, ".repeat(3000)), &[0])),
        (As::Npz, "aaaa\".., \"y_train.npy\"", changed(|member| member.name = "a".repeat(60_000))),
        (As::Npz, "training images are 1x4 and test images 2x2", x("|u1", "(3, 1, 4)", &[0; 12])),
    ]
}

#[test]
fn every_hostile_file_is_refused_with_help_and_exit_code_4() {
    let cases = [idx_cases(), gzip_cases(), npz_cases()].concat();
    let mut wrong = Vec::new();
    for (how, fragment, bytes) in &cases {
        match read(*how, bytes) {
            Ok(()) => wrong.push(format!("{how:?} accepted what should say {fragment:?}")),
            Err(error) => {
                let text = format!("{error:#}");
                let helps = text.contains(fragment) && text.contains("hostile") && text.len() < 1000;
                if !helps || exit_code(&error) != 4 {
                    wrong.push(format!("{how:?} should say {fragment:?}: [{}] {text}", exit_code(&error)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_good_files_that_they_derive_from_are_accepted() -> anyhow::Result<()> {
    read(As::Images, &pack::idx(&[2, 2, 2], &[0; 8]))?;
    read(As::Images, &gzip(&pack::idx(&[2, 2, 2], &[0; 8])))?;
    read(As::Npz, &zip(&pack::good_members()))
}

#[test]
fn what_is_not_a_data_set_is_refused_by_path() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(path("folder.npz"))?;
    std::fs::create_dir(path("half"))?;
    std::fs::write(path("half/train-images-idx3-ubyte"), pack::idx(&[1, 1, 1], &[0]))?;
    std::fs::write(path("train-images-idx3-ubyte.gz"), gzip(&pack::idx(&[1, 1, 1], &[0])))?;
    for (spec, fragment) in [
        (path("absent"), "does not exist"),
        (path("absent.npz"), "cannot be read"),
        (path("folder.npz"), "the folder holds no files"),
        (path("half"), "no training labels; the folder holds \"train-images-idx3-ubyte\""),
        (path("train-images-idx3-ubyte.gz"), "is neither a folder nor an .npz file"),
        (String::new(), "does not exist"),
        ("a\0b".to_owned(), "does not exist"),
    ] {
        let error = DataSet::load(&spec).expect_err(fragment);
        assert!(format!("{error:#}").contains(fragment), "{error:#}");
        assert_eq!(exit_code(&error), 4);
    }
    Ok(())
}

/// A pipe that nobody writes to must not hang the program, nor a device without end fill the memory.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_without_being_opened() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let pipe = folder.path().join("pipe.npz");
    if std::process::Command::new("mkfifo").arg(&pipe).status()?.success() {
        let error = DataSet::load(&pipe.display().to_string()).expect_err("is a pipe");
        assert!(error.to_string().contains("is not a regular file"), "{error}");
    }
    let device = folder.path().join("device.npz");
    std::os::unix::fs::symlink("/dev/zero", &device)?;
    let error = DataSet::load(&device.display().to_string()).expect_err("is a device");
    assert!(error.to_string().contains("is not a regular file"), "{error}");
    Ok(())
}

/// A change to a file: at a place, as a share of its length.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Set(f64, u8),
    Cut(f64),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let place = || 0.0..1.0_f64;
    let one = prop_oneof![
        6 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => place().prop_map(Change::Cut),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (place(), 1..9_usize).prop_map(|(at, count)| Change::Remove(at, count)),
    ];
    prop::collection::vec(one, 1..5)
}

pub(crate) fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        let place = |at: &f64| (at * bytes.len() as f64) as usize;
        match change {
            Change::Set(at, byte) => {
                let at = place(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Change::Cut(at) => bytes.truncate(place(at)),
            Change::Insert(at, more) => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Change::Remove(at, count) => {
                let at = place(at);
                let end = bytes.len().min(at + count);
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

/// Accepted or refused as a bad file; a panic fails by itself.
fn read_all_ways(bytes: &[u8]) -> Result<(), TestCaseError> {
    for how in [As::Images, As::Labels, As::Npz] {
        if let Err(error) = read(how, bytes) {
            prop_assert_eq!(exit_code(&error), 4, "{:#}", error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all_ways(&bytes)?;
    }

    #[test]
    fn noise_after_a_good_beginning_never_panics(
        start in prop::sample::select(vec![
            &b"\0\0\x08\x03"[..],
            b"\0\0\x08\x01\0\0",
            b"\x1f\x8b\x08",
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
            b"PK\x03\x04",
            b"PK\x05\x06\0\0\0\0",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        read_all_ways(&[start, &bytes].concat())?;
        read_all_ways(&gzip(&[start, &bytes].concat()))?;
    }

    #[test]
    fn changed_idx_never_panics(changes in changes()) {
        let file = pack::idx(&[3, 2, 2], &[7; 12]);
        read_all_ways(&changed(&file, &changes))?;
        read_all_ways(&gzip(&changed(&file, &changes)))?;
        read_all_ways(&changed(&gzip(&file), &changes))?;
    }

    #[test]
    fn changed_npz_never_panics(changes in changes()) {
        read_all_ways(&changed(&zip(&pack::good_members()), &changes))?;
    }

    #[test]
    fn changed_arrays_never_panic(changes in changes()) {
        let array = npy("<i8", "(3,)", &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        read_all_ways(&npz_with("y_train.npy", &changed(&array, &changes)))?;
        let array = npy("|u1", "(3, 2, 2)", &[5; 12]);
        read_all_ways(&npz_with("x_train.npy", &changed(&array, &changes)))?;
    }
}
