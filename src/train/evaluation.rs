//! What an evaluation yields: loss, accuracy, confusion matrix and per-class figures.

use crate::ops::softmax_xent::RIGHT;
use serde::Serialize;

/// Losses and answers of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The loss of each image.
    pub losses: Vec<f32>,
    /// The answer for each image.
    pub answers: Vec<u8>,
    /// Right answers.
    pub right: usize,
}

/// Figures of one class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Right answers over all answers of this class; NaN-free: 0 where there are none.
    pub precision: f64,
    /// Right answers over all images of this class.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// Images of this class.
    pub images: u64,
}

impl Evaluation {
    /// From what the device wrote.
    pub fn new(losses: Vec<f32>, outcomes: &[u32]) -> Self {
        let right = outcomes.iter().filter(|&&outcome| outcome & RIGHT != 0).count();
        let answers = outcomes.iter().map(|outcome| (outcome & !RIGHT) as u8).collect();
        Self { losses, answers, right }
    }

    /// From the probabilities of each image's classes; the first of equal ones is the answer.
    ///
    /// The loss is finite, as softmax cross-entropy from logits is: a probability of zero counts as the smallest number.
    pub fn of_probabilities(probabilities: &[Vec<f64>], labels: &[u8]) -> Self {
        let answer = |of: &Vec<f64>| {
            let best = (0..of.len()).rev().max_by(|&a, &b| of[a].total_cmp(&of[b]));
            best.unwrap_or(0) as u8
        };
        let loss = |of: &Vec<f64>, label: u8| -of[usize::from(label)].max(f64::MIN_POSITIVE).ln() as f32;
        let answers: Vec<u8> = probabilities.iter().map(answer).collect();
        let losses = probabilities.iter().zip(labels).map(|(of, &label)| loss(of, label)).collect();
        let right = answers.iter().zip(labels).filter(|(answer, label)| answer == label).count();
        Self { losses, answers, right }
    }

    /// The mean loss, added in f64 in order.
    pub fn loss(&self) -> f64 {
        mean(&self.losses)
    }

    /// The share of right answers.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.answers.len().max(1) as f64
    }

    /// Counts by label (row) and answer (column).
    pub fn confusion(&self, labels: &[u8], classes: usize) -> Vec<Vec<u64>> {
        let mut counts = vec![vec![0; classes]; classes];
        for (&label, &answer) in labels.iter().zip(&self.answers) {
            counts[usize::from(label)][usize::from(answer)] += 1;
        }
        counts
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len().max(1) as f64
}

/// The probabilities that these logits mean, in f64, the largest subtracted first.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &logit| largest.max(f64::from(logit)));
    let powers: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

/// Precision, recall and F1 of each class.
pub fn per_class(confusion: &[Vec<u64>]) -> Vec<ClassFigures> {
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    (0..confusion.len())
        .map(|class| {
            let right = confusion[class][class];
            let images: u64 = confusion[class].iter().sum();
            let answers: u64 = confusion.iter().map(|row| row[class]).sum();
            let (precision, recall) = (share(right, answers), share(right, images));
            let both = precision + recall;
            let f1 = if both == 0.0 { 0.0 } else { 2.0 * precision * recall / both };
            ClassFigures { precision, recall, f1, images }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_probabilities() {
        let all = [vec![0.25, 0.75], vec![0.5, 0.5], vec![1.0, 0.0]];
        let evaluation = Evaluation::of_probabilities(&all, &[1, 0, 1]);
        assert_eq!((evaluation.answers, evaluation.right), (vec![1, 0, 0], 2));
        assert!((evaluation.losses[0] + 0.75_f32.ln()).abs() < 1e-7 && evaluation.losses[2].is_finite());
    }

    #[test]
    fn figures_of_a_small_matrix() {
        let evaluation = Evaluation::new(vec![0.5, 1.5, 1.0], &[RIGHT, 1, RIGHT | 1]);
        assert_eq!((evaluation.right, evaluation.loss()), (2, 1.0));
        let confusion = evaluation.confusion(&[0, 0, 1], 3);
        assert_eq!(confusion, [[1, 1, 0], [0, 1, 0], [0, 0, 0]]);
        let figures = per_class(&confusion);
        assert_eq!((figures[0].precision, figures[0].recall), (1.0, 0.5));
        assert_eq!((figures[1].precision, figures[1].recall), (0.5, 1.0));
        assert_eq!((figures[2].f1, figures[2].images), (0.0, 0));
    }
}
