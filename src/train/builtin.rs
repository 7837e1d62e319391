//! The model that is part of the program, so that a photo can be read before anything was trained.
//!
//! `assets/model/README.md` has its recipe, the command that made it and its accuracy.

use super::model::Model;
use anyhow::Result;

/// What it is called in the place of a run folder.
pub const BUILTIN: &str = "builtin";

const FILE: &[u8] = include_bytes!("../../assets/model/model.safetensors");

/// The built-in model.
///
/// # Errors
/// [`Error::BadFile`](crate::error::Error::BadFile) if the program file is damaged.
pub fn load() -> Result<Model> {
    Model::parse("the built-in model", FILE)
}
