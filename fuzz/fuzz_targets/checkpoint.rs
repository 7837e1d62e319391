//! Checkpoints: safetensors and their metadata.
#![no_main]

mod refused;

use gpu_mnist::train::state::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(checkpoint) = refused::read(Checkpoint::parse("fuzz", bytes)) {
        let written = checkpoint.to_bytes().expect("was read");
        let again = Checkpoint::parse("written", &written).expect("was written here");
        assert!(again.to_bytes().expect("was read") == written);
    }
});
