//! Taking times: warm-up, samples that are long enough, medians and quartiles.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long to measure one thing.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Whether it is only to see that everything works.
    pub quick: bool,
    /// A sample lasts at least this, by repeating what is measured.
    pub sample: Duration,
    /// Samples are taken for about this long,
    pub total: Duration,
    /// but at least so many,
    pub least: usize,
    /// and at most so many.
    pub most: usize,
}

impl Effort {
    /// For figures that are shown to people.
    pub const FULL: Self = Self {
        quick: false,
        sample: Duration::from_millis(5),
        total: Duration::from_millis(300),
        least: 5,
        most: 50,
    };

    /// For tests: seconds altogether, and figures that mean little.
    pub const QUICK: Self = Self {
        quick: true,
        sample: Duration::from_micros(200),
        total: Duration::from_millis(2),
        least: 3,
        most: 5,
    };

    /// For whole steps: as long as a turn of training at least, so that several submissions are in flight.
    pub fn of_steps(&self) -> Self {
        Self { sample: 10 * self.sample, total: 5 * self.total, ..*self }
    }
}

/// Repetitions of one sample at most: they become one submission.
pub(super) const MOST_TIMES: usize = 4096;

/// Median and quartiles of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Half of the samples are below.
    pub median: f64,
    /// A quarter of them is below.
    pub q1: f64,
    /// A quarter of them is above.
    pub q3: f64,
    /// How many there are.
    pub samples: usize,
}

impl Figure {
    /// Of at least one sample.
    ///
    /// # Panics
    /// Without samples.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        // Between the two nearest samples.
        let quantile = |share: f64| {
            let place = share * (samples.len() - 1) as f64;
            let (low, high) = (samples[place.floor() as usize], samples[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        Self { median: quantile(0.5), q1: quantile(0.25), q3: quantile(0.75), samples: samples.len() }
    }

    /// The figure of `work / sample` for each sample.
    pub fn rate(&self, work: f64) -> Self {
        Self { median: work / self.median, q1: work / self.q3, q3: work / self.q1, samples: self.samples }
    }

    /// The figure of `factor * sample` for each sample.
    pub fn scaled(&self, factor: f64) -> Self {
        let Self { median, q1, q3, samples } = *self;
        Self { median: factor * median, q1: factor * q1, q3: factor * q3, samples }
    }

    /// Half the distance of the quartiles over the median.
    pub fn spread(&self) -> f64 {
        0.5 * (self.q3 - self.q1) / self.median
    }
}

/// Seconds of one repetition. `time` does so many repetitions and says how long they took together; it is never asked for
/// more than `most` at once.
///
/// # Errors
/// When the device fails.
pub fn seconds(
    effort: &Effort,
    most: usize,
    mut time: impl FnMut(usize) -> Result<Duration>,
) -> Result<Figure> {
    let most = most.clamp(1, MOST_TIMES);
    // Kernels may be compiled when they first run, and caches are cold.
    time(1)?;
    let mut times = 1;
    loop {
        let shortest = shortest(&mut time, times, effort.sample)?;
        if shortest >= effort.sample || times >= most {
            break;
        }
        times = next_times(times, shortest, effort.sample).min(most);
    }
    let mut samples = Vec::new();
    let mut spent = Duration::ZERO;
    while samples.len() < effort.least || (spent < effort.total && samples.len() < effort.most) {
        let sample = time(times)?;
        spent += sample;
        samples.push(sample.as_secs_f64() / times as f64);
    }
    Ok(Figure::of(samples))
}

/// The shortest of three times, or the first that is much longer than `wanted`: threads that wake up late, or other
/// programs, must not pass for a long sample.
fn shortest(
    time: &mut impl FnMut(usize) -> Result<Duration>,
    times: usize,
    wanted: Duration,
) -> Result<Duration> {
    let mut shortest = time(times)?;
    for _ in 1..3 {
        if shortest > 10 * wanted {
            break;
        }
        shortest = shortest.min(time(times)?);
    }
    Ok(shortest)
}

/// Repetitions that should last as long as `wanted`, and two to ten times as many as before.
fn next_times(times: usize, last: Duration, wanted: Duration) -> usize {
    let factor = wanted.as_secs_f64() / last.as_secs_f64().max(1e-9);
    (times as f64 * factor.clamp(2.0, 10.0)).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles_lie_between_samples() {
        let figure = Figure::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((figure.q1, figure.median, figure.q3, figure.samples), (1.75, 2.5, 3.25, 4));
        assert_eq!(Figure::of(vec![7.0]), Figure { median: 7.0, q1: 7.0, q3: 7.0, samples: 1 });
        let rate = Figure::of(vec![1.0, 2.0, 4.0]).rate(8.0);
        assert!(rate.q1 < rate.median && rate.median == 4.0 && rate.median < rate.q3);
    }

    #[test]
    fn repetitions_grow_until_a_sample_is_long_enough_and_are_divided_out() {
        let mut asked = Vec::new();
        let figure = seconds(&Effort::FULL, usize::MAX, |times| {
            asked.push(times);
            Ok(Duration::from_micros(10) * times as u32)
        });
        assert!((figure.unwrap().median - 10e-6).abs() < 1e-12);
        assert_eq!(asked[..4], [1; 4], "a warm-up comes first, then the shortest of three");
        assert!(*asked.last().unwrap() >= 500, "{asked:?}");
    }

    #[test]
    fn what_may_run_only_so_often_is_not_run_more_often() {
        let figure = seconds(&Effort::QUICK, 7, |times| {
            assert!(times <= 7);
            Ok(Duration::from_nanos(1))
        });
        assert_eq!(figure.unwrap().samples, Effort::QUICK.most);
    }
}
