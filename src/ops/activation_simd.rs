//! Activation functions and their derivatives over 16 lanes: the epilogues of the fast CPU kernels.
//!
//! The same formulas as [`Activation::apply`]; NaN passes through all of them, so that a diverging run shows.

use super::activation::{Activation, SELU_ALPHA, SELU_SCALE};
use super::simd::Simd;

/// The function itself; softmax is a row's business and passes its input through.
#[inline(always)]
pub fn apply<S: Simd>(s: S, activation: Activation, x: S::V) -> S::V {
    let zero = s.splat(0.0);
    match activation {
        Activation::Linear | Activation::Softmax => x,
        Activation::Sigmoid => sigmoid(s, x),
        Activation::Tanh => tanh(s, x),
        Activation::Relu => s.select_gt(zero, x, zero, x),
        Activation::Elu => s.select_gt(x, zero, x, s.exp_m1_negative(s.min(zero, x))),
        Activation::Selu => {
            let negative = s.mul(s.splat(SELU_ALPHA as f32), s.exp_m1_negative(s.min(zero, x)));
            s.mul(s.splat(SELU_SCALE as f32), s.select_gt(x, zero, x, negative))
        }
        Activation::Swish => s.mul(x, sigmoid(s, x)),
    }
}

/// d apply / dx, from the input `x`.
#[inline(always)]
pub fn derivative<S: Simd>(s: S, activation: Activation, x: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    match activation {
        Activation::Linear | Activation::Softmax => one,
        Activation::Sigmoid => sigmoid_derivative(s, x),
        Activation::Tanh => s.mul(s.splat(4.0), sigmoid_derivative(s, s.mul(s.splat(2.0), x))),
        Activation::Relu => s.select_gt(x, zero, one, zero),
        Activation::Elu => s.select_gt(x, zero, one, s.exp(s.min(zero, x))),
        Activation::Selu => {
            let negative = s.mul(s.splat((SELU_SCALE * SELU_ALPHA) as f32), s.exp(s.min(zero, x)));
            s.select_gt(x, zero, s.splat(SELU_SCALE as f32), negative)
        }
        Activation::Swish => s.fma(x, sigmoid_derivative(s, x), sigmoid(s, x)),
    }
}

/// d apply / dx, from the output `y` (fusible functions; the others have derivative one here).
#[inline(always)]
pub fn derivative_from_output<S: Simd>(s: S, activation: Activation, y: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    match activation {
        Activation::Linear | Activation::Swish | Activation::Softmax => one,
        Activation::Sigmoid => s.mul(y, s.sub(one, y)),
        Activation::Tanh => s.sub(one, s.mul(y, y)),
        Activation::Relu => s.select_gt(y, zero, one, zero),
        Activation::Elu => s.select_gt(y, zero, one, s.add(y, one)),
        Activation::Selu => {
            let negative = s.add(y, s.splat((SELU_SCALE * SELU_ALPHA) as f32));
            s.select_gt(y, zero, s.splat(SELU_SCALE as f32), negative)
        }
    }
}

/// 1 / (1 + e^-x), without overflow on either side.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let e = s.exp(negative_magnitude(s, x));
    let positive = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    s.select_gt(s.splat(0.0), x, s.mul(e, positive), positive)
}

/// e^-|x| / (1 + e^-|x|)^2
#[inline(always)]
fn sigmoid_derivative<S: Simd>(s: S, x: S::V) -> S::V {
    let e = s.exp(negative_magnitude(s, x));
    let sum = s.add(s.splat(1.0), e);
    s.div(e, s.mul(sum, sum))
}

/// (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let m = s.exp_m1_negative(s.mul(s.splat(2.0), negative_magnitude(s, x)));
    let negative = s.div(m, s.add(m, s.splat(2.0)));
    s.select_gt(s.splat(0.0), x, negative, s.sub(s.splat(0.0), negative))
}

/// -|x|
#[inline(always)]
fn negative_magnitude<S: Simd>(s: S, x: S::V) -> S::V {
    s.min(x, s.sub(s.splat(0.0), x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::LANES;
    use crate::ops::simd::{Kernel, Plain, dispatch};

    /// Function values and derivatives of all inputs.
    struct All<'a>(Activation, &'a [f32], &'a mut Vec<(f32, f32)>);
    impl Kernel for All<'_> {
        fn run<S: Simd>(self, s: S) {
            for chunk in self.1.chunks_exact(LANES) {
                let (mut y, mut slope) = ([0.0; LANES], [0.0; LANES]);
                let v = apply(s, self.0, s.load(chunk));
                s.store(&mut y, v);
                s.store(&mut slope, derivative_from_output(s, self.0, v));
                self.2.extend(y.into_iter().zip(slope));
            }
        }
    }

    fn check(activation: Activation, run: impl Fn(All<'_>)) {
        let inputs: Vec<f32> = (-8000..8000).map(|i| i as f32 * 0.013).collect();
        let mut outputs = Vec::new();
        run(All(activation, &inputs, &mut outputs));
        for (&x, &(y, slope)) in inputs.iter().zip(&outputs) {
            let exact = activation.apply(f64::from(x));
            // `Simd::exp` is zero below e^-87, which swish multiplies by x.
            let allowed = exact.abs() * 1e-6 + f64::from(x.abs().max(1.0)) * (-87_f64).exp();
            assert!((f64::from(y) - exact).abs() <= allowed, "{activation:?}({x}) = {y}, not {exact}");
            // From the output as it is: rounding of the output is not the derivative's fault.
            let exact = activation.derivative_from_output(f64::from(y));
            assert!((f64::from(slope) - exact).abs() <= 3e-7, "{activation:?}'({x}) = {slope}, not {exact}");
        }
    }

    #[test]
    fn all_functions_agree_with_f64_with_every_set_of_instructions() {
        for activation in Activation::ALL {
            check(activation, |k| dispatch(k));
            check(activation, |k| k.run(Plain));
        }
    }

    #[test]
    fn nan_passes_through() {
        for activation in Activation::ALL {
            let mut outputs = Vec::new();
            dispatch(All(activation, &[f32::NAN; LANES], &mut outputs));
            assert!(outputs.iter().all(|(y, _)| y.is_nan()), "{activation:?}");
            outputs.clear();
            All(activation, &[f32::NAN; LANES], &mut outputs).run(Plain);
            assert!(outputs.iter().all(|(y, _)| y.is_nan()), "{activation:?}, plain");
        }
    }
}
