//! PNG files, written from pixels.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A PNG of 8-bit red, green and blue, `[height][width][3]`.
///
/// # Panics
/// If `rgb` is not `height * width * 3` bytes, or a side is zero or beyond 2^31 - 1.
pub fn encode(width: usize, height: usize, rgb: &[u8]) -> Vec<u8> {
    assert_eq!(rgb.len(), width * height * 3, "one byte for each channel of {width}x{height}");
    let side = |length: usize| {
        assert!(length > 0 && length <= i32::MAX as usize, "{length} is no side of a PNG");
        (length as u32).to_be_bytes()
    };
    let mut file = SIGNATURE.to_vec();
    let [depth, colour, compression, filter, interlace] = [8, 2, 0, 0, 0];
    let header = [&side(width)[..], &side(height), &[depth, colour, compression, filter, interlace]].concat();
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &compress(width * 3, rgb));
    chunk(&mut file, *b"IEND", &[]);
    file
}

/// Filter "up" for every row: plots are mostly rows like the one above.
fn compress(stride: usize, rgb: &[u8]) -> Vec<u8> {
    const UP: u8 = 2;
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut above = vec![0; stride];
    let mut filtered = vec![UP; stride + 1];
    for row in rgb.chunks_exact(stride) {
        for ((out, &byte), &up) in filtered[1..].iter_mut().zip(row).zip(&above) {
            *out = byte.wrapping_sub(up);
        }
        above.copy_from_slice(row);
        encoder.write_all(&filtered).expect("a Vec takes everything");
    }
    encoder.finish().expect("a Vec takes everything")
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("a chunk of a picture is under 4 GiB");
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    file.extend_from_slice(&length.to_be_bytes());
    file.extend_from_slice(&kind);
    file.extend_from_slice(data);
    file.extend_from_slice(&crc.sum().to_be_bytes());
}
