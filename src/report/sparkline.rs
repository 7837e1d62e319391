//! A curve in one line of text.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// `values` in at most `width` characters, from the least to the greatest finite one; longer series are
/// averaged in equal pieces. A piece with a value that is not finite is `!`.
pub fn sparkline(values: &[f64], width: usize, unicode: bool) -> String {
    let levels = if unicode { BLOCKS } else { ASCII };
    let count = values.len().min(width);
    let means: Vec<f64> = (0..count)
        .map(|piece| &values[piece * values.len() / count..(piece + 1) * values.len() / count])
        .map(|piece| piece.iter().map(|value| value / piece.len() as f64).sum())
        .collect();
    let finite = || means.iter().copied().filter(|mean| mean.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let level = |mean: &f64| {
        if !mean.is_finite() {
            return '!';
        }
        // Halves, since the difference of the two largest numbers is infinite.
        let place = (mean / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
        levels[if place.is_finite() { (place * 7.0).round() as usize } else { 3 }]
    };
    means.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_course() {
        let falling: Vec<f64> = (0..8).rev().map(f64::from).collect();
        assert_eq!(sparkline(&falling, 8, true), "█▇▆▅▄▃▂▁");
        assert_eq!(sparkline(&falling, 4, true), "█▆▃▁");
        assert_eq!(sparkline(&falling, 8, false), "#*+=-:._");
        assert_eq!(sparkline(&[1.0, f64::NAN, 0.0, f64::INFINITY], 9, true), "█!▁!");
    }

    #[test]
    fn nothing_one_thing_and_the_same_thing() {
        assert_eq!(sparkline(&[], 8, true), "");
        assert_eq!(sparkline(&[1.0], 0, true), "");
        assert_eq!(sparkline(&[2.0; 3], 8, true), "▄▄▄");
        assert_eq!(sparkline(&[-f64::MAX, f64::MAX], 8, true), "▁█");
        assert_eq!(sparkline(&[f64::NAN], 8, true), "!");
    }
}
