//! The comparator: numbers of a device against the reference with its derived tolerance.

use crate::ops::tracked::{Tracked, half_rounding};

/// How many times the bound on the rounding errors of one order of operations a kernel may be off: its
/// order differs from the reference's, the bound is of first order, and matrix units cut sums and factors off where the bound
/// is of rounding to the nearest (WGSL lets a conversion to f16 go to either neighbour).
pub const FACTOR: f64 = 2.0;

/// A number that is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where.
    pub index: usize,
    /// What the device has.
    pub found: f64,
    /// What the reference has.
    pub expected: f64,
    /// How far off it may be.
    pub allowed: f64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, found, expected, allowed } = self;
        write!(
            f,
            "number {index} is {found}, the reference has {expected} and allows an error of {allowed:.2e}"
        )
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The largest error as a share of what is allowed.
    pub worst: f64,
    /// That error.
    pub error: f64,
    /// What is allowed there.
    pub allowed: f64,
    /// The first number that is off, if any.
    pub first: Option<Difference>,
    /// How many are off.
    pub wrong: usize,
}

/// How a device stores what it computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// As f32.
    Whole,
    /// Rounded to the nearest number of half precision (IEEE binary16).
    Half,
}

impl Storage {
    /// What storing can add to the error of a number.
    fn error(self, value: f64) -> f64 {
        match self {
            Self::Whole => 0.0,
            Self::Half => half_rounding(value),
        }
    }
}

/// Compares numbers. NaN and infinity in `found` are always wrong where the reference is finite.
///
/// # Panics
/// When the lengths differ, which is a mistake of the caller.
pub fn numbers(found: &[f32], expected: &[Tracked], storage: Storage) -> Comparison {
    assert_eq!(found.len(), expected.len(), "comparing buffers of different lengths");
    let mut comparison = Comparison::default();
    for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let found = f64::from(found);
        // Devices may flush subnormal numbers to zero.
        let computed = FACTOR * expected.error + f64::from(f32::MIN_POSITIVE);
        let allowed = computed + storage.error(expected.value.abs() + computed);
        let error = (found - expected.value).abs();
        let share = error / allowed;
        // Written so that NaN fails.
        if !(error <= allowed) {
            comparison.wrong += 1;
            comparison.first.get_or_insert(Difference { index, found, expected: expected.value, allowed });
        }
        if !(share <= comparison.worst) {
            (comparison.worst, comparison.error, comparison.allowed) = (share, error, allowed);
        }
    }
    comparison
}

/// Compares words, which must be equal.
///
/// # Panics
/// When the lengths differ, which is a mistake of the caller.
pub fn words(found: &[u32], expected: &[u32]) -> Comparison {
    assert_eq!(found.len(), expected.len(), "comparing buffers of different lengths");
    let mut comparison = Comparison::default();
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        if found != expected {
            comparison.wrong += 1;
            comparison.worst = f64::INFINITY;
            let (found, expected) = (f64::from(found), f64::from(expected));
            comparison.error = comparison.error.max((found - expected).abs());
            comparison.first.get_or_insert(Difference { index, found, expected, allowed: 0.0 });
        }
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::Storage::Whole;
    use super::*;

    fn expected(values: &[f64], error: f64) -> Vec<Tracked> {
        values.iter().map(|&value| Tracked::new(value, error)).collect()
    }

    #[test]
    fn equal_numbers_pass() {
        let result = numbers(&[1.0, -2.0, 0.0], &expected(&[1.0, -2.0, 0.0], 1e-7), Whole);
        assert_eq!((result.wrong, result.first), (0, None));
    }

    #[test]
    fn a_planted_wrong_number_is_found_with_its_place() {
        let result = numbers(&[1.0, -2.001, 0.0], &expected(&[1.0, -2.0, 0.0], 1e-7), Whole);
        assert_eq!(result.wrong, 1);
        assert_eq!(result.first.unwrap().index, 1);
        assert!(result.worst > 1.0);
    }

    #[test]
    fn nan_and_infinity_fail_even_against_large_tolerances() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let result = numbers(&[1.0, bad], &expected(&[1.0, 1.0], 1e30), Whole);
            assert_eq!((result.wrong, result.first.unwrap().index), (1, 1), "{bad}");
        }
    }

    #[test]
    fn nan_in_the_reference_fails_too() {
        assert_eq!(numbers(&[0.0], &expected(&[f64::NAN], 1.0), Whole).wrong, 1);
        assert_eq!(numbers(&[f32::NAN], &expected(&[f64::NAN], 1.0), Whole).wrong, 1);
    }

    #[test]
    fn half_precision_may_round_once_and_no_more() {
        // The neighbours of one are 2^-11 below and 2^-10 above.
        let one = expected(&[1.0], 0.0);
        for (found, wrong) in [(1.0 + 4.8e-4, 0), (1.0 - 4.8e-4, 0), (1.0 + 5.0e-4, 1), (1.0 - 5.0e-4, 1)] {
            assert_eq!(numbers(&[found], &one, Storage::Half).wrong, wrong, "{found}");
            assert_eq!(numbers(&[found], &one, Whole).wrong, 1, "{found}");
        }
        let least = expected(&[2.0_f64.powi(-26)], 0.0);
        assert_eq!(numbers(&[0.0], &least, Storage::Half).wrong, 0);
        assert_eq!(numbers(&[2.0_f32.powi(-24)], &least, Storage::Half).wrong, 1);
    }

    #[test]
    fn zeros_against_something_fail() {
        assert_eq!(numbers(&[0.0; 4], &expected(&[0.5; 4], 1e-7), Whole).wrong, 4);
        assert_eq!(numbers(&[0.5; 4], &expected(&[0.0; 4], 1e-7), Whole).wrong, 4);
    }

    #[test]
    #[should_panic(expected = "different lengths")]
    fn a_wrong_length_panics() {
        numbers(&[0.0; 3], &expected(&[0.0; 4], 1.0), Whole);
    }

    #[test]
    fn words_must_be_equal() {
        assert_eq!(words(&[1, 2, 3], &[1, 2, 3]).wrong, 0);
        let result = words(&[1, 2, 4], &[1, 2, 3]);
        assert_eq!((result.wrong, result.first.unwrap().index), (1, 2));
    }
}
