//! Flatten: the same values as one vector, in the order channel, row, column.

use super::{Layer, Shape};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Flatten has no settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

impl Layer for Flatten {
    fn kind(&self) -> &'static str {
        "flatten"
    }

    fn keras_class(&self) -> &'static str {
        "Flatten"
    }

    fn describe(&self) -> String {
        "flatten".to_string()
    }

    fn output_shape(&self, input: Shape) -> Result<Shape> {
        Ok(Shape::vector(input.features()))
    }
}
