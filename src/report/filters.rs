//! What the units of the first layer look for: their weights as images.

use serde::{Deserialize, Serialize};

use super::picture::{Area, Bitmap, HEADER, Letters, MARGIN, Picture, Stroke};
use super::sheet::inside;
use super::theme::Paint;

/// The weights of each unit of a layer that sees images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Filters {
    /// Name of the layer.
    pub layer: String,
    /// Rows of each filter.
    pub height: usize,
    /// Columns of each filter.
    pub width: usize,
    /// `[filter][height][width]`.
    #[serde(with = "super::numbers::rows")]
    pub weights: Vec<Vec<f32>>,
}

const GAP: f64 = 8.0;
const SHOWN: usize = 128;

/// The filters as a picture: one colour for positive weights and one for negative, as strong as the weight is
/// large; one scale for all.
pub fn draw(title: &str, filters: &Filters) -> Picture {
    let shown = filters.weights.len().min(SHOWN);
    let side = match filters.height.max(filters.width) {
        0..=7 => 54.0,
        _ => 84.0,
    };
    let columns = columns(shown);
    let rows = shown.div_ceil(columns);
    let mut picture = Picture::new(
        f64::max(2.0 * MARGIN + columns as f64 * (side + GAP) - GAP, 460.0),
        HEADER + 30.0 + rows as f64 * (side + GAP) - GAP + MARGIN,
        title,
        &description(filters, shown),
    );
    let largest = largest(&filters.weights[..shown]);
    scale(&mut picture, largest);
    for (index, weights) in filters.weights[..shown].iter().enumerate() {
        let area = Area::new(
            MARGIN + (index % columns) as f64 * (side + GAP),
            HEADER + 30.0 + (index / columns) as f64 * (side + GAP),
            side,
            side,
        );
        let paints = weights.iter().map(|&weight| Paint::Diverging(f64::from(weight) / largest)).collect();
        let image = inside(area, filters.height, filters.width);
        picture.bitmap(image, Bitmap::new(filters.height, filters.width, paints));
        picture.frame(area, Stroke::new(Paint::Grid, 1.0));
    }
    picture
}

/// About three columns to two rows, and full rows if that can be.
fn columns(count: usize) -> usize {
    let about = ((count as f64 * 1.6).sqrt().ceil() as usize).max(1);
    (about..=about + about / 3).find(|columns| count.is_multiple_of(*columns)).unwrap_or(about)
}

fn description(filters: &Filters, shown: usize) -> String {
    let Filters { layer, height, width, weights } = filters;
    let size = format!("{layer}: {} filters of {height}x{width}", weights.len());
    if shown < weights.len() { format!("{size}, the first {shown} shown") } else { size }
}

fn largest(weights: &[Vec<f32>]) -> f64 {
    let finite = weights.iter().flatten().filter(|weight| weight.is_finite());
    let largest = finite.fold(0.0, |largest, weight| f64::max(largest, f64::from(weight.abs())));
    if largest > 0.0 { largest } else { 1.0 }
}

/// The bar that says which weight has which colour.
fn scale(picture: &mut Picture, largest: f64) {
    const BAR: f64 = 160.0;
    const STEPS: u32 = 80;
    let letters = Letters::new(11.0, Paint::Muted);
    let (top, base) = (HEADER + 1.0, HEADER + 6.0 + letters.drop());
    let low = format!("−{}", short(largest));
    let start = MARGIN + letters.measure(&low) + 8.0;
    picture.text(MARGIN, base, &low, letters);
    // Each piece reaches to the end and the next covers it, since pieces side by side show seams.
    for step in 0..STEPS {
        let share = f64::from(step) / f64::from(STEPS - 1);
        let covered = f64::from(step) * BAR / f64::from(STEPS);
        let piece = Area::new(start + covered, top, BAR - covered, 10.0);
        picture.rect(piece, Paint::Diverging(2.0 * share - 1.0));
    }
    picture.text(start + BAR + 8.0, base, &format!("{} weight", short(largest)), letters);
}

fn short(value: f64) -> String {
    if (0.01..1000.0).contains(&value) {
        format!("{value:.2}")
    } else {
        format!("{value:.1e}").replace('-', "−")
    }
}
