//! The confusion matrix: a row for each true class, a column for each answer.
//!
//! A cell's colour is its share of its row, spread by a square root so that a handful of mistakes among a
//! thousand right answers shows. Recall stands at the end of each row, precision below each column.

use super::axis::grouped;
use super::picture::{Area, HEADER, Letters, MARGIN, Picture};
use super::theme::{Heat, Paint};

/// How one class fared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassFigures {
    /// Of those called this class, the share that was; NaN if none was called so.
    pub precision: f64,
    /// Of this class, the share that was called so; NaN if there is none.
    pub recall: f64,
    /// The harmonic mean of both; NaN if either is.
    pub f1: f64,
    /// How many of this class there are.
    pub count: u64,
}

/// Precision and recall of each class of `counts`, `[label][answer]`.
pub fn per_class(counts: &[Vec<u64>]) -> Vec<ClassFigures> {
    let classes = classes(counts);
    let share = |part: u64, whole: u64| if whole == 0 { f64::NAN } else { part as f64 / whole as f64 };
    (0..classes)
        .map(|class| {
            let right = at(counts, class, class);
            let count = (0..classes).map(|answer| at(counts, class, answer)).sum();
            let called = (0..classes).map(|label| at(counts, label, class)).sum();
            let (precision, recall) = (share(right, called), share(right, count));
            let f1 =
                if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) };
            ClassFigures { precision, recall, f1, count }
        })
        .collect()
}

/// The name of `class`, or its number where `names` does not reach.
pub(crate) fn class_name(names: &[String], class: usize) -> String {
    names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn classes(counts: &[Vec<u64>]) -> usize {
    counts.iter().map(Vec::len).chain([counts.len()]).max().unwrap_or(0)
}

fn at(counts: &[Vec<u64>], label: usize, answer: usize) -> u64 {
    counts.get(label).and_then(|row| row.get(answer)).copied().unwrap_or(0)
}

/// The matrix `counts`, `[label][answer]`, as a picture.
pub fn draw(title: &str, counts: &[Vec<u64>], names: &[String]) -> Picture {
    let layout = Layout::new(counts, names);
    let mut picture = Picture::new(layout.width(), layout.height(), title, &description(counts));
    layout.headings(&mut picture);
    for label in 0..layout.classes {
        let total: u64 = (0..layout.classes).map(|answer| at(counts, label, answer)).sum();
        for answer in 0..layout.classes {
            let count = at(counts, label, answer);
            layout.cell(&mut picture, (label, answer), count, count as f64 / total.max(1) as f64);
        }
    }
    layout.figures(&mut picture, &per_class(counts));
    picture
}

fn description(counts: &[Vec<u64>]) -> String {
    let total: u64 = counts.iter().flatten().sum();
    let right: u64 = (0..classes(counts)).map(|class| at(counts, class, class)).sum();
    let share = if total == 0 { 0.0 } else { 100.0 * right as f64 / total as f64 };
    format!(
        "{} of {} right ({share:.2} %); blue right, orange wrong, by share of the row",
        grouped(&right.to_string()),
        grouped(&total.to_string())
    )
}

const PRECISION: &str = "precision %";

struct Layout {
    classes: usize,
    names: Vec<String>,
    /// Side of a cell.
    cell: f64,
    /// Where the first cell is.
    left: f64,
    top: f64,
    numbers: Letters,
    labels: Letters,
    /// Names above the columns read upwards, being wider than a cell.
    upwards: bool,
}

impl Layout {
    fn new(counts: &[Vec<u64>], names: &[String]) -> Self {
        let classes = classes(counts);
        let size = if classes <= 12 { 12.0 } else { 10.0 };
        let numbers = Letters::new(size, Paint::Text).middle();
        let labels = Letters::new(size, Paint::Text);
        let widest = counts.iter().flatten().max().copied().unwrap_or(0).to_string();
        let least = if classes <= 12 { 40.0 } else { 25.0 };
        let cell = f64::max(least, numbers.measure(&widest) + 7.0);
        let names: Vec<String> =
            (0..classes).map(|class| labels.fit(&class_name(names, class), 110.0)).collect();
        let head = Letters::new(11.0, Paint::Muted);
        let longest = names.iter().map(|name| labels.measure(name)).fold(0.0, f64::max);
        let upwards = longest > cell - 4.0;
        Self {
            classes,
            cell,
            left: MARGIN + f64::max(22.0 + longest, head.measure(PRECISION)) + 8.0,
            top: HEADER + 18.0 + if upwards { longest + 8.0 } else { 20.0 },
            names,
            numbers,
            labels,
            upwards,
        }
    }

    fn side(&self) -> f64 {
        self.classes as f64 * self.cell
    }

    /// Room for `99.9 %` beside and below the cells.
    fn figure(&self) -> f64 {
        f64::max(self.cell, self.numbers.measure("100 %") + 8.0)
    }

    fn width(&self) -> f64 {
        f64::max(self.left + self.side() + 10.0 + self.figure() + MARGIN, 420.0)
    }

    fn height(&self) -> f64 {
        self.top + self.side() + 10.0 + if self.tight() { self.figure() } else { 22.0 } + 4.0 + MARGIN
    }

    /// Whether figures below the columns must read upwards.
    fn tight(&self) -> bool {
        self.numbers.measure("99.9") + 4.0 > self.cell
    }

    fn place(&self, class: usize) -> f64 {
        (class as f64 + 0.5) * self.cell
    }

    fn headings(&self, picture: &mut Picture) {
        let axis = Letters::new(12.0, Paint::Muted).middle();
        picture.text(self.left + self.side() / 2.0, HEADER + 8.0, "answer", axis);
        picture.text(MARGIN + 10.0, self.top + self.side() / 2.0, "label", axis.upwards());
        for (class, name) in self.names.iter().enumerate() {
            let across = self.left + self.place(class);
            if self.upwards && name.chars().count() > 2 {
                let letters = self.labels.upwards();
                picture.text(across + letters.drop(), self.top - 7.0, name, letters);
            } else {
                picture.text(across, self.top - 8.0, name, self.labels.middle());
            }
            let down = self.top + self.place(class) + self.labels.drop();
            picture.text(self.left - 8.0, down, name, self.labels.end());
        }
    }

    fn cell(&self, picture: &mut Picture, (label, answer): (usize, usize), count: u64, share: f64) {
        let heat = if label == answer { Heat::Right } else { Heat::Wrong };
        let area = Area::new(
            self.left + answer as f64 * self.cell + 0.5,
            self.top + label as f64 * self.cell + 0.5,
            self.cell - 1.0,
            self.cell - 1.0,
        );
        let strength = match (heat, count) {
            (_, 0) => 0.0,
            (Heat::Right, _) => 0.12 + 0.8 * share,
            (Heat::Wrong, _) => 0.12 + 0.88 * (5.0 * share).sqrt().min(1.0),
        };
        if count == 0 {
            // As faint as a grid line, so that rows and columns can be followed through empty cells.
            picture.rect(area, Paint::Grid);
            let inner = Area::new(area.x + 0.75, area.y + 0.75, area.width - 1.5, area.height - 1.5);
            picture.rect(inner, Paint::Page);
            return;
        }
        picture.rect(area, Paint::Heat(heat, strength));
        let letters = Letters { paint: Paint::OnHeat(heat, strength), ..self.numbers };
        let (middle, centre) = area.centre();
        picture.text(middle, centre + letters.drop(), &count.to_string(), letters);
    }

    fn figures(&self, picture: &mut Picture, figures: &[ClassFigures]) {
        let letters = Letters { paint: Paint::Muted, ..self.numbers };
        let right = self.left + self.side() + 10.0;
        let below = self.top + self.side() + 10.0;
        let head = Letters::new(11.0, Paint::Muted);
        picture.text(right + self.figure() / 2.0, self.top - 8.0, "recall %", head.middle());
        picture.text(self.left - 8.0, below + 12.0, PRECISION, head.end());
        for (class, figure) in figures.iter().enumerate() {
            let middle = self.top + self.place(class) + letters.drop();
            picture.text(right + self.figure() / 2.0, middle, &percent(figure.recall), letters);
            let (across, text) = (self.left + self.place(class), percent(figure.precision));
            if self.tight() {
                picture.text(across + letters.drop(), below, &text, letters.end().upwards());
            } else {
                picture.text(across, below + 12.0, &text, letters);
            }
        }
    }
}

fn percent(share: f64) -> String {
    match share {
        _ if share.is_nan() => "–".to_owned(),
        1.0 => "100".to_owned(),
        // Never rounded up to a perfection that is not there.
        _ => format!("{:.1}", (share * 1000.0).floor() / 10.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_matrix() {
        let figures = per_class(&[vec![8, 2, 0], vec![0, 5, 0], vec![0, 0, 0]]);
        assert_eq!((figures[0].precision, figures[0].recall, figures[0].count), (1.0, 0.8, 10));
        assert_eq!((figures[1].precision, figures[1].recall), (5.0 / 7.0, 1.0));
        assert!((figures[1].f1 - 10.0 / 12.0).abs() < 1e-12);
        assert!(figures[2].precision.is_nan() && figures[2].recall.is_nan() && figures[2].f1.is_nan());
    }

    #[test]
    fn a_ragged_matrix_is_filled_with_zeros() {
        assert_eq!(per_class(&[vec![1, 2, 3], vec![]]).len(), 3);
        assert_eq!(per_class(&[]).len(), 0);
    }

    #[test]
    fn almost_all_is_not_all() {
        assert_eq!([1.0, 0.99999, 0.0, f64::NAN].map(percent), ["100", "99.9", "0.0", "–"]);
    }
}
