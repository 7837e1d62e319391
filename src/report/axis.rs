//! From values to places along an axis, with ticks at round numbers.

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Logarithmic if all values are positive and the greatest is over 100 times the least.
    #[default]
    Auto,
    /// Equal steps are equal distances.
    Linear,
    /// Equal ratios are equal distances; values that are not positive are left out.
    Log,
}

/// What kind of number an axis shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Any number.
    #[default]
    Number,
    /// Whole numbers, such as epochs: no tick lies between two.
    Whole,
    /// Shares of one: an axis of them does not go beyond 0 and 1.
    Share,
    /// The same, written as percent.
    Percent,
}

/// Brings a finite value to where no range and no ratio of two overflows.
fn tame(value: f64) -> f64 {
    const LARGEST: f64 = 1e150;
    if value.abs() < 1.0 / LARGEST { 0.0 } else { value.clamp(-LARGEST, LARGEST) }
}

/// A range of values and where to write numbers along it.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Values from `low` to `high` with their labels.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis over the finite ones among `values`, with about `wanted` ticks. `rounded` widens it to the
    /// next ticks at both ends.
    pub(crate) fn over(
        values: impl Iterator<Item = f64>,
        scale: Scale,
        unit: Unit,
        wanted: usize,
        rounded: bool,
    ) -> Self {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).map(tame).collect();
        let positive = || values.iter().copied().filter(|&value| value > 0.0);
        let log = match scale {
            Scale::Linear => false,
            Scale::Log => positive().next().is_some(),
            Scale::Auto => {
                let (low, high) = range(values.iter().copied());
                low > 0.0 && high / low > 100.0
            }
        };
        if log {
            let (low, high) = range(positive());
            Self::log(low, high, wanted)
        } else {
            let (low, high) = if values.is_empty() { (0.0, 1.0) } else { range(values.iter().copied()) };
            Self::linear(low, high, unit, wanted, rounded)
        }
    }

    fn linear(low: f64, high: f64, unit: Unit, wanted: usize, rounded: bool) -> Self {
        let within = low >= 0.0 && high <= 1.0;
        // A range too narrow for f64 to count steps in is one value, and gets some room to stand in.
        let narrow = high - low <= f64::max(low.abs(), high.abs()) * 1e-9;
        let (mut low, mut high) = if !narrow {
            (low, high)
        } else if unit == Unit::Whole {
            let room = f64::max(1.0, low.abs() * 1e-6);
            (low - room, high + room)
        } else if matches!(unit, Unit::Share | Unit::Percent) && within {
            ((low - 0.1).max(0.0), (high + 0.1).min(1.0))
        } else {
            let room = if low == 0.0 { 0.5 } else { low.abs() * 0.1 };
            (low - room, high + room)
        };
        let mut step = round_step((high - low) / wanted.max(1) as f64);
        if unit == Unit::Whole {
            step = step.max(1.0);
        }
        if rounded {
            (low, high) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
        }
        if matches!(unit, Unit::Share | Unit::Percent) && within {
            (low, high) = (low.max(0.0), high.min(1.0));
        }
        let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
        let ticks = (0..=(last - first).clamp(0.0, 100.0) as u32)
            .map(|index| (first + f64::from(index)) * step)
            .map(|value| (value, label(value, step, unit)))
            .collect();
        Self { low, high, log: false, ticks }
    }

    fn log(low: f64, high: f64, wanted: usize) -> Self {
        let (mut first, mut last) = (low.log10().floor(), high.log10().ceil());
        if last <= first {
            (first, last) = (first - 1.0, last + 1.0);
        }
        let decades = last - first;
        let every = (decades / wanted.max(1) as f64).ceil().max(1.0);
        let between: &[f64] = if decades <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (bottom, top) = (10f64.powf(first), 10f64.powf(last));
        let ticks = (0..=(decades / every) as u32)
            .map(|index| 10f64.powf(first + f64::from(index) * every))
            .flat_map(|decade| between.iter().map(move |factor| decade * factor))
            .filter(|value| *value <= top * 1.001)
            .map(|value| (value, label(value, value, Unit::Number)))
            .collect();
        Self { low: bottom, high: top, log: true, ticks }
    }

    /// Whether equal ratios are equal distances.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// Where `value` is, 0 at the low end and 1 at the high end, of a value beyond an end that end; `None` if
    /// it has no place.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        if !value.is_finite() || (self.log && value <= 0.0) {
            return None;
        }
        let value = value.clamp(self.low, self.high);
        let place = if self.log {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        place.is_finite().then_some(place)
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// The least of 1, 2, 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let magnitude = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * magnitude >= least * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * magnitude
}

/// `value` with as many digits as tell it from the next tick, `step` away.
fn label(value: f64, step: f64, unit: Unit) -> String {
    let (value, step) = if unit == Unit::Percent { (value * 100.0, step * 100.0) } else { (value, step) };
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    let largest = value.abs();
    let text = if largest >= 1e7 || (largest > 0.0 && largest < 1e-4 && step < 1e-4) {
        scientific(value, step)
    } else {
        let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
        grouped(&format!("{value:.decimals$}"))
    };
    let text = text.replace('-', "−");
    if unit == Unit::Percent { format!("{text} %") } else { text }
}

fn scientific(value: f64, step: f64) -> String {
    let exponent = value.abs().log10().floor();
    let digits = (exponent - (step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    format!("{:.digits$}e{exponent}", value / 10f64.powf(exponent))
}

/// Thousands apart: `12,500`.
pub(crate) fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(rest) = rest {
        text.push('.');
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], scale: Scale, unit: Unit, rounded: bool) -> Vec<String> {
        let axis = Axis::over(values.iter().copied(), scale, unit, 5, rounded);
        axis.ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_told_apart() {
        let linear = |values: &[f64]| labels(values, Scale::Linear, Unit::Number, true);
        assert_eq!(linear(&[0.913, 0.992]), ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]);
        assert_eq!(linear(&[-1.0, 1.0]), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(linear(&[0.0, 45000.0]), ["0", "10,000", "20,000", "30,000", "40,000", "50,000"]);
        assert_eq!(linear(&[1e-7, 3e-7]), ["1.0e−7", "1.5e−7", "2.0e−7", "2.5e−7", "3.0e−7"]);
        assert_eq!(
            labels(&[0.1, 0.5], Scale::Linear, Unit::Percent, true),
            ["10 %", "20 %", "30 %", "40 %", "50 %"]
        );
    }

    #[test]
    fn shares_stay_between_none_and_all() {
        assert_eq!(
            labels(&[0.0], Scale::Linear, Unit::Percent, true),
            ["0 %", "2 %", "4 %", "6 %", "8 %", "10 %"]
        );
        assert_eq!(labels(&[1.0], Scale::Linear, Unit::Share, true).last().expect("has ticks"), "1.00");
        assert_eq!(
            labels(&[0.31, 0.999], Scale::Linear, Unit::Share, true).last().expect("has ticks"),
            "1.0"
        );
    }

    #[test]
    fn epochs_are_whole() {
        assert_eq!(labels(&[1.0, 3.0], Scale::Linear, Unit::Whole, false), ["1", "2", "3"]);
        assert_eq!(labels(&[1.0], Scale::Linear, Unit::Whole, false), ["0", "1", "2"]);
        assert_eq!(labels(&[1.0, 20.0], Scale::Linear, Unit::Whole, false), ["5", "10", "15", "20"]);
    }

    #[test]
    fn a_wide_range_of_positive_values_is_logarithmic() {
        assert_eq!(
            labels(&[0.003, 2.0], Scale::Auto, Unit::Number, true),
            ["0.001", "0.01", "0.1", "1", "10"]
        );
        let axis = Axis::over([0.001, 10.0].into_iter(), Scale::Auto, Unit::Number, 5, true);
        assert_eq!(axis.place(0.1), Some(0.5));
        assert_eq!((axis.place(0.0), axis.place(-1.0), axis.place(f64::NAN)), (None, None, None));
        assert!(!Axis::over([0.0, 9.0].into_iter(), Scale::Log, Unit::Number, 5, true).place(9.0).is_none());
        assert!(!Axis::over([-1.0].into_iter(), Scale::Log, Unit::Number, 5, true).is_log());
    }

    #[test]
    fn hostile_values_have_finite_places_and_few_ticks() {
        let cases: [&[f64]; 10] = [
            &[],
            &[0.0],
            &[f64::NAN, f64::INFINITY],
            &[-f64::MAX, f64::MAX],
            &[f64::MIN_POSITIVE, f64::MAX],
            &[1e15, 1e15 + 0.125],
            &[5e-324],
            &[-3.0, -3.0, -3.0],
            &[1e308, 1e308],
            &[1.0, f64::from_bits(1.0f64.to_bits() + 1)],
        ];
        for values in cases {
            for scale in [Scale::Auto, Scale::Linear, Scale::Log] {
                for unit in [Unit::Number, Unit::Whole, Unit::Share, Unit::Percent] {
                    for rounded in [false, true] {
                        let axis = Axis::over(values.iter().copied(), scale, unit, 5, rounded);
                        assert!(axis.ticks.len() <= 101, "{values:?}");
                        for (value, label) in &axis.ticks {
                            let place = axis
                                .place(*value)
                                .unwrap_or_else(|| panic!("{values:?}: {value} in {axis:?}"));
                            assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{values:?}: {value} at {place}");
                            assert!(label.len() < 24 && !label.contains("NaN"), "{values:?}: {label}");
                        }
                        for &value in values.iter().filter(|value| value.is_finite()) {
                            let place = axis.place(value);
                            assert!(
                                place.is_none_or(|place| (-0.01..=1.01).contains(&place)),
                                "{values:?}: {place:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
