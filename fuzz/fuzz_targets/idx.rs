//! IDX files, images and labels.
#![no_main]

mod refused;

use gpu_mnist::data::idx::{parse_images, parse_labels};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((images, source)) = refused::read(parse_images("fuzz", bytes)) {
        assert_eq!(images.pixels.len(), images.count * images.size());
        assert_eq!(source.bytes, 16 + images.pixels.len() as u64);
    }
    refused::read(parse_labels("fuzz", bytes));
});
