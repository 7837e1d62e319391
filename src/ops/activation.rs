//! Activation functions: their formulas, and which can be differentiated from their output alone.

use super::real::Real;
use serde::{Deserialize, Serialize};

/// SELU's alpha (Klambauer and others, 2017).
pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// SELU's scale.
pub const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// An activation function. The numbers are those of `shaders/shared/activation.wgsl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u32)]
pub enum Activation {
    /// x
    #[default]
    Linear = 0,
    /// 1 / (1 + e^-x)
    Sigmoid = 1,
    /// tanh x
    Tanh = 2,
    /// max(x, 0)
    Relu = 3,
    /// x for x > 0, else e^x - 1
    Elu = 4,
    /// scale * (x for x > 0, else alpha (e^x - 1))
    Selu = 5,
    /// x * sigmoid(x)
    Swish = 6,
    /// e^x / sum of e^x over the features
    Softmax = 7,
}

impl Activation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Linear,
        Self::Sigmoid,
        Self::Tanh,
        Self::Relu,
        Self::Elu,
        Self::Selu,
        Self::Swish,
        Self::Softmax,
    ];

    /// The one with this number, as kernels hold it.
    pub fn from_code(code: u32) -> Self {
        Self::ALL[code as usize]
    }

    /// Whether the derivative is a function of the output, so that the function can be the epilogue
    /// of the product that makes its input (swish needs its input, softmax its whole row).
    pub fn fusible(self) -> bool {
        !matches!(self, Self::Swish | Self::Softmax)
    }

    /// The function itself; softmax is a row's business and has an op of its own.
    #[inline(always)]
    pub fn apply<T: Real>(self, x: T) -> T {
        match self {
            Self::Linear | Self::Softmax => x,
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Relu => {
                if x < T::ZERO {
                    x.max(T::ZERO)
                } else {
                    x
                }
            }
            Self::Elu => {
                if x > T::ZERO {
                    x
                } else {
                    x.exp_m1()
                }
            }
            Self::Selu => T::of(SELU_SCALE) * if x > T::ZERO { x } else { T::of(SELU_ALPHA) * x.exp_m1() },
            Self::Swish => x * sigmoid(x),
        }
    }

    /// d apply / dx, from the input `x`.
    #[inline(always)]
    pub fn derivative<T: Real>(self, x: T) -> T {
        match self {
            Self::Linear | Self::Softmax => T::ONE,
            Self::Sigmoid => sigmoid_derivative(x),
            Self::Tanh => T::of(4.0) * sigmoid_derivative(T::of(2.0) * x),
            Self::Relu => {
                if x > T::ZERO {
                    T::ONE
                } else {
                    T::ZERO
                }
            }
            Self::Elu => {
                if x > T::ZERO {
                    T::ONE
                } else {
                    x.exp()
                }
            }
            Self::Selu => T::of(SELU_SCALE) * if x > T::ZERO { T::ONE } else { T::of(SELU_ALPHA) * x.exp() },
            Self::Swish => sigmoid(x) + x * sigmoid_derivative(x),
        }
    }

    /// d apply / dx, from the output `y` (fusible ones).
    #[inline(always)]
    pub fn derivative_from_output<T: Real>(self, y: T) -> T {
        match self {
            Self::Linear | Self::Swish | Self::Softmax => T::ONE,
            Self::Sigmoid => y * (T::ONE - y),
            Self::Tanh => T::ONE - y * y,
            Self::Relu => {
                if y > T::ZERO {
                    T::ONE
                } else {
                    T::ZERO
                }
            }
            Self::Elu => {
                if y > T::ZERO {
                    T::ONE
                } else {
                    y + T::ONE
                }
            }
            Self::Selu => {
                if y > T::ZERO {
                    T::of(SELU_SCALE)
                } else {
                    y + T::of(SELU_SCALE * SELU_ALPHA)
                }
            }
        }
    }
}

/// 1 / (1 + e^-x), without overflow on either side.
#[inline(always)]
pub fn sigmoid<T: Real>(x: T) -> T {
    let e = (-x.abs()).exp();
    let positive = T::ONE / (T::ONE + e);
    if x < T::ZERO { e * positive } else { positive }
}

/// sigmoid (1 - sigmoid), as e^-|x| / (1 + e^-|x|)^2: without cancellation on either side.
#[inline(always)]
pub fn sigmoid_derivative<T: Real>(x: T) -> T {
    let e = (-x.abs()).exp();
    e / ((T::ONE + e) * (T::ONE + e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_agree_with_difference_quotients_and_with_each_other() {
        for activation in Activation::ALL {
            for i in -60..60 {
                let (x, h) = (0.1 * f64::from(i) + 0.05, 1e-6);
                let quotient = (activation.apply(x + h) - activation.apply(x - h)) / (2.0 * h);
                let derivative = activation.derivative(x);
                assert!(
                    (derivative - quotient).abs() < 1e-8,
                    "{activation:?}'({x}): {derivative} {quotient}"
                );
                if activation.fusible() {
                    let from_output = activation.derivative_from_output(activation.apply(x));
                    assert!((derivative - from_output).abs() < 1e-14, "{activation:?}'({x}): {from_output}");
                }
            }
        }
    }
}
