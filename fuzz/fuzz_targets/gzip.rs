//! Gzip around IDX: the first byte says whether the rest is a stream as it is, or is packed first.
#![no_main]

mod refused;

use flate2::{Compression, write::GzEncoder};
use gpu_mnist::data::idx::{parse_images, parse_labels};
use libfuzzer_sys::fuzz_target;
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let stream = match how % 3 {
        0 => bytes.to_vec(),
        1 => [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], bytes].concat(),
        _ => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
    };
    refused::read(parse_images("fuzz", &stream));
    refused::read(parse_labels("fuzz", &stream));
});
