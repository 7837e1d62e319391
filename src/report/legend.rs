//! Which line is which.

use super::font::WIDER;
use super::picture::{Area, Letters, Picture, Stroke};
use super::plot::NAMED;
use super::theme::Paint;

const ROW: f64 = 18.0;
const SAMPLE: f64 = 22.0;
const LETTERS: Letters = Letters {
    size: 12.0,
    paint: Paint::Text,
    weight: super::font::Weight::Regular,
    anchor: super::picture::Anchor::Start,
    upwards: false,
};

/// Entries laid out in rows, or, where they are too many to name, a scale of colours from first to last.
pub(crate) struct Legend {
    entries: Vec<(String, Paint, bool)>,
    /// Of each entry, from the left top of the legend.
    places: Vec<(f64, f64)>,
    width: f64,
}

impl Legend {
    /// `entries` are name, colour and whether the line is dashed.
    pub(crate) fn new(mut entries: Vec<(String, Paint, bool)>, width: f64) -> Self {
        let (mut x, mut y) = (0.0, 0.0);
        let mut places = Vec::new();
        for (name, _, _) in &mut entries {
            *name = LETTERS.fit(name, (width - SAMPLE - 6.0) / WIDER);
            let needed = SAMPLE + 6.0 + LETTERS.measure(name) * WIDER;
            if x > 0.0 && x + needed > width {
                (x, y) = (0.0, y + ROW);
            }
            places.push((x, y));
            x += needed + 18.0;
        }
        Self { entries, places, width }
    }

    pub(crate) fn height(&self) -> f64 {
        match self.entries.len() {
            0 => 0.0,
            1..=NAMED => self.places.last().map_or(0.0, |place| place.1) + ROW,
            _ => ROW,
        }
    }

    pub(crate) fn draw(&self, picture: &mut Picture, left: f64, top: f64) {
        if self.entries.len() > NAMED {
            self.scale(picture, left, top);
            return;
        }
        for ((name, paint, dashed), (x, y)) in self.entries.iter().zip(&self.places) {
            let middle = top + y + ROW / 2.0;
            let stroke = Stroke { dashed: *dashed, ..Stroke::new(*paint, 2.5) };
            picture.line(vec![(left + x, middle), (left + x + SAMPLE, middle)], stroke);
            picture.text(left + x + SAMPLE + 6.0, middle + LETTERS.drop(), name, LETTERS);
        }
    }

    fn scale(&self, picture: &mut Picture, left: f64, top: f64) {
        const BAR: f64 = 120.0;
        const STEPS: u32 = 60;
        let middle = top + ROW / 2.0;
        let room = (self.width - BAR - 16.0) / 2.0;
        let name = |index: usize| LETTERS.fit(&self.entries[index].0, room);
        let first = name(0);
        let start = left + LETTERS.measure(&first) + 8.0;
        picture.text(left, middle + LETTERS.drop(), &first, LETTERS);
        // Each piece reaches to the end and the next covers it, since pieces side by side show seams.
        for step in 0..STEPS {
            let share = f64::from(step) / f64::from(STEPS);
            let piece = Area::new(start + share * BAR, middle - 5.0, (1.0 - share) * BAR, 10.0);
            picture.rect(piece, Paint::Ramp(share));
        }
        picture.text(start + BAR + 8.0, middle + LETTERS.drop(), &name(self.entries.len() - 1), LETTERS);
    }
}
