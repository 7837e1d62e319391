//! Which images a run trains on, validates with and is tested on.

use crate::data::{DataSet, validation_cut};
use crate::recipe::{Data, Validation};
use anyhow::Result;

/// Images by their rows on the device, where those of the test set follow those of the training set.
pub(super) struct Partition {
    /// Training images: these are the first rows.
    pub(super) training: usize,
    /// Rows to validate on after every epoch; none where the recipe has no validation.
    pub(super) validation: Vec<u32>,
    /// Rows of the test set.
    pub(super) test: Vec<u32>,
}

impl Partition {
    /// As a recipe wants it.
    ///
    /// # Errors
    /// As [`validation_cut`].
    pub(super) fn new(options: &Data, data: &DataSet) -> Result<Self> {
        let (train, test) = (data.train.images.count, data.test.images.count);
        let training = match options.validation {
            Validation::Split => validation_cut(train, options.validation_split)?,
            Validation::None | Validation::Test => train,
        };
        let test: Vec<u32> = (train as u32..(train + test) as u32).collect();
        let validation = match options.validation {
            Validation::None => Vec::new(),
            Validation::Split => (training as u32..train as u32).collect(),
            Validation::Test => test.clone(),
        };
        Ok(Self { training, validation, test })
    }
}
