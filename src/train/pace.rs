//! How long the device is left alone before progress is shown and signals are looked at.

use std::time::Duration;

/// That long, or as long as the steps take that the device had better be given at once.
const TURN: Duration = Duration::from_millis(200);
/// But no longer than this, unless a single step does.
const LONGEST_TURN: Duration = Duration::from_millis(2500);
/// Steps of the first turn, when nobody knows how long they take.
const FIRST_TURN: usize = 16;

/// Steps that should take one turn.
pub(super) struct Pace {
    steps: usize,
    at_once: usize,
}

impl Pace {
    /// For a device that had better be given `at_once` steps at once.
    pub(super) fn new(at_once: usize) -> Self {
        Self { steps: FIRST_TURN, at_once }
    }

    /// Steps of the next turn.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Learns from the last turn; turns grow to at most four times their length.
    pub(super) fn learn(&mut self, steps: usize, elapsed: Duration) {
        let step = elapsed.as_secs_f64().max(1e-6) / steps as f64;
        let fitting = |turn: Duration| (turn.as_secs_f64() / step) as usize;
        let wanted = fitting(TURN).max(self.at_once.min(fitting(LONGEST_TURN)));
        self.steps = wanted.clamp(1, 4 * steps.max(FIRST_TURN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_to_take_their_time_whatever_a_step_takes() {
        for micros in [1, 50, 3_000, 90_000, 2_000_000] {
            let step = Duration::from_micros(micros);
            let mut pace = Pace::new(1);
            for _ in 0..20 {
                let steps = pace.steps();
                pace.learn(steps, step * steps as u32);
            }
            let turn = step * pace.steps() as u32;
            assert!(turn <= TURN.max(step) && 2 * turn >= TURN.min(step * 2), "{micros}: {turn:?}");
        }
    }

    #[test]
    fn a_device_gets_its_steps_at_once_unless_they_take_long() {
        for (milliseconds, steps) in [(2, 100), (100, 16), (250, 10), (4_000, 1)] {
            let mut pace = Pace::new(16);
            for _ in 0..20 {
                let steps = pace.steps();
                pace.learn(steps, Duration::from_millis(milliseconds) * steps as u32);
            }
            assert_eq!(pace.steps(), steps, "{milliseconds}");
        }
    }
}
