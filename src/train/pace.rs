//! How long the device is left alone before progress is shown and signals are looked at.

use std::time::Duration;

/// That long.
const TURN: Duration = Duration::from_millis(200);
/// Steps of the first turn, when nobody knows how long they take.
const FIRST_TURN: usize = 16;

/// Steps that should take one turn.
pub(super) struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST_TURN)
    }
}

impl Pace {
    /// Steps of the next turn.
    pub(super) fn steps(&self) -> usize {
        self.0
    }

    /// Learns from the last turn; turns grow to at most four times their length.
    pub(super) fn learn(&mut self, steps: usize, elapsed: Duration) {
        let wanted = steps as f64 * TURN.as_secs_f64() / elapsed.as_secs_f64().max(1e-6);
        self.0 = (wanted as usize).clamp(1, 4 * steps.max(FIRST_TURN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_to_take_their_time_whatever_a_step_takes() {
        for micros in [1, 50, 3_000, 90_000, 2_000_000] {
            let step = Duration::from_micros(micros);
            let mut pace = Pace::default();
            for _ in 0..20 {
                let steps = pace.steps();
                pace.learn(steps, step * steps as u32);
            }
            let turn = step * pace.steps() as u32;
            assert!(turn <= TURN.max(step) && 2 * turn >= TURN.min(step * 2), "{micros}: {turn:?}");
        }
    }
}
