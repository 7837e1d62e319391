//! Running error analysis: a number together with a bound on the error that f32 would have made.
//!
//! Tolerances of parity tests are derived with it: the reference run over [`Tracked`] yields, for each
//! output, the value in f64 and a bound on what rounding every intermediate to f32 can do to it.
//! Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, section 3.3.

use super::real::{FADED, Real};
use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

/// Unit roundoff of f32: half an ulp of one.
pub const F32_ROUNDOFF: f64 = 5.960_464_477_539_063e-8;
/// Roundoffs that a device may lose in a division (WGSL allows 2.5 ulp).
const DIVISION: f64 = 5.0;
/// Roundoffs of a square root (WGSL: 1 / inverseSqrt, 2 ulp and a division).
const SQRT: f64 = 9.0;
/// Roundoffs of exp, beside those that grow with the argument (WGSL: 3 + 2 |x| ulp).
const EXP: (f64, f64) = (6.0, 4.0);
/// Absolute error of log near one that drivers show (WGSL allows 2^-21).
const LN_ABSOLUTE: f64 = 4.8e-7;

/// What rounding to the nearest number of half precision can do to a value: half an ulp, whose unit roundoff is 2^-11 and
/// whose least number is 2^-24.
pub fn half_rounding(value: f64) -> f64 {
    (value.abs() * 2_f64.powi(-11)).max(2_f64.powi(-25))
}

/// A value and a bound on its absolute error in f32 arithmetic.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// The value, in f64.
    pub value: f64,
    /// Bound on |f32 result - value|.
    pub error: f64,
    /// Whether products take it in half precision: see [`Real::factor`].
    half_factor: bool,
}

impl Tracked {
    /// A value with a bound on its error.
    pub const fn new(value: f64, error: f64) -> Self {
        Self { value, error, half_factor: false }
    }

    /// What a buffer holds, for a device whose matrices take their factors in half precision or as they are.
    pub fn input(value: f32, half_factor: bool) -> Self {
        Self { half_factor, ..Self::new(f64::from(value), 0.0) }
    }

    fn rounded(value: f64, inherited: f64, roundoffs: f64) -> Self {
        Self::new(value, inherited + roundoffs * F32_ROUNDOFF * value.abs())
    }
}

impl Add for Tracked {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        Self::rounded(self.value + b.value, self.error + b.error, 1.0)
    }
}
impl Sub for Tracked {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        Self::rounded(self.value - b.value, self.error + b.error, 1.0)
    }
}
impl Mul for Tracked {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        let inherited = self.value.abs() * b.error + b.value.abs() * self.error + self.error * b.error;
        Self::rounded(self.value * b.value, inherited, 1.0)
    }
}
impl Div for Tracked {
    type Output = Self;
    fn div(self, b: Self) -> Self {
        let quotient = self.value / b.value;
        let smallest = (b.value.abs() - b.error).max(f64::MIN_POSITIVE);
        Self::rounded(quotient, (self.error + quotient.abs() * b.error) / smallest, DIVISION)
    }
}
impl Neg for Tracked {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, ..self }
    }
}
impl AddAssign for Tracked {
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}
impl MulAssign for Tracked {
    fn mul_assign(&mut self, b: Self) {
        *self = *self * b;
    }
}
impl PartialEq for Tracked {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl PartialOrd for Tracked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Real for Tracked {
    const ZERO: Self = Self::new(0.0, 0.0);
    const ONE: Self = Self::new(1.0, 0.0);
    fn of(x: f64) -> Self {
        Self::new(x, (f64::from(x as f32) - x).abs())
    }
    fn to_f64(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        let inherited = value * self.error.min(50.0).exp_m1();
        Self::rounded(value, inherited, EXP.0 + EXP.1 * self.value.abs())
    }
    fn ln(self) -> Self {
        let smallest = (self.value - self.error).max(f64::MIN_POSITIVE);
        Self::rounded(self.value.ln(), self.error / smallest + LN_ABSOLUTE, 6.0)
    }
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        let inherited = if value > 0.0 { self.error / value } else { self.error.sqrt() };
        Self::rounded(value, inherited, SQRT)
    }
    fn tanh(self) -> Self {
        let value = self.value.tanh();
        // Kernels compute it through exp: (e^2x - 1) / (e^2x + 1), with a series near zero.
        Self::rounded(value, self.error * (1.0 - value * value), 16.0)
    }
    fn exp_m1(self) -> Self {
        let value = self.value.exp_m1();
        let inherited = self.value.exp() * self.error.min(50.0).exp_m1();
        Self::rounded(value, inherited, EXP.0 + EXP.1 * self.value.abs())
    }
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    /// A device may find the smaller one larger by its error, as ReLU just below zero does.
    fn max(self, other: Self) -> Self {
        let (large, small) = if self.value < other.value { (other, self) } else { (self, other) };
        Self::new(large.value, large.error.max(small.value + small.error - large.value))
    }
    fn abs(self) -> Self {
        Self { value: self.value.abs(), ..self }
    }
    /// Where a device may keep the number or not, since GPUs keep all and rounding may lift one over the threshold, the bound
    /// covers both.
    fn unless_faded(self) -> Self {
        let faded = f64::from(FADED);
        let size = self.value.abs();
        Self::new(
            if size < faded { 0.0 } else { self.value },
            if size - self.error < faded { size + self.error } else { self.error },
        )
    }
    fn factor(self) -> Self {
        let rounding = if self.half_factor { half_rounding(self.value) } else { 0.0 };
        Self::new(self.value, self.error + rounding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_a_sum_of_products_in_f32() {
        let stream = crate::rng::Stream::new(3, crate::rng::Purpose::Test, 0, 0);
        let mut exact = Tracked::ZERO;
        let mut single = 0.0_f32;
        for i in 0..1000 {
            let (a, b) = (stream.uniform(2 * i) - 0.5, stream.uniform(2 * i + 1) - 0.5);
            exact += Tracked::of(f64::from(a)) * Tracked::of(f64::from(b));
            single += a * b;
        }
        let error = (f64::from(single) - exact.value).abs();
        assert!(error > 0.0 && error <= exact.error, "{error} {}", exact.error);
        assert!(exact.error < 1e-3);
    }

    #[test]
    fn the_bound_of_a_maximum_covers_the_other_one_within_its_error() {
        let error_of_relu = |value| Tracked::new(value, 1e-7).max(Tracked::ZERO).error;
        assert_eq!(error_of_relu(0.5), 1e-7);
        assert!((error_of_relu(-0.25e-7) - 0.75e-7).abs() < 1e-20);
        assert_eq!(error_of_relu(-0.5), 0.0);
    }

    #[test]
    fn the_bound_covers_a_faded_number_kept_and_a_kept_one_faded() {
        let outcome = |value, error| {
            let after = Tracked::new(value, error).unless_faded();
            (after.value, after.error)
        };
        assert_eq!(outcome(-6e-34, 1e-36), (0.0, 6e-34 + 1e-36));
        assert_eq!(outcome(1.01e-30, 1e-31), (1.01e-30, 1.01e-30 + 1e-31));
        assert_eq!(outcome(1.01e-30, 1e-36), (1.01e-30, 1e-36));
        assert_eq!(outcome(0.0, 0.0), (0.0, 0.0));
    }

    #[test]
    fn factors_in_half_precision_may_be_rounded_and_nothing_else() {
        let [whole, half] = [false, true].map(|half_factor| Tracked::input(0.1, half_factor));
        let third = Tracked::of(1.0 / 3.0);
        let error = |a: Tracked| (a.factor() * third.factor()).error;
        // The nearest half number is 2.4e-5 less.
        let rounding = half_rounding(f64::from(0.1_f32)) * third.value;
        assert!((error(half) - error(whole) - rounding).abs() < 1e-11 && rounding > 2.4e-5 / 3.0);
        // What is no input, and what is no factor, stays as it is.
        assert_eq!(error(half + Tracked::ZERO), error(whole + Tracked::ZERO));
        assert_eq!((half * third).error, (whole * third).error);
    }
}
