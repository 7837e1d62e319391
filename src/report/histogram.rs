//! Histograms, and the grid of them that shows how a network's numbers move while it learns.
//!
//! The grid has a row for each epoch and a column for each layer. All cells of a column share the range of
//! values, so that a spread that grows or collapses can be seen; heights are each cell's own.

use serde::{Deserialize, Serialize};

use super::axis::{Axis, Scale, Unit};
use super::picture::{Area, HEADER, Letters, MARGIN, Picture, Stroke};
use super::theme::Paint;

/// How many values fell where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The low edge of the first bin.
    pub low: f64,
    /// The high edge of the last bin.
    pub high: f64,
    /// Of each bin; all are equally wide.
    pub counts: Vec<u64>,
    /// Mean of the values that are finite.
    #[serde(with = "super::numbers::one")]
    pub mean: f64,
    /// Their standard deviation, divided by how many they are.
    #[serde(with = "super::numbers::one")]
    pub deviation: f64,
    /// How many values were NaN or infinite and are in no bin.
    #[serde(default)]
    pub not_finite: u64,
}

impl Histogram {
    /// How many values are in bins.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn drawable(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.low < self.high && self.total() > 0
    }
}

/// The histogram of `values` from the least to the greatest finite one in `count` bins, as NumPy has it: the
/// last bin includes its high edge, equal values are in a range one wide about them, and none are in 0 to 1.
///
/// # Panics
/// If `count` is zero.
pub fn bins(values: &[f32], count: usize) -> Histogram {
    assert!(count > 0, "a histogram has at least one bin");
    let finite = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    let number = finite().count();
    let (mut low, mut high) = finite()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if number == 0 {
        (low, high) = (0.0, 1.0);
    } else if low == high {
        (low, high) = (low - 0.5, high + 0.5);
    }
    let mut counts = vec![0; count];
    for value in finite() {
        let place = (value - low) / (high - low) * count as f64;
        counts[(place as usize).min(count - 1)] += 1;
    }
    let mean = finite().sum::<f64>() / number as f64;
    let variance = finite().map(|value| (value - mean).powi(2)).sum::<f64>() / number as f64;
    let not_finite = (values.len() - number) as u64;
    Histogram { low, high, counts, mean, deviation: variance.sqrt(), not_finite }
}

/// Histograms of one kind of value over epochs and layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistogramGrid {
    /// What is counted, for instance `activations`.
    pub title: String,
    /// Name of each column: a layer.
    pub columns: Vec<String>,
    /// Name of each row: an epoch.
    pub rows: Vec<String>,
    /// `[rows][columns]`; `None` where nothing was recorded.
    pub cells: Vec<Vec<Option<Histogram>>>,
}

const CELL: (f64, f64) = (132.0, 58.0);
const GAP: (f64, f64) = (14.0, 10.0);
/// How far numbers may reach out of their column.
const EDGE: f64 = 3.0;
const ROWS: usize = 24;
const COLUMNS: usize = 8;

/// The grid as a picture. Of more than 24 rows or 8 columns an even choice is shown, with the first and the
/// last; the description says so.
pub fn draw(grid: &HistogramGrid) -> Picture {
    let (rows, columns) = (chosen(grid.rows.len(), ROWS), chosen(grid.columns.len(), COLUMNS));
    let letters = Letters::new(11.0, Paint::Muted);
    let names = rows.iter().map(|&row| letters.measure(&grid.rows[row])).fold(0.0, f64::max).min(110.0);
    let left = MARGIN + names + 12.0;
    let top = HEADER + 22.0;
    let bottom = top + rows.len() as f64 * (CELL.1 + GAP.1);
    let width = left + columns.len() as f64 * (CELL.0 + GAP.0) - GAP.0 + MARGIN;
    let mut picture = Picture::new(
        width.max(520.0),
        bottom - GAP.1 + 18.0 + MARGIN,
        &grid.title,
        &description(grid, &rows, &columns),
    );
    for (place, &row) in rows.iter().enumerate() {
        let middle = top + place as f64 * (CELL.1 + GAP.1) + CELL.1 / 2.0;
        let name = letters.fit(&grid.rows[row], names);
        picture.text(left - 12.0, middle + letters.drop(), &name, letters.end());
    }
    for (place, &column) in columns.iter().enumerate() {
        let x = left + place as f64 * (CELL.0 + GAP.0);
        let head = Letters::new(12.0, Paint::Text).medium().middle();
        let name = head.fit(&grid.columns[column], CELL.0);
        picture.text(x + CELL.0 / 2.0, HEADER + 12.0, &name, head);
        let cell = |row: usize| grid.cells.get(row)?.get(column)?.as_ref();
        let cells: Vec<Option<&Histogram>> = rows.iter().map(|&row| cell(row)).collect();
        column_into(&mut picture, (x, top), &cells);
    }
    picture
}

fn description(grid: &HistogramGrid, rows: &[usize], columns: &[usize]) -> String {
    let bins = grid.cells.iter().flatten().flatten().map(|cell| cell.counts.len()).max().unwrap_or(0);
    let mut text = format!(
        "{bins} bins, one range of values a column; heights are each cell's own, a bin that is cut has its share"
    );
    if rows.len() < grid.rows.len() {
        text += &format!("; {} of {} rows", rows.len(), grid.rows.len());
    }
    if columns.len() < grid.columns.len() {
        text += &format!("; {} of {} columns", columns.len(), grid.columns.len());
    }
    text
}

/// At most `limit` of `count` things, evenly, the first and the last among them.
fn chosen(count: usize, limit: usize) -> Vec<usize> {
    if count <= limit {
        return (0..count).collect();
    }
    (0..limit).map(|index| (index * (count - 1) + (limit - 1) / 2) / (limit - 1)).collect()
}

fn column_into(picture: &mut Picture, (x, top): (f64, f64), cells: &[Option<&Histogram>]) {
    let drawable = || cells.iter().flatten().filter(|cell| cell.drawable());
    let edges = drawable().flat_map(|cell| [cell.low, cell.high]);
    let axis = Axis::over(edges, Scale::Linear, Unit::Number, 4, false);
    let small = Letters::new(10.0, Paint::Muted);
    for (row, cell) in cells.iter().enumerate() {
        let area = Area::new(x, top + row as f64 * (CELL.1 + GAP.1), CELL.0, CELL.1);
        if let Some(cell) = cell {
            bars(picture, area, cell, &axis);
        } else {
            let (middle, centre) = area.centre();
            picture.text(middle, centre + small.drop(), "not recorded", small.middle());
        }
        let base = vec![(area.x, area.bottom()), (area.right(), area.bottom())];
        picture.line(base, Stroke::new(Paint::Muted, 1.0));
    }
    if drawable().next().is_some() {
        numbers(picture, (x, top + cells.len() as f64 * (CELL.1 + GAP.1) - GAP.1), &axis);
    }
}

/// Ticks below a column; a number that would run into the one before is left out.
fn numbers(picture: &mut Picture, (x, base): (f64, f64), axis: &Axis) {
    let letters = Letters::new(10.0, Paint::Muted);
    let mut taken = f64::NEG_INFINITY;
    for (value, label) in &axis.ticks {
        let Some(place) = axis.place(*value) else { continue };
        let across = x + place * CELL.0;
        let half = letters.measure(label) / 2.0;
        let centre = across.clamp(x + half - EDGE, x + CELL.0 - half + EDGE);
        if centre - half < taken {
            continue;
        }
        taken = centre + half + 5.0;
        picture.line(vec![(across, base), (across, base + 3.0)], Stroke::new(Paint::Muted, 1.0));
        picture.text(centre, base + 14.0, label, letters.middle());
    }
}

/// One cell. A bin that towers over all others is cut at the top and carries its share in numbers, so that
/// the others can be seen: half of what leaves a relu is zero.
fn bars(picture: &mut Picture, area: Area, cell: &Histogram, axis: &Axis) {
    let small = Letters::new(10.0, Paint::Text);
    if cell.not_finite > 0 {
        let text = format!("{} not finite", cell.not_finite);
        picture.text(area.right(), area.y + 8.0, &text, small.end());
    }
    let (Some(start), Some(end)) = (axis.place(cell.low), axis.place(cell.high)) else { return };
    if !cell.drawable() {
        return;
    }
    let (first, second) = two_largest(&cell.counts);
    let cut = second > 0 && first > 3 * second;
    let full = if cut { second as f64 * 1.3 } else { first as f64 };
    let (left, width) = (area.x + start * area.width, (end - start) * area.width / cell.counts.len() as f64);
    let mut points = vec![(left, area.bottom())];
    for (index, &count) in cell.counts.iter().enumerate() {
        let height = area.bottom() - (count as f64 / full).min(1.0) * area.height;
        points.push((left + index as f64 * width, height));
        points.push((left + (index + 1) as f64 * width, height));
        if cut && count == first {
            let share = format!("{:.0} %", 100.0 * first as f64 / cell.total() as f64);
            let at = left + (index as f64 + 0.5) * width;
            let to_the_left = at > area.centre().0;
            let letters = if to_the_left { small.end() } else { small };
            picture.text(at + if to_the_left { -4.0 } else { 4.0 }, area.y + 8.0, &share, letters);
        }
    }
    points.push((left + cell.counts.len() as f64 * width, area.bottom()));
    // A range far narrower than its column's would vanish between two pixels.
    if points.last().is_some_and(|last| last.0 - left < 1.0) {
        picture.line(vec![(left, area.bottom()), (left, area.y)], Stroke::new(Paint::Series(0), 1.5));
        return;
    }
    picture.polygon(points, Paint::Series(0), 0.35);
}

fn two_largest(counts: &[u64]) -> (u64, u64) {
    counts.iter().fold(
        (0, 0),
        |(first, second), &count| {
            if count > first { (count, first) } else { (first, second.max(count)) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_numpys() {
        let histogram = bins(&[0.0, 1.0, 2.0, 3.0, 4.0, f32::NAN, f32::INFINITY], 4);
        assert_eq!((histogram.low, histogram.high, histogram.not_finite), (0.0, 4.0, 2));
        assert_eq!(histogram.counts, [1, 1, 1, 2]);
        assert_eq!((histogram.mean, histogram.deviation), (2.0, 2f64.sqrt()));
        let same = bins(&[3.0; 7], 3);
        assert_eq!((same.low, same.high, same.counts), (2.5, 3.5, vec![0, 7, 0]));
        let none = bins(&[], 2);
        assert_eq!((none.low, none.high, none.counts), (0.0, 1.0, vec![0, 0]));
    }

    #[test]
    fn the_widest_range_of_f32_is_counted_whole() {
        let histogram = bins(&[f32::MIN, 0.0, f32::MAX], 100);
        assert_eq!((histogram.total(), histogram.counts[0], histogram.counts[99]), (3, 1, 1));
    }

    #[test]
    fn a_choice_has_both_ends() {
        assert_eq!(chosen(3, 24), [0, 1, 2]);
        let hundred = chosen(100, 24);
        assert_eq!((hundred.len(), hundred[0], hundred[23]), (24, 0, 99));
        assert!(hundred.is_sorted_by(|one, two| one < two));
        assert_eq!(chosen(25, 24).len(), 24);
    }
}
