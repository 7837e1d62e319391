//! Initial weights, by Keras's names and definitions.
//!
//! `glorot_*` scale by sqrt(2 / (fan_in + fan_out)), `lecun_*` by sqrt(1 / fan_in), `he_*` by sqrt(2 / fan_in);
//! the uniform ones have the limit sqrt(3) times that. The normal ones are cut off at two deviations, and their
//! deviation is corrected for what the cut takes away (`keras.initializers.VarianceScaling`).

use super::problem::{Problem, not_negative};
use crate::rng::Stream;
use serde::{Deserialize, Serialize, Serializer};

/// The deviation of a standard normal cut off at ±2, the constant in Keras's `VarianceScaling`.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;
/// Words of the stream set aside for one truncated normal; all of them fail once in 10^85 draws.
const ATTEMPTS: u32 = 64;

/// In TOML a name, or a table of a `name` and the distribution's parameters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Initializer {
    /// Normal.
    RandomNormal {
        /// Mean.
        #[serde(default)]
        mean: f64,
        /// Standard deviation.
        #[serde(default = "spread")]
        std: f64,
    },
    /// Normal, redrawn beyond two deviations; `std` is that before the cut.
    TruncatedNormal {
        /// Mean.
        #[serde(default)]
        mean: f64,
        /// Standard deviation before the cut.
        #[serde(default = "spread")]
        std: f64,
    },
    /// Uniform in [min, max).
    RandomUniform {
        /// Lower limit.
        #[serde(default = "negative_spread")]
        min: f64,
        /// Upper limit.
        #[serde(default = "spread")]
        max: f64,
    },
    /// 0
    Zeros,
    /// 1
    Ones,
    /// Glorot and Bengio 2010, truncated normal.
    GlorotNormal,
    /// Glorot and Bengio 2010, uniform.
    #[default]
    GlorotUniform,
    /// LeCun and others 1998, truncated normal.
    LecunNormal,
    /// LeCun and others 1998, uniform.
    LecunUniform,
    /// He and others 2015, truncated normal.
    HeNormal,
    /// He and others 2015, uniform.
    HeUniform,
}

/// Keras's default deviation and limit.
fn spread() -> f64 {
    0.05
}

fn negative_spread() -> f64 {
    -0.05
}

/// What is drawn from, once the fans are known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Distribution {
    Constant(f64),
    Uniform { min: f64, max: f64 },
    Normal { mean: f64, std: f64 },
    Truncated { mean: f64, std: f64 },
}

impl Initializer {
    /// The names, as recipes write them.
    pub const NAMES: [&'static str; 11] = [
        "random_normal",
        "truncated_normal",
        "random_uniform",
        "zeros",
        "ones",
        "glorot_normal",
        "glorot_uniform",
        "lecun_normal",
        "lecun_uniform",
        "he_normal",
        "he_uniform",
    ];

    /// All zeros: the default of biases.
    pub fn zeros() -> Self {
        Self::Zeros
    }

    /// The name, as recipes write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RandomNormal { .. } => "random_normal",
            Self::TruncatedNormal { .. } => "truncated_normal",
            Self::RandomUniform { .. } => "random_uniform",
            Self::Zeros => "zeros",
            Self::Ones => "ones",
            Self::GlorotNormal => "glorot_normal",
            Self::GlorotUniform => "glorot_uniform",
            Self::LecunNormal => "lecun_normal",
            Self::LecunUniform => "lecun_uniform",
            Self::HeNormal => "he_normal",
            Self::HeUniform => "he_uniform",
        }
    }

    /// `len` initial values. Value `i` depends on the stream and `i` alone (`len` is at most 2^26).
    pub fn sample(&self, stream: &Stream, fan_in: usize, fan_out: usize, len: usize) -> Vec<f32> {
        let distribution = self.distribution(fan_in, fan_out);
        (0..len).map(|index| distribution.draw(stream, index as u32) as f32).collect()
    }

    fn distribution(&self, fan_in: usize, fan_out: usize) -> Distribution {
        let fan_in = fan_in.max(1) as f64;
        let fan_mean = (fan_in + fan_out.max(1) as f64) / 2.0;
        match *self {
            Self::RandomNormal { mean, std } => Distribution::Normal { mean, std },
            Self::TruncatedNormal { mean, std } => Distribution::Truncated { mean, std },
            Self::RandomUniform { min, max } => Distribution::Uniform { min, max },
            Self::Zeros => Distribution::Constant(0.0),
            Self::Ones => Distribution::Constant(1.0),
            Self::GlorotNormal => scaled_normal(1.0 / fan_mean),
            Self::GlorotUniform => scaled_uniform(1.0 / fan_mean),
            Self::LecunNormal => scaled_normal(1.0 / fan_in),
            Self::LecunUniform => scaled_uniform(1.0 / fan_in),
            Self::HeNormal => scaled_normal(2.0 / fan_in),
            Self::HeUniform => scaled_uniform(2.0 / fan_in),
        }
    }

    /// # Errors
    /// Parameters that are no distribution.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match *self {
            Self::RandomNormal { mean, std } | Self::TruncatedNormal { mean, std } => {
                not_negative("std", std)?;
                not_negative("mean", mean.abs())
            }
            Self::RandomUniform { min, max } => {
                not_negative("min", min.abs())?;
                not_negative("max", max.abs())?;
                if min <= max {
                    return Ok(());
                }
                Err(Problem::at("min", format!("{min} is above max = {max}; exchange the two")))
            }
            _ => Ok(()),
        }
    }
}

/// The truncated normal whose variance after the cut is `variance`.
fn scaled_normal(variance: f64) -> Distribution {
    Distribution::Truncated { mean: 0.0, std: variance.sqrt() / TRUNCATED_DEVIATION }
}

/// The uniform distribution around 0 of this variance.
fn scaled_uniform(variance: f64) -> Distribution {
    let limit = (3.0 * variance).sqrt();
    Distribution::Uniform { min: -limit, max: limit }
}

impl Distribution {
    fn draw(self, stream: &Stream, index: u32) -> f64 {
        match self {
            Self::Constant(value) => value,
            Self::Uniform { min, max } => min + (max - min) * stream.uniform_f64(index),
            Self::Normal { mean, std } => mean + std * stream.normal(index),
            Self::Truncated { mean, std } => mean + std * truncated_normal(stream, index),
        }
    }
}

/// A standard normal within ±2, by redrawing. Every index has attempts of its own, so the result is a function of the index.
fn truncated_normal(stream: &Stream, index: u32) -> f64 {
    let first = index.wrapping_mul(ATTEMPTS);
    let mut attempts = (0..ATTEMPTS).map(|attempt| stream.normal(first.wrapping_add(attempt)));
    attempts.find(|draw| draw.abs() <= 2.0).unwrap_or(0.0)
}

impl Serialize for Initializer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = std::collections::BTreeMap::new();
        match *self {
            Self::RandomNormal { mean, std } | Self::TruncatedNormal { mean, std } => {
                table.extend([("mean", mean), ("std", std)]);
            }
            Self::RandomUniform { min, max } => table.extend([("min", min), ("max", max)]),
            _ => return serializer.serialize_str(self.name()),
        }
        Parametrised { name: self.name(), parameters: table }.serialize(serializer)
    }
}

/// The table form.
#[derive(Serialize)]
struct Parametrised {
    name: &'static str,
    #[serde(flatten)]
    parameters: std::collections::BTreeMap<&'static str, f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    const DRAWS: usize = 100_000;
    /// Dense 300 -> 100: lecun variance 1/300, glorot 1/200, he 1/150.
    const FANS: (usize, usize) = (300, 100);

    fn draws(initializer: &Initializer) -> Vec<f64> {
        let stream = Stream::new(11, Purpose::Test, 0, 0);
        initializer.sample(&stream, FANS.0, FANS.1, DRAWS).into_iter().map(f64::from).collect()
    }

    fn moments(draws: &[f64]) -> (f64, f64, f64) {
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        (mean, variance.sqrt(), draws.iter().fold(0.0, |limit, x| limit.max((x - mean).abs())))
    }

    /// Mean within 5 standard errors, deviation within 1.5 %, and the limit almost reached and never passed.
    #[track_caller]
    fn assert_moments(initializer: &Initializer, mean: f64, std: f64, limit: f64) {
        let (got_mean, got_std, reach) = moments(&draws(initializer));
        assert!(
            (got_mean - mean).abs() < 5.0 * std / (DRAWS as f64).sqrt(),
            "{initializer:?}: mean {got_mean}"
        );
        assert!((got_std / std - 1.0).abs() < 0.015, "{initializer:?}: deviation {got_std}, expected {std}");
        assert!(reach < limit * 1.01, "{initializer:?}: reaches {reach}, limit {limit}");
        assert!(
            !limit.is_finite() || reach > limit * 0.99,
            "{initializer:?}: reaches only {reach} of {limit}"
        );
    }

    #[test]
    fn uniform_ones_have_the_limits_of_keras() {
        for (initializer, limit) in [
            (Initializer::GlorotUniform, (6.0_f64 / 400.0).sqrt()),
            (Initializer::LecunUniform, (3.0_f64 / 300.0).sqrt()),
            (Initializer::HeUniform, (6.0_f64 / 300.0).sqrt()),
            (Initializer::RandomUniform { min: -0.3, max: 0.3 }, 0.3),
        ] {
            assert_moments(&initializer, 0.0, limit / 3.0_f64.sqrt(), limit);
        }
    }

    #[test]
    fn normal_ones_have_the_deviations_of_keras_after_the_cut() {
        for (initializer, variance) in [
            (Initializer::GlorotNormal, 2.0 / 400.0),
            (Initializer::LecunNormal, 1.0 / 300.0),
            (Initializer::HeNormal, 2.0 / 300.0),
        ] {
            let std = f64::sqrt(variance);
            assert_moments(&initializer, 0.0, std, 2.0 * std / TRUNCATED_DEVIATION);
        }
    }

    #[test]
    fn plain_normals_have_the_deviation_asked_for() {
        assert_moments(&Initializer::RandomNormal { mean: 1.0, std: 0.5 }, 1.0, 0.5, f64::INFINITY);
        let truncated = Initializer::TruncatedNormal { mean: -1.0, std: 0.5 };
        assert_moments(&truncated, -1.0, 0.5 * TRUNCATED_DEVIATION, 1.0);
    }

    #[test]
    fn constants_are_constant() {
        assert!(draws(&Initializer::Zeros).iter().all(|x| *x == 0.0));
        assert!(draws(&Initializer::Ones).iter().all(|x| *x == 1.0));
    }

    #[test]
    fn a_value_depends_on_its_index_and_not_on_the_length() {
        let stream = Stream::new(3, Purpose::Init, 0, 0);
        for initializer in [Initializer::HeNormal, Initializer::GlorotUniform] {
            let long = initializer.sample(&stream, 9, 9, 100);
            assert_eq!(initializer.sample(&stream, 9, 9, 10), long[..10]);
            assert_ne!(long[0], long[1]);
        }
    }
}
