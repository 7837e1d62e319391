//! Time to an accuracy: a recipe trained from several seeds.
//!
//! Each seed trains to the recipe's end, and the model that this leaves is judged on the test set once. To stop where the
//! test set first says so would be to choose by it, and would flatter.

use super::report::SCHEMA;
use crate::backend::DeviceInfo;
use crate::backend::device::Device;
use crate::data::DataSet;
use crate::recipe::Recipe;
use crate::train::event::Observer;
use crate::train::run::{self, Job};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::atomic::AtomicBool;

/// What is to be trained.
pub struct Race<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The data.
    pub data: &'a DataSet,
    /// The device.
    pub device: &'a Device,
    /// The test accuracy to be reached.
    pub target: f64,
    /// Seeds: 0 and on.
    pub seeds: u64,
    /// Set by a signal.
    pub stop: &'a AtomicBool,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// Its seed.
    pub seed: u64,
    /// Of training alone: without start-up, validation and test.
    pub seconds: f64,
    /// Test accuracy at the end.
    pub accuracy: f64,
    /// Epochs trained.
    pub epochs: usize,
    /// Whether the accuracy is the target at least.
    pub reached: bool,
}

/// All trainings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeTo {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The recipe.
    pub recipe: String,
    /// The device.
    pub device: DeviceInfo,
    /// The test accuracy to be reached.
    pub target: f64,
    /// Seconds of training.
    pub seconds: Mean,
    /// Test accuracies.
    pub accuracy: Mean,
    /// The share of seeds that reach the target.
    pub reached: f64,
    /// Each of them.
    pub seeds: Vec<Finish>,
}

/// Mean and deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The sample's standard deviation; 0 for a sample of one.
    pub deviation: f64,
}

impl Mean {
    /// Of these values.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count();
        let mean = values.clone().sum::<f64>() / count.max(1) as f64;
        let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: (squares / count.saturating_sub(1).max(1) as f64).sqrt() }
    }
}

/// Trains with every seed. `observer` sees each training; `done` is told of each that is finished.
///
/// # Errors
/// As training does.
pub fn time_to(
    race: &Race<'_>,
    observer: &mut dyn Observer,
    mut done: impl FnMut(&Finish),
) -> Result<TimeTo> {
    let mut seeds = Vec::new();
    for seed in 0..race.seeds {
        let job = Job {
            recipe: race.recipe,
            data: race.data,
            device: race.device,
            seed,
            initial: None,
            checkpoint: None,
            folder: None,
            log_every: 0,
            checkpoint_steps: 0,
            checkpoint_seconds: f64::INFINITY,
            stop: race.stop,
        };
        let summary = run::run(job, observer)?.summary;
        let accuracy = summary.test_accuracy;
        let finish = Finish {
            seed,
            seconds: summary.train_seconds,
            accuracy,
            epochs: summary.epochs,
            reached: accuracy >= race.target,
        };
        done(&finish);
        seeds.push(finish);
    }
    let reached = seeds.iter().filter(|finish| finish.reached).count() as f64;
    Ok(TimeTo {
        schema: SCHEMA,
        recipe: race.recipe.name.clone(),
        device: race.device.info(),
        target: race.target,
        seconds: Mean::of(seeds.iter().map(|finish| finish.seconds)),
        accuracy: Mean::of(seeds.iter().map(|finish| finish.accuracy)),
        reached: reached / seeds.len().max(1) as f64,
        seeds,
    })
}

impl TimeTo {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{} on {} {}\n", self.recipe, self.device.backend, self.device.name);
        for Finish { seed, seconds, accuracy, epochs, reached } in &self.seeds {
            let verdict = if *reached { "reached" } else { "missed" };
            let _ = writeln!(
                text,
                "seed {seed:>4}: test accuracy {accuracy:.4} after {epochs} epochs, {seconds:.3} s: {verdict}"
            );
        }
        let Self { seconds, accuracy, .. } = self;
        let _ = writeln!(
            text,
            "{:.3} ± {:.3} s of training, test accuracy {:.4} ± {:.4}; {:.0}% of {} seeds reach {}",
            seconds.mean,
            seconds.deviation,
            accuracy.mean,
            accuracy.deviation,
            100.0 * self.reached,
            self.seeds.len(),
            self.target
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Mean;

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        let mean = Mean::of([2.0, 4.0, 6.0].into_iter());
        assert_eq!((mean.mean, mean.deviation), (4.0, 2.0));
        assert_eq!(Mean::of([3.0].into_iter()), Mean { mean: 3.0, deviation: 0.0 });
    }
}
