//! Dropout: in training, some elements become zero and the others grow in proportion.

use super::activation::Activation;
use super::case::{Case, Fill};
use super::control::{self, GLOBAL_STEP, SEED_HIGH, SEED_LOW};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, linear_grid, params, read_activation,
    read_words, slots, write_activation,
};
use crate::rng::{Purpose, Stream};

params! {
    /// Size, place and rate.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Elements, padding included: a multiple of 16 for each block.
        len: u32,
        /// Number of the layer: each draws numbers of its own.
        layer: u32,
        /// Share of the elements that become zero, below one.
        rate: f32,
    }
}

/// See the shader for the formula.
pub struct Dropout;

/// The random numbers of a layer at the step where `control` stands.
pub(super) fn stream(control: &[u32], layer: u32) -> Stream {
    let seed = u64::from(control[SEED_LOW]) | u64::from(control[SEED_HIGH]) << 32;
    Stream::new(seed, Purpose::Dropout, layer, control[GLOBAL_STEP])
}

/// Constants and grid for `len` elements.
pub(super) fn kernel(len: u32, class: DeviceClass) -> Kernel {
    let pairs = match class {
        DeviceClass::Gpu => 4,
        DeviceClass::Software => 8,
    };
    Kernel { constants: vec![("PAIRS", pairs)], grid: linear_grid(len as usize / 2, 64 * pairs as usize) }
}

/// How much elements grow that are kept, at this rate.
pub(super) fn growth<T: Real>(rate: f32) -> T {
    T::ONE / (T::ONE - T::of(f64::from(rate)))
}

/// Numbers drawn at a time: each takes the result of the one before it through 20 rounds, and several side by side do not wait.
pub(super) const DRAWN: usize = 4 * LANES;

/// What elements are multiplied by: 1 / (1 - rate) or 0, drawn [`DRAWN`] at a time.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    stream: Stream,
    /// `rate` on the scale of the 24 bits of a uniform number, rounded up: the comparison is the same, in integers.
    threshold: u32,
    scale: f32,
}

impl Mask {
    pub(super) fn new(control: &[u32], layer: u32, rate: f32) -> Self {
        let threshold = (rate * 16_777_216.0).ceil() as u32;
        Self { stream: stream(control, layer), threshold, scale: growth(rate) }
    }

    /// The factors of the elements from `first` on, an even number.
    #[inline(always)]
    pub(super) fn draw(&self, first: usize) -> [f32; DRAWN] {
        let words = self.stream.words::<{ DRAWN / 2 }>((first / 2) as u32);
        let mut factors = [0.0; DRAWN];
        for (i, factors) in factors.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            for (factor, words) in factors.iter_mut().zip(&words) {
                *factor = if words[i] >> 8 >= self.threshold { self.scale } else { 0.0 };
            }
        }
        factors
    }
}

impl Mask {
    /// Drops elements of `values`, whole vectors of which the first is element `first`.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(&self, s: S, first: usize, values: &mut [f32]) {
        let (zero, chunk) = (s.splat(0.0), DRAWN);
        for (i, values) in values.chunks_mut(chunk).enumerate() {
            let factors = self.draw(first + i * chunk);
            for (values, factor) in values.chunks_exact_mut(LANES).zip(factors.chunks_exact(LANES)) {
                let factor = s.load(factor);
                // Not a product alone, which would keep the NaN and infinity of dropped elements.
                s.store(values, s.select_gt(factor, zero, s.mul(s.load(values), factor), zero));
            }
        }
    }
}

/// Some blocks of the fast CPU version; `first` is the index of their first element.
struct Apply<'a> {
    mask: Mask,
    first: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl simd::Kernel for Apply<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.y.copy_from_slice(self.x);
        self.mask.apply(s, self.first, self.y);
    }
}

/// Dropout as the epilogue of another op: the place and rate that this op has as parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epilogue {
    /// Number of the dropout layer: each draws numbers of its own.
    pub layer: u32,
    /// Share of the elements that become zero, below one; 0 for no dropout.
    pub rate: f32,
}

impl Epilogue {
    /// No dropout.
    pub const NONE: Self = Self { layer: 0, rate: 0.0 };

    /// The constant that says to a shader whether there is any.
    pub(super) fn constant(self) -> (&'static str, u32) {
        ("DROPOUT", u32::from(self.rate > 0.0))
    }

    /// The same for a shader that makes gradients with respect to the input of `before`, the function before dropout: 2 where
    /// nothing has to be drawn for that.
    pub(super) fn gradient_constant(self, before: Activation) -> (&'static str, u32) {
        let (name, any) = self.constant();
        (name, if self.shows(before) { 2 * any } else { any })
    }

    /// Whether gradients with respect to the input of `before`, the function before dropout, are zero wherever an element was
    /// dropped, whatever the mask: ReLU has no slope where its output is zero.
    pub(super) fn shows(self, before: Activation) -> bool {
        before == Activation::Relu
    }

    /// What elements are multiplied by, if there is any dropout.
    pub(super) fn mask(self, control: &[u32]) -> Option<Mask> {
        (self.rate > 0.0).then(|| Mask::new(control, self.layer, self.rate))
    }

    /// The value that `y` was before dropout, if it was kept.
    pub(super) fn undo<T: Real>(self, y: T) -> T {
        if self.rate > 0.0 { y * (T::ONE - T::of(f64::from(self.rate))) } else { y }
    }

    /// Element `i`, which is `value` without dropout.
    pub(super) fn apply<T: Real>(self, control: &[u32], i: usize, value: T) -> T {
        if self.rate == 0.0 {
            value
        } else if stream(control, self.layer).uniform(i as u32) >= self.rate {
            value * growth(self.rate)
        } else {
            T::ZERO
        }
    }
}

impl Formula for Dropout {
    type Params = Params;
    const NAME: &'static str = "dropout";
    const BINDINGS: &'static [Binding] =
        &[read_activation("x"), read_words("control"), write_activation("y")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        kernel(p.len, class)
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: u64::from(p.len), bytes: 8 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, control, y] = slots(args);
        let (x, y) = (x.real(), y.real());
        let stream = stream(control.words(), p.layer);
        let scale: T = growth(p.rate);
        for i in 0..p.len as usize {
            y[i] = if stream.uniform(i as u32) >= p.rate { x[i] * scale } else { T::ZERO };
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let range = part.block_items(p.len as usize / p.blocks as usize);
        let mask = Mask::new(args.input_words(1), p.layer, p.rate);
        let x = args.input_part(0, range.clone());
        simd::dispatch(Apply { mask, first: range.start, x, y: args.output(2, range) });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, blocks: usize, features: usize, layer: u32, rate: f32, x: f32| {
            let len = blocks * features * LANES;
            Case::new(
                format!("{name}: {blocks} blocks of {features}, rate {rate}"),
                Params { blocks: blocks as u32, len: len as u32, layer, rate },
                vec![
                    Fill::Uniform(len, -x, x),
                    Fill::Words(control::start(1, 7, 64, 32, 0, 0x1234_5678_9ABC_DEF0).to_vec()),
                    Fill::Output(len + 5),
                ],
            )
        };
        vec![
            case("smallest", 1, 1, 0, 0.5, 1.0),
            case("odd features", 3, 37, 5, 0.25, 1.0),
            case("even features", 2, 64, 1, 0.2, 1.0),
            case("nothing dropped", 2, 5, 2, 0.0, 1.0),
            case("nearly all dropped", 2, 501, 3, 0.99, 1.0),
            case("large numbers", 1, 9, 4, 0.1, 1e30),
        ]
    }
}
