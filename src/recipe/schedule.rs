//! `[schedule]`: the learning rate of every step.
//!
//! The rate is `base * ramp * decay`. The ramp is `min(1, (step + 1) / warmup_steps)`, so the first step is not lost.

use super::problem::{Problem, at_least, not_negative, positive};
use super::tagged::tagged;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

tagged! {
    /// The `[schedule]` table; `kind` chooses.
    pub enum Schedule by "kind" in "kebab-case" {
        /// The base rate throughout.
        Constant(Constant),
        /// Multiplied by a factor every few epochs.
        Step(Step),
        /// Multiplied by a factor an epoch, smoothly.
        Exponential(Exponential),
        /// Half a cosine from the base rate down.
        Cosine(Cosine),
        /// Up to the base rate and down again.
        OneCycle(OneCycle),
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Constant(Constant::default())
    }
}

/// decay = 1
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constant {
    /// Steps in which the rate rises to the base rate.
    pub warmup_steps: u64,
}

/// decay = factor^floor(epoch / every_epochs), epochs counted from 0
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Steps in which the rate rises to the base rate.
    pub warmup_steps: u64,
    /// Epochs between two drops.
    pub every_epochs: u64,
    /// What a drop multiplies by.
    pub factor: f64,
}

impl Default for Step {
    fn default() -> Self {
        Self { warmup_steps: 0, every_epochs: 10, factor: 0.1 }
    }
}

/// decay = decay^(step / steps_per_epoch), Keras's `ExponentialDecay` with `decay_steps` of one epoch
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exponential {
    /// Steps in which the rate rises to the base rate.
    pub warmup_steps: u64,
    /// What an epoch multiplies by.
    pub decay: f64,
}

impl Default for Exponential {
    fn default() -> Self {
        Self { warmup_steps: 0, decay: 0.95 }
    }
}

/// decay = final_factor + (1 - final_factor) (1 + cos(pi t)) / 2, with t from 0 at the end of the warm-up to 1 at the
/// end of training (Loshchilov and Hutter 2017; Keras's `CosineDecay`)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// Steps in which the rate rises to the base rate.
    pub warmup_steps: u64,
    /// The share of the base rate that is left at the end.
    pub final_factor: f64,
}

/// Smith and Topin 2018, in PyTorch's `OneCycleLR` form: cosines from base / start_divisor up to base at
/// `peak_at * total - 1`, and down to base / start_divisor / final_divisor at the last step. It warms up by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OneCycle {
    /// Where in the training the peak is, in (0, 1).
    pub peak_at: f64,
    /// The base rate over the first one.
    pub start_divisor: f64,
    /// The first rate over the last one.
    pub final_divisor: f64,
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { peak_at: 0.3, start_divisor: 25.0, final_divisor: 10_000.0 }
    }
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0, of `total_steps` of the whole training.
    pub fn learning_rate(&self, base: f64, step: u64, steps_per_epoch: u64, total_steps: u64) -> f64 {
        let epochs = step as f64 / steps_per_epoch.max(1) as f64;
        let decay = match self {
            Self::Constant(_) => 1.0,
            Self::Step(Step { every_epochs, factor, .. }) => {
                factor.powf((epochs.floor() / (*every_epochs).max(1) as f64).floor())
            }
            Self::Exponential(Exponential { decay, .. }) => decay.powf(epochs),
            Self::Cosine(Cosine { warmup_steps, final_factor }) => {
                let after = step.saturating_sub(*warmup_steps) as f64;
                let decaying = total_steps.saturating_sub(*warmup_steps).max(1) as f64;
                between(1.0, *final_factor, after / decaying)
            }
            Self::OneCycle(cycle) => cycle.factor(step, total_steps),
        };
        base * decay * self.ramp(step)
    }

    fn ramp(&self, step: u64) -> f64 {
        match self.warmup_steps() {
            warmup if step < warmup => (step + 1) as f64 / warmup as f64,
            _ => 1.0,
        }
    }

    fn warmup_steps(&self) -> u64 {
        match self {
            Self::Constant(Constant { warmup_steps })
            | Self::Step(Step { warmup_steps, .. })
            | Self::Exponential(Exponential { warmup_steps, .. })
            | Self::Cosine(Cosine { warmup_steps, .. }) => *warmup_steps,
            Self::OneCycle(_) => 0,
        }
    }

    /// # Errors
    /// Settings out of range.
    pub(super) fn check(&self) -> Result<(), Problem> {
        match self {
            Self::Constant(_) => Ok(()),
            Self::Step(step) => {
                at_least("every_epochs", step.every_epochs, 1)?;
                positive("factor", step.factor)
            }
            Self::Exponential(exponential) => positive("decay", exponential.decay),
            Self::Cosine(cosine) => not_negative("final_factor", cosine.final_factor),
            Self::OneCycle(cycle) => cycle.check(),
        }
    }
}

impl OneCycle {
    fn factor(&self, step: u64, total_steps: u64) -> f64 {
        let (step, total) = (step as f64, total_steps as f64);
        let start = 1.0 / self.start_divisor;
        let (peak, last) = (self.peak_at * total - 1.0, total - 1.0);
        if step <= peak && peak > 0.0 {
            return between(start, 1.0, step / peak);
        }
        between(1.0, start / self.final_divisor, (step - peak) / (last - peak))
    }

    fn check(&self) -> Result<(), Problem> {
        if !(self.peak_at > 0.0 && self.peak_at < 1.0) {
            let message = format!("{} is out of range; it must be above 0 and below 1", self.peak_at);
            return Err(Problem::at("peak_at", message));
        }
        positive("start_divisor", self.start_divisor)?;
        positive("final_divisor", self.final_divisor)
    }
}

/// Half a cosine from `start` at t = 0 to `end` at t = 1.
fn between(start: f64, end: f64, t: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * t.clamp(0.0, 1.0)).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Base 0.1, 10 steps an epoch, 100 in all.
    fn rates(schedule: &Schedule, steps: &[u64]) -> Vec<f64> {
        steps.iter().map(|step| schedule.learning_rate(0.1, *step, 10, 100)).collect()
    }

    fn assert_close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= 1e-12, "{got} is not {expected}");
        }
    }

    #[test]
    fn constant_stays() {
        assert_close(&rates(&Schedule::default(), &[0, 50, 99]), &[0.1, 0.1, 0.1]);
    }

    #[test]
    fn warm_up_rises_in_equal_steps_and_multiplies_every_kind() {
        let constant = Schedule::Constant(Constant { warmup_steps: 4 });
        assert_close(&rates(&constant, &[0, 1, 2, 3, 4]), &[0.025, 0.05, 0.075, 0.1, 0.1]);
        let step = Schedule::Step(Step { warmup_steps: 20, every_epochs: 1, factor: 0.5 });
        assert_close(&rates(&step, &[9, 19, 20]), &[0.05, 0.05, 0.025]);
    }

    #[test]
    fn steps_drop_after_whole_epochs() {
        let step = Schedule::Step(Step { warmup_steps: 0, every_epochs: 3, factor: 0.5 });
        assert_close(&rates(&step, &[0, 29, 30, 59, 60, 99]), &[0.1, 0.1, 0.05, 0.05, 0.025, 0.0125]);
    }

    #[test]
    fn exponential_is_smooth_between_epochs() {
        let exponential = Schedule::Exponential(Exponential { warmup_steps: 0, decay: 0.25 });
        assert_close(&rates(&exponential, &[0, 5, 10, 20]), &[0.1, 0.05, 0.025, 0.00625]);
    }

    #[test]
    fn cosine_is_at_half_in_the_middle_and_starts_after_the_warm_up() {
        let cosine = Schedule::Cosine(Cosine { warmup_steps: 0, final_factor: 0.0 });
        assert_close(&rates(&cosine, &[0, 50, 100]), &[0.1, 0.05, 0.0]);
        let cosine = Schedule::Cosine(Cosine { warmup_steps: 20, final_factor: 0.5 });
        assert_close(&rates(&cosine, &[9, 19, 20, 60, 100]), &[0.05, 0.1, 0.1, 0.075, 0.05]);
    }

    #[test]
    fn one_cycle_meets_its_three_rates() {
        let cycle = Schedule::OneCycle(OneCycle { peak_at: 0.31, start_divisor: 10.0, final_divisor: 100.0 });
        // The peak is at step 0.31 * 100 - 1 = 30; half way up at 15; the last step is 99.
        assert_close(&rates(&cycle, &[0, 15, 30, 99]), &[0.01, 0.055, 0.1, 0.0001]);
    }

    #[test]
    fn every_kind_is_finite_at_the_smallest_lengths() {
        let kinds = [
            Schedule::default(),
            Schedule::Step(Step::default()),
            Schedule::Exponential(Exponential::default()),
            Schedule::Cosine(Cosine { warmup_steps: 5, final_factor: 0.0 }),
            Schedule::OneCycle(OneCycle::default()),
        ];
        for (kind, total) in kinds.iter().flat_map(|kind| [0, 1, 2].map(|total| (kind, total))) {
            let rate = kind.learning_rate(1.0, 0, 0, total);
            assert!(rate.is_finite() && rate >= 0.0, "{kind:?} with {total} steps: {rate}");
        }
    }
}
