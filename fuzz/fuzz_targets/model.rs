//! Model files: safetensors, their metadata, and the recipe in it.
#![no_main]

mod refused;

use gpu_mnist::train::model::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(model) = refused::read(Model::parse("fuzz", bytes)) {
        let written = model.to_bytes().expect("was read");
        let again = Model::parse("written", &written).expect("was written here");
        assert!(again.to_bytes().expect("was read") == written);
    }
});
