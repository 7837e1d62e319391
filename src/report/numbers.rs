//! Numbers that may be NaN, in JSON, which has none: they are written as `null` and read back as NaN.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For a field of one number.
pub(crate) mod one {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// For points of a curve.
pub(crate) mod points {
    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(points: &[(f64, f64)], serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |value: f64| value.is_finite().then_some(value);
        serializer.collect_seq(points.iter().map(|(x, y)| (finite(*x), finite(*y))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(f64, f64)>, D::Error> {
        let points: Vec<(Option<f64>, Option<f64>)> = Vec::deserialize(deserializer)?;
        Ok(points.into_iter().map(|(x, y)| (x.unwrap_or(f64::NAN), y.unwrap_or(f64::NAN))).collect())
    }
}

/// For rows of weights.
pub(crate) mod rows {
    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(rows: &[Vec<f32>], serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |value: &f32| value.is_finite().then_some(*value);
        serializer.collect_seq(rows.iter().map(|row| row.iter().map(finite).collect::<Vec<_>>()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f32>>, D::Error> {
        let rows: Vec<Vec<Option<f32>>> = Vec::deserialize(deserializer)?;
        let number = |value: Option<f32>| value.unwrap_or(f32::NAN);
        Ok(rows.into_iter().map(|row| row.into_iter().map(number).collect()).collect())
    }
}
