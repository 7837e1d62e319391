//! Recipes, and the networks that they ask for.
#![no_main]

mod refused;

use gpu_mnist::layers::{Shape, resolve};
use gpu_mnist::recipe::Recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(recipe) = refused::read(Recipe::from_toml(text, "fuzz")) else { return };
    let written = recipe.to_toml().expect("was read");
    let again = Recipe::from_toml(&written, "written").expect("was written here");
    assert!(again.to_toml().expect("was read") == written);
    recipe.print_config().expect("was read");
    refused::read(resolve(&recipe, Shape { channels: 1, height: 28, width: 28 }, 10));
});
