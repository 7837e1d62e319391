//! Looks for NaN and infinity by their bits.

use super::case::{Case, Fill};
use super::real::Real;
use super::{Binding, Cost, DeviceClass, Formula, Kernel, Slot, params, read_activation, slots, write_words};

params! {
    /// Sizes and the place of the answer.
    Params {
        /// Values.
        len: u32,
        /// Pieces; the last ones may be short or empty.
        parts: u32,
        /// Where the answer for the first piece goes.
        out: u32,
    }
}

/// The answer for a piece in which every number is finite.
pub const NO_INDEX: u32 = u32::MAX;

/// See the shader for the formula.
pub struct FindNotFinite;

impl Formula for FindNotFinite {
    type Params = Params;
    const NAME: &'static str = "find_not_finite";
    const BINDINGS: &'static [Binding] = &[read_activation("values"), write_words("first")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let width = match class {
            DeviceClass::Gpu => 64,
            DeviceClass::Software => 8,
        };
        Kernel { constants: vec![("WIDTH", width)], grid: [p.parts, 1, 1] }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: 0, bytes: 4 * u64::from(p.len) }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [values, first] = slots(args);
        let (values, first) = (&values.real()[..p.len as usize], first.words());
        let each = p.len.div_ceil(p.parts) as usize;
        for part in 0..p.parts as usize {
            let piece = (part * each).min(values.len())..((part + 1) * each).min(values.len());
            let found = piece.clone().find(|&i| !values[i].to_f64().is_finite());
            first[p.out as usize + part] = found.map_or(NO_INDEX, |i| i as u32);
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, len: usize, parts: u32, out: u32, planted: &[(usize, f32)]| {
            let mut values: Vec<f32> = (0..len + 3).map(|i| (i as f32 - 7.0) * 0.37).collect();
            // What is behind does not count.
            values[len] = f32::NAN;
            planted.iter().for_each(|&(i, value)| values[i] = value);
            let p = Params { len: len as u32, parts, out };
            let words = (out + parts) as usize + 2;
            Case::new(
                format!("{name}: {len} values, {parts} parts"),
                p,
                vec![Fill::Values(values), Fill::OutputWords(words)],
            )
        };
        let finite = [(0, f32::MAX), (1, f32::MIN), (2, f32::MIN_POSITIVE), (3, 0.0), (4, -0.0)];
        vec![
            case("all finite", 4099, 64, 0, &finite),
            case("NaN", 65, 1, 3, &[(64, f32::NAN)]),
            case("both kinds of infinity", 1000, 7, 64, &[(0, f32::INFINITY), (999, f32::NEG_INFINITY)]),
            case("several in a piece", 300, 2, 1, &[(7, f32::NAN), (3, f32::INFINITY), (299, -f32::NAN)]),
            case("more parts than values", 3, 8, 0, &[(2, f32::NAN)]),
        ]
    }
}
