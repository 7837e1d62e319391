//! What is in a data set, in figures.

use serde::Serialize;

use super::scaling::{Moments, histogram};
use super::{DataSet, Source, Split};

/// A data set in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// As [`DataSet::name`].
    pub name: String,
    /// As [`DataSet::classes`].
    pub classes: usize,
    /// Rows of every image.
    pub height: usize,
    /// Columns of every image.
    pub width: usize,
    /// The training images.
    pub train: SplitSummary,
    /// The test images.
    pub test: SplitSummary,
    /// As [`DataSet::sources`].
    pub sources: Vec<Source>,
}

/// A split in figures. Pixels are in their own units, 0..255.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitSummary {
    /// Images.
    pub count: usize,
    /// Images of each class; as many numbers as classes.
    pub per_class: Vec<usize>,
    /// Mean of all pixels.
    pub mean: f64,
    /// Standard deviation of all pixels, with division by n.
    pub deviation: f64,
    /// Least pixel.
    pub min: u8,
    /// Greatest pixel.
    pub max: u8,
}

impl Summary {
    /// Counts everything.
    pub fn of(data: &DataSet) -> Self {
        Self {
            name: data.name.clone(),
            classes: data.classes,
            height: data.train.images.height,
            width: data.train.images.width,
            train: SplitSummary::of(&data.train, data.classes),
            test: SplitSummary::of(&data.test, data.classes),
            sources: data.sources.clone(),
        }
    }
}

impl SplitSummary {
    /// Counts a split whose labels are below `classes`.
    pub fn of(split: &Split, classes: usize) -> Self {
        let label_counts = histogram(&split.labels);
        let pixel_counts = histogram(&split.images.pixels);
        let moments = Moments::of(&pixel_counts);
        let used = || (0..=u8::MAX).filter(|&p| pixel_counts[usize::from(p)] > 0);
        Self {
            count: split.images.count,
            per_class: label_counts.iter().take(classes).map(|&count| count as usize).collect(),
            mean: moments.mean,
            deviation: moments.deviation,
            min: used().min().unwrap_or(0),
            max: used().max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Images;

    #[test]
    fn counts_classes_and_pixels() {
        let images = Images::new("f", 3, 1, 2, vec![10, 20, 30, 40, 50, 60]).expect("sizes agree");
        let split = Split::new("f", images, vec![2, 0, 2]).expect("counts agree");
        let data = DataSet::new("f", split.clone(), split, vec![]).expect("sizes agree");
        let summary = Summary::of(&data);
        assert_eq!((summary.height, summary.width, summary.classes), (1, 2, 3));
        assert_eq!(summary.train.per_class, [1, 0, 2]);
        assert_eq!((summary.train.min, summary.train.max, summary.train.mean), (10, 60, 35.0));
        assert!((summary.train.deviation - 17.078_251_276_599_33).abs() < 1e-12);
    }
}
