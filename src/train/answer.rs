//! What a model says about pictures.

use super::engine::{DeviceData, Engine};
use super::evaluation::softmax;
use super::model::Model;
use crate::backend::device::Device;
use crate::data::Images;
use crate::error::Error;
use anyhow::{Result, bail};

/// A model's answer to a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// A probability for each class.
    pub probabilities: Vec<f64>,
}

impl Answer {
    /// From the network's output.
    pub fn new(logits: &[f32]) -> Self {
        Self { probabilities: softmax(logits) }
    }

    /// The most probable class; of equals the last.
    pub fn digit(&self) -> usize {
        self.ranked()[0]
    }

    /// The classes, most probable first. There is at least one.
    pub fn ranked(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = (0..self.probabilities.len()).rev().collect();
        classes.sort_by(|&a, &b| self.probabilities[b].total_cmp(&self.probabilities[a]));
        classes
    }
}

/// Asks `model` about each image.
///
/// # Errors
/// [`Error::BadFile`] when the images have another size than those that the model was trained on; when the device
/// fails.
pub fn answers(model: &Model, images: &Images, device: &Device) -> Result<Vec<Answer>> {
    let (expected, found) = ((model.input.height, model.input.width), (images.height, images.width));
    if expected != found {
        bail!(Error::BadFile(format!(
            "the model was trained on images of {}x{}, and these are of {}x{}; give the data it was trained on",
            expected.0, expected.1, found.0, found.1
        )));
    }
    let data = DeviceData::of_images(images, &[]);
    let layers = model.layers()?;
    let mut engine = Engine::new(&model.recipe, &layers, model.classes, model.transform, &data, device)?;
    engine.set_weights(&model.weights)?;
    let rows: Vec<u32> = (0..images.count as u32).collect();
    Ok(engine.logits(&rows, model.classes)?.iter().map(|logits| Answer::new(logits)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_class_comes_first() {
        let answer = Answer::new(&[0.0, 3.0, -1.0, 2.0]);
        assert_eq!((answer.digit(), answer.ranked()), (1, vec![1, 3, 0, 2]));
        assert!((answer.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
