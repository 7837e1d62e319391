//! One array in an otherwise good archive, with a checksum that is right.
#![no_main]

#[path = "../../tests/hostile/pack.rs"]
mod pack;
mod refused;

use gpu_mnist::data::npz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for name in ["x_train.npy", "y_train.npy"] {
        refused::read(npz::parse("fuzz", &pack::npz_with(name, bytes)));
    }
});
