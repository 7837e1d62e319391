//! One curve on its axes: broken where a value is missing, dotted while few, smoothed where many.

use super::axis::{Axis, Unit};
use super::picture::{Area, Picture, Stroke};
use super::plot::Curve;
use super::theme::Paint;

/// Up to this many points each gets a dot.
const DOTTED: usize = 40;

/// Above this many points a running mean is drawn over the values.
const NOISY: usize = 400;

/// What the legend says: the name, the last value that is a number, and the smoothing if there is any.
pub(crate) fn name(curve: &Curve, unit: Unit) -> String {
    let window = window(curve.points.len());
    let last = if window == 1 { curve.last() } else { last(&running_mean(&curve.points, window)) };
    let smoothing = if window == 1 { String::new() } else { format!(" (mean of {window})") };
    match last {
        Some(last) if unit == Unit::Percent => format!("{}: {:.1} %{smoothing}", curve.name, 100.0 * last),
        Some(last) => format!("{}: {}{smoothing}", curve.name, rounded(last)),
        None => curve.name.clone(),
    }
}

/// The last y that is finite.
pub(crate) fn last(points: &[(f64, f64)]) -> Option<f64> {
    points.iter().rev().map(|point| point.1).find(|y| y.is_finite())
}

/// Four digits that count, and no more than four after the point.
fn rounded(value: f64) -> String {
    let text = match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.2e}"),
        size if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    };
    text.replace('-', "−")
}

fn window(points: usize) -> usize {
    if points > NOISY { (points / 40).clamp(10, 1000) } else { 1 }
}

pub(crate) fn draw(picture: &mut Picture, area: Area, curve: &Curve, paint: Paint, x: &Axis, y: &Axis) {
    let place = |points: &[(f64, f64)]| place(points, area, x, y);
    let stroke = Stroke { dashed: curve.dashed, ..Stroke::new(paint, 2.0) };
    let window = window(curve.points.len());
    if window > 1 {
        for piece in place(&curve.points) {
            picture.line(thinned(&piece), Stroke { opacity: 0.3, ..Stroke::new(paint, 1.0) });
        }
        for piece in place(&running_mean(&curve.points, window)) {
            picture.line(thinned(&piece), stroke);
        }
        return;
    }
    for piece in place(&curve.points) {
        if curve.points.len() <= DOTTED || piece.len() == 1 {
            for &(x, y) in &piece {
                picture.dot(x, y, 2.6, paint);
            }
        }
        picture.line(thinned(&piece), stroke);
    }
}

/// One of very many curves: a thin line.
pub(crate) fn draw_thin(picture: &mut Picture, area: Area, curve: &Curve, paint: Paint, x: &Axis, y: &Axis) {
    for piece in place(&curve.points, area, x, y) {
        if let &[(x, y)] = piece.as_slice() {
            picture.dot(x, y, 1.6, paint);
        }
        picture.line(thinned(&piece), Stroke::new(paint, 1.2));
    }
}

/// The unbroken pieces of the curve, in the units of the picture.
fn place(points: &[(f64, f64)], area: Area, x: &Axis, y: &Axis) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = vec![Vec::new()];
    for &(at, value) in points {
        match (x.place(at), y.place(value)) {
            (Some(across), Some(up)) => {
                let point = (area.x + across * area.width, area.bottom() - up * area.height);
                pieces.last_mut().expect("has one at least").push(point);
            }
            _ => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// At most four points for each unit across: the first, the least, the greatest and the last there.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for group in points.chunk_by(|one, two| one.0.floor() == two.0.floor()) {
        if group.len() <= 4 {
            kept.extend_from_slice(group);
            continue;
        }
        let by_height = |one: &&(f64, f64), two: &&(f64, f64)| one.1.total_cmp(&two.1);
        let ends =
            [group.first(), group.iter().min_by(by_height), group.iter().max_by(by_height), group.last()];
        kept.extend(ends.into_iter().flatten());
    }
    kept
}

/// The mean of the `window` values up to a point, where all are finite; of fewer at the beginning. Of very
/// many points about a thousand get one, the last among them.
fn running_mean(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let every = (points.len() / 1000).max(1);
    let mean = |end: usize| {
        let values = &points[(end + 1).saturating_sub(window)..=end];
        (points[end].0, values.iter().map(|point| point.1 / values.len() as f64).sum::<f64>())
    };
    (0..points.len()).rev().step_by(every).map(mean).rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_runs_and_is_nan_only_near_nan() {
        let mut points: Vec<(f64, f64)> = (0..6).map(|x| (f64::from(x), f64::from(x))).collect();
        let means = |points: &[(f64, f64)]| {
            running_mean(points, 2).into_iter().map(|point| point.1).collect::<Vec<_>>()
        };
        assert_eq!(means(&points), [0.0, 0.5, 1.5, 2.5, 3.5, 4.5]);
        points[2].1 = f64::NAN;
        assert_eq!(
            means(&points).iter().map(|mean| mean.is_nan()).collect::<Vec<_>>(),
            [false, false, true, true, false, false]
        );
    }

    #[test]
    fn thinning_keeps_extremes() {
        let points: Vec<(f64, f64)> =
            (0..100_000).map(|i| (f64::from(i) / 1e5, f64::from(i % 997))).collect();
        let kept = thinned(&points);
        assert_eq!(kept.len(), 4);
        assert!(kept.iter().any(|point| point.1 == 996.0) && kept.iter().any(|point| point.1 == 0.0));
    }

    #[test]
    fn a_legend_tells_the_last_finite_value() {
        let curve = Curve::new("training", vec![(1.0, 0.5), (2.0, 0.25), (3.0, f64::NAN)]);
        assert_eq!(name(&curve, Unit::Number), "training: 0.2500");
        assert_eq!(name(&curve, Unit::Percent), "training: 25.0 %");
        assert_eq!(name(&Curve::new("training", vec![]), Unit::Number), "training");
        assert_eq!(rounded(-1.25e-7), "−1.25e−7");
    }
}
