//! Zip archives of arrays.
#![no_main]

mod refused;

use gpu_mnist::data::npz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(data) = refused::read(npz::parse("fuzz", bytes)) {
        assert_eq!(data.train.images.count, data.train.labels.len());
        assert!(data.train.labels.iter().all(|&label| usize::from(label) < data.classes));
    }
});
