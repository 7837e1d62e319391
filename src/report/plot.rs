//! Line charts: values against epoch or step, several beside each other.

use serde::{Deserialize, Serialize};

use super::axis::{Axis, Scale, Unit};
use super::legend::Legend;
use super::picture::{Area, HEADER, Letters, MARGIN, Picture, Stroke};
use super::theme::{Paint, SERIES};
use super::trace;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// What the legend calls it.
    pub name: String,
    /// x and y in the order of x; where y is not finite the line is broken.
    #[serde(with = "super::numbers::points")]
    pub points: Vec<(f64, f64)>,
    /// Told apart by more than colour.
    #[serde(default)]
    pub dashed: bool,
}

impl Curve {
    /// A solid line.
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), points, dashed: false }
    }

    /// The same line in dashes.
    #[must_use]
    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }

    /// The last y that is finite.
    pub fn last(&self) -> Option<f64> {
        trace::last(&self.points)
    }
}

/// One chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinePlot {
    /// Stands above the chart.
    pub title: String,
    /// What x is, for instance `epoch`.
    pub x_label: String,
    /// What y is and in which unit, for instance `cross-entropy (nats)`.
    pub y_label: String,
    /// The lines, the first painted first.
    pub curves: Vec<Curve>,
    /// How y is spread.
    #[serde(default)]
    pub scale: Scale,
    /// What kind of number y is.
    #[serde(default)]
    pub unit: Unit,
}

/// Above this many curves a scale of colours replaces names.
pub(crate) const NAMED: usize = SERIES;

impl LinePlot {
    fn paint(&self, index: usize) -> Paint {
        match self.curves.len() {
            count if count <= NAMED => Paint::Series(index),
            count => Paint::Ramp(index as f64 / (count - 1) as f64),
        }
    }

    fn legend(&self, width: f64) -> Legend {
        let many = self.curves.len() > NAMED;
        let name = |curve: &Curve| if many { curve.name.clone() } else { trace::name(curve, self.unit) };
        let entries = self.curves.iter().enumerate();
        let entries = entries.map(|(index, curve)| (name(curve), self.paint(index), curve.dashed));
        Legend::new(entries.collect(), width)
    }
}

/// The plots beside each other, at most `columns` in a row.
pub fn draw(title: &str, description: &str, plots: &[LinePlot], columns: usize) -> Picture {
    const GAP: f64 = 28.0;
    const CHART: f64 = 284.0;
    const SPACE: f64 = 12.0;
    let columns = columns.clamp(1, plots.len().max(1));
    let width = if columns == 1 { 640.0 } else { 430.0 };
    let rows = plots.len().div_ceil(columns);
    let legends: Vec<Legend> = plots.iter().map(|plot| plot.legend(width)).collect();
    // One height for all, so that charts of a row stand on one line.
    let legend = legends.iter().map(Legend::height).fold(0.0, f64::max);
    let height = 24.0 + legend + SPACE + CHART;
    let mut picture = Picture::new(
        2.0 * MARGIN + columns as f64 * (width + GAP) - GAP,
        HEADER + rows as f64 * (height + GAP) - GAP + MARGIN,
        title,
        description,
    );
    for (index, (plot, entries)) in plots.iter().zip(&legends).enumerate() {
        let left = MARGIN + (index % columns) as f64 * (width + GAP);
        let top = HEADER + (index / columns) as f64 * (height + GAP);
        let letters = Letters::new(13.0, Paint::Text).medium();
        picture.text(left, top + 13.0, &letters.fit(&plot.title, width), letters);
        entries.draw(&mut picture, left, top + 24.0);
        chart(&mut picture, Area::new(left, top + 24.0 + legend + SPACE, width, CHART), plot);
    }
    picture
}

/// Axes and lines in `area`, which has room for the numbers.
fn chart(picture: &mut Picture, area: Area, plot: &LinePlot) {
    let points = || plot.curves.iter().flat_map(|curve| &curve.points);
    let shown = points().filter(|(x, y)| x.is_finite() && y.is_finite()).count();
    let x = Axis::over(points().map(|point| point.0), Scale::Linear, Unit::Whole, 6, false);
    let y = Axis::over(points().map(|point| point.1), plot.scale, plot.unit, 5, true);
    let letters = Letters::new(11.0, Paint::Muted);
    let numbers = y.ticks.iter().map(|(_, label)| letters.measure(label)).fold(0.0, f64::max);
    let left = 20.0 + numbers + 8.0;
    let inner = Area::new(area.x + left, area.y, area.width - left - 8.0, area.height - 38.0);

    for (value, label) in &y.ticks {
        let Some(place) = y.place(*value) else { continue };
        let height = inner.bottom() - place * inner.height;
        picture.line(vec![(inner.x, height), (inner.right(), height)], Stroke::new(Paint::Grid, 1.0));
        picture.text(inner.x - 8.0, height + letters.drop(), label, letters.end());
    }
    for (value, label) in &x.ticks {
        let Some(place) = x.place(*value) else { continue };
        let across = inner.x + place * inner.width;
        picture.line(
            vec![(across, inner.bottom()), (across, inner.bottom() + 4.0)],
            Stroke::new(Paint::Muted, 1.0),
        );
        picture.text(across, inner.bottom() + 17.0, label, letters.middle());
    }
    picture.line(
        vec![(inner.x, inner.bottom()), (inner.right(), inner.bottom())],
        Stroke::new(Paint::Muted, 1.0),
    );
    let (middle, centre) = inner.centre();
    picture.text(middle, inner.bottom() + 34.0, &plot.x_label, letters.middle());
    let y_label = if y.is_log() { format!("{}, log scale", plot.y_label) } else { plot.y_label.clone() };
    let y_label = letters.fit(&y_label, inner.height + 20.0);
    picture.text(area.x + 11.0, centre, &y_label, letters.middle().upwards());

    for (index, curve) in plot.curves.iter().enumerate() {
        if plot.curves.len() > NAMED {
            trace::draw_thin(picture, inner, curve, plot.paint(index), &x, &y);
        } else {
            trace::draw(picture, inner, curve, plot.paint(index), &x, &y);
        }
    }
    if shown == 0 {
        let message = if points().next().is_none() { "no values" } else { "no finite values" };
        picture.text(middle, centre, message, Letters::new(13.0, Paint::Muted).middle());
    }
}
