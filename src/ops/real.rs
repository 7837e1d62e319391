//! The two number types that references are generic over: f64 is the truth, f32 is the CPU backend.

/// A floating-point type.
pub trait Real:
    Copy
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::ops::MulAssign
    + 'static
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// Rounds an f64 to this type.
    fn of(x: f64) -> Self;
    /// Widens to f64, exactly.
    fn to_f64(self) -> f64;
    /// e to the power of `self`.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// e to the power of `self`, less one, without cancellation near zero.
    fn exp_m1(self) -> Self;
    /// `self * a + b`; rounded once where the program is compiled for processors that do so, for elsewhere that is a slow call.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// The larger; `other` where `self` is NaN.
    fn max(self, other: Self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// `self`, or 0 where it has [`FADED`].
    fn unless_faded(self) -> Self;
    /// The number as a factor of a product that cooperative matrices may make, which may take it in half precision.
    fn factor(self) -> Self {
        self
    }
}

/// Below this, an optimiser's running means become 0. They fade by a factor a step where gradients are 0, and would end
/// as subnormal numbers, which processors compute with many times more slowly (GPUs do not mind, and keep them); no
/// parameter moves by so little.
pub const FADED: f32 = 1e-30;

macro_rules! real {
    ($t:ident) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $t::exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $t::tanh(self)
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                $t::exp_m1(self)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
                    $t::mul_add(self, a, b)
                } else {
                    self * a + b
                }
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $t::max(self, other)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn unless_faded(self) -> Self {
                if self.abs() < $t::from(FADED) { 0.0 } else { self }
            }
        }
    };
}

real!(f32);
real!(f64);
