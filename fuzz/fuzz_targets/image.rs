//! Pictures, decoded and prepared.
#![no_main]

mod refused;

use gpu_mnist::predict::{Options, decode, prepare};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(picture) = refused::read(decode(bytes)) {
        // Large ones take long to prepare, which finds nothing that small ones do not.
        let (width, height) = picture.size();
        if u64::from(width) * u64::from(height) <= 1 << 12 {
            refused::read(prepare(&picture, &Options::default(), None));
        }
    }
});
