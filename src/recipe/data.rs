//! `[data]`: how pixels are scaled and what validation is measured on.

use super::problem::Problem;
use crate::data::Scaling;
use serde::{Deserialize, Serialize};

/// Which images validation is measured on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validation {
    /// No validation.
    #[default]
    None,
    /// The last `validation_split` of the training set, cut off before any shuffling, as Keras does.
    Split,
    /// The test set.
    Test,
}

/// The `[data]` table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// How bytes become numbers.
    pub scaling: Scaling,
    /// What validation is measured on.
    pub validation: Validation,
    /// The share of the training set that `Validation::Split` holds back, in (0, 1); 0 with the others.
    pub validation_split: f64,
}

impl Data {
    /// # Errors
    /// A share out of range, or one that would have no effect.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let share = self.validation_split;
        let in_range = share > 0.0 && share < 1.0;
        match self.validation {
            Validation::Split if !in_range => Err(Problem::at(
                "validation_split",
                format!(
                    "{share} is out of range; with validation = \"split\" it must be above 0 and below 1"
                ),
            )),
            Validation::None | Validation::Test if share != 0.0 => Err(Problem::at(
                "validation_split",
                format!("{share} has no effect here; set validation = \"split\", or leave this key out"),
            )),
            _ => Ok(()),
        }
    }
}
