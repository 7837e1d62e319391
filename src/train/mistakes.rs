//! The images that a network gets most wrong.

use super::engine::Engine;
use super::evaluation::{Evaluation, softmax};
use anyhow::Result;

/// How many are kept.
pub const COUNT: usize = 36;

/// An image whose label and answer differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// Its place in the set that was evaluated.
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// The class that the network gave.
    pub answer: usize,
    /// How sure it was of its answer, 0 to 1.
    pub probability: f64,
}

/// The wrong answers with the greatest loss, the greatest first: where the label was given the least probability. `rows` are
/// the images of `evaluation` by their index in the engine's data, `labels` their classes.
///
/// # Errors
/// When the device fails.
pub fn worst(
    engine: &mut Engine,
    evaluation: &Evaluation,
    rows: &[u32],
    labels: &[u8],
    classes: usize,
) -> Result<Vec<Mistake>> {
    let Evaluation { losses, answers, .. } = evaluation;
    let mut wrong: Vec<usize> = (0..answers.len()).filter(|&i| answers[i] != labels[i]).collect();
    wrong.sort_by(|&one, &two| losses[two].total_cmp(&losses[one]));
    wrong.truncate(COUNT);
    let chosen: Vec<u32> = wrong.iter().map(|&i| rows[i]).collect();
    let logits = engine.logits(&chosen, classes)?;
    let mistake = |(index, logits): (usize, Vec<f32>)| {
        let answer = usize::from(answers[index]);
        Mistake { index, label: usize::from(labels[index]), answer, probability: softmax(&logits)[answer] }
    };
    Ok(wrong.into_iter().zip(logits).map(mistake).collect())
}
