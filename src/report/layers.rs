//! How each layer fares while the network learns: mean, deviation and dead units over time.

use serde::{Deserialize, Serialize};

use super::axis::{Scale, Unit};
use super::picture::Picture;
use super::plot::{self, Curve, LinePlot};

/// Figures of one layer's outputs; each a value against epoch or step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerSeries {
    /// Name of the layer.
    pub layer: String,
    /// Mean over all units and images.
    #[serde(with = "super::numbers::points")]
    pub mean: Vec<(f64, f64)>,
    /// Standard deviation over the same.
    #[serde(with = "super::numbers::points")]
    pub deviation: Vec<(f64, f64)>,
    /// Share of units that are zero for every image, 0 to 1.
    #[serde(with = "super::numbers::points")]
    pub dead: Vec<(f64, f64)>,
}

/// The three figures beside each other. `x_label` is `epoch` or `step`.
pub fn draw(title: &str, x_label: &str, layers: &[LayerSeries]) -> Picture {
    let plot = |title: &str, y_label: &str, unit, points: fn(&LayerSeries) -> &Vec<(f64, f64)>| LinePlot {
        title: title.to_owned(),
        x_label: x_label.to_owned(),
        y_label: y_label.to_owned(),
        curves: layers.iter().map(|layer| Curve::new(&layer.layer, points(layer).clone())).collect(),
        scale: if unit == Unit::Percent { Scale::Linear } else { Scale::Auto },
        unit,
    };
    let plots = [
        plot("Mean", "mean output", Unit::Number, |layer| &layer.mean),
        plot("Deviation", "standard deviation", Unit::Number, |layer| &layer.deviation),
        plot("Dead units", "share of units", Unit::Percent, |layer| &layer.dead),
    ];
    plot::draw(title, "outputs of each layer; a dead unit is zero for every image", &plots, 3)
}
