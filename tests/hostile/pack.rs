//! Writes IDX, gzip, `.npy` and zip byte by byte, well or as wrongly as a test asks.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compress, Compression, Crc, FlushCompress};

/// An IDX file of bytes with these sizes; `data` need not fit them.
pub(crate) fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub(crate) fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A deflate stream of `start` and then `repeats` times 16 MiB of zeros, with the checksum of what it unpacks
/// to. The zeros are packed once: a full flush ends on a byte and forgets what came before.
pub(crate) fn deflate_bomb(start: &[u8], repeats: usize) -> (Vec<u8>, u32) {
    let flushed = |bytes: &[u8]| {
        let mut packed = Vec::with_capacity(bytes.len() / 500 + 1000);
        let status =
            Compress::new(Compression::best(), false).compress_vec(bytes, &mut packed, FlushCompress::Full);
        status.expect("memory takes it");
        packed
    };
    let zeros = vec![0; 16 << 20];
    let packed_zeros = flushed(&zeros);
    let (mut sum, mut zeros_sum) = (Crc::new(), Crc::new());
    sum.update(start);
    zeros_sum.update(&zeros);
    let mut packed = flushed(start);
    for _ in 0..repeats {
        packed.extend_from_slice(&packed_zeros);
        sum.combine(&zeros_sum);
    }
    // The last block: static codes, empty.
    packed.extend([3, 0]);
    (packed, sum.sum())
}

/// [`deflate_bomb`] in gzip's frame.
pub(crate) fn gzip_bomb(start: &[u8], repeats: usize) -> Vec<u8> {
    let (packed, sum) = deflate_bomb(start, repeats);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    bytes.extend(packed);
    bytes.extend(sum.to_le_bytes());
    bytes.extend(((start.len() + (repeats << 24)) as u32).to_le_bytes());
    bytes
}

/// A `.npy` file with this header text; padded as NumPy pads it.
pub(crate) fn npy_with_header(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let length_bytes = if version == 1 { 2 } else { 4 };
    let mut header = header.as_bytes().to_vec();
    while !(8 + length_bytes + header.len() + 1).is_multiple_of(64) {
        header.push(b' ');
    }
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    bytes.extend(&(header.len() as u32).to_le_bytes()[..length_bytes]);
    bytes.extend(header);
    bytes.extend_from_slice(data);
    bytes
}

/// A `.npy` file in C order.
pub(crate) fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    npy_with_header(1, &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"), data)
}

/// A member of a zip archive, as its headers describe it and as it lies there.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) crc: u32,
    /// Length that the headers claim to come out.
    pub(crate) unpacked: u32,
    pub(crate) packed: Vec<u8>,
}

impl Member {
    pub(crate) fn stored(name: &str, bytes: &[u8]) -> Self {
        let (crc, unpacked, packed) = (crc(bytes), bytes.len() as u32, bytes.to_vec());
        Self { name: name.to_owned(), method: 0, flags: 0, crc, unpacked, packed }
    }

    pub(crate) fn deflated(name: &str, bytes: &[u8]) -> Self {
        Self { method: 8, packed: deflate(bytes), ..Self::stored(name, bytes) }
    }
}

/// A zip archive of the members, in order.
pub(crate) fn zip(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for member in members {
        let mut common = Vec::new();
        for half in [20, member.flags, member.method, 0, 0x21] {
            common.extend(half.to_le_bytes());
        }
        for word in [member.crc, member.packed.len() as u32, member.unpacked] {
            common.extend(word.to_le_bytes());
        }
        common.extend((member.name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((bytes.len() as u32).to_le_bytes());
        directory.extend(member.name.as_bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(member.name.as_bytes());
        bytes.extend(&member.packed);
    }
    let start = bytes.len() as u32;
    let size = directory.len() as u32;
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((members.len() as u16).to_le_bytes());
    bytes.extend((members.len() as u16).to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]);
    bytes
}

/// The members of a good archive: 3 training and 2 test images of 2x2 with labels 0, 1, 2 and 2, 1.
pub(crate) fn good_members() -> Vec<Member> {
    let pixels: Vec<u8> = (0..12).collect();
    vec![
        Member::deflated("x_train.npy", &npy("|u1", "(3, 2, 2)", &pixels)),
        Member::stored("y_train.npy", &npy("|u1", "(3,)", &[0, 1, 2])),
        Member::deflated("x_test.npy", &npy("|u1", "(2, 2, 2)", &pixels[4..])),
        Member::stored("y_test.npy", &npy("|u1", "(2,)", &[2, 1])),
    ]
}

/// The good archive with one member's array replaced.
pub(crate) fn npz_with(name: &str, array: &[u8]) -> Vec<u8> {
    npz_from(good_members(), name, array)
}

/// An archive of these members with one of their arrays replaced.
pub(crate) fn npz_from(mut members: Vec<Member>, name: &str, array: &[u8]) -> Vec<u8> {
    for member in &mut members {
        if member.name == name {
            *member = Member::stored(name, array);
        }
    }
    zip(&members)
}
