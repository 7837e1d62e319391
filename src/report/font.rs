//! The font that pictures are measured and rasterised with: Roboto, shipped in `assets/fonts`, since a
//! machine without a screen seldom has any.
//!
//! An SVG asks for Roboto and names the usual fonts of about the same widths after it.

use ttf_parser::{Face, GlyphId, OutlineBuilder};

const REGULAR: &[u8] = include_bytes!("../../assets/fonts/Roboto-Regular.ttf");
const MEDIUM: &[u8] = include_bytes!("../../assets/fonts/Roboto-Medium.ttf");

/// What CSS calls the font, and what to take where it is missing.
pub(crate) const FAMILY: &str = "Roboto, 'Helvetica Neue', Helvetica, Arial, sans-serif";

/// How much wider letters may be where an SVG falls back on DejaVu Sans: room to leave between texts that would
/// otherwise touch.
pub(crate) const WIDER: f64 = 1.16;

/// How heavy letters are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weight {
    /// For everything but titles.
    #[default]
    Regular,
    /// For titles.
    Medium,
}

impl Weight {
    /// The number that CSS has for it.
    pub(crate) fn css(self) -> u32 {
        match self {
            Self::Regular => 400,
            Self::Medium => 500,
        }
    }

    /// `None` only if the shipped file is damaged; text is then measured by guess and not rasterised.
    fn face(self) -> Option<Face<'static>> {
        let bytes = match self {
            Self::Regular => REGULAR,
            Self::Medium => MEDIUM,
        };
        Face::parse(bytes, 0).ok()
    }
}

/// The width of `text` in the unit of `size`.
pub(crate) fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let Some(face) = weight.face() else { return text.chars().count() as f64 * size * 0.56 };
    let units: f64 = text.chars().map(|letter| advance(&face, letter)).sum();
    units * size / f64::from(face.units_per_em())
}

/// `text`, or as much of it as fits `limit` with an ellipsis in place of the middle: names of runs differ at
/// their ends.
pub(crate) fn fit(text: &str, size: f64, weight: Weight, limit: f64) -> String {
    if width(text, size, weight) <= limit {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    for kept in (1..letters.len()).rev() {
        let tail = kept / 2;
        let shortened: String = letters[..kept - tail]
            .iter()
            .chain(['…'].iter())
            .chain(letters[letters.len() - tail..].iter())
            .collect();
        if width(&shortened, size, weight) <= limit {
            return shortened;
        }
    }
    "…".to_owned()
}

/// Sends the outlines of `text` to `pen`: each point in the unit of `size`, y downwards, the first letter's
/// origin at (0, 0).
pub(crate) fn outline(text: &str, size: f64, weight: Weight, pen: &mut impl OutlineBuilder) {
    let Some(face) = weight.face() else { return };
    let scale = size / f64::from(face.units_per_em());
    let mut x = 0.0;
    for letter in text.chars() {
        let mut placed = Placed { pen: &mut *pen, scale: scale as f32, x: (x * scale) as f32 };
        let _ = face.outline_glyph(glyph(&face, letter), &mut placed);
        x += advance(&face, letter);
    }
}

fn glyph(face: &Face<'_>, letter: char) -> GlyphId {
    face.glyph_index(letter).unwrap_or_default()
}

fn advance(face: &Face<'_>, letter: char) -> f64 {
    f64::from(face.glyph_hor_advance(glyph(face, letter)).unwrap_or(0))
}

/// A glyph's own coordinates, y upwards, brought to a place in a line of text.
struct Placed<'a, Pen> {
    pen: &'a mut Pen,
    scale: f32,
    x: f32,
}

impl<Pen: OutlineBuilder> OutlineBuilder for Placed<'_, Pen> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.pen.move_to(self.x + x * self.scale, -y * self.scale);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.pen.line_to(self.x + x * self.scale, -y * self.scale);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (scale, left) = (self.scale, self.x);
        self.pen.quad_to(left + x1 * scale, -y1 * scale, left + x * scale, -y * scale);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (scale, left) = (self.scale, self.x);
        self.pen.curve_to(
            left + x1 * scale,
            -y1 * scale,
            left + x2 * scale,
            -y2 * scale,
            left + x * scale,
            -y * scale,
        );
    }

    fn close(&mut self) {
        self.pen.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_fonts_with_the_letters_we_use() {
        for weight in [Weight::Regular, Weight::Medium] {
            let face = weight.face().expect("is shipped");
            for letter in ('!'..='~').chain("…×−±·–äß≤≥σ%".chars()) {
                assert!(face.glyph_index(letter).is_some(), "{weight:?} lacks {letter:?}");
            }
        }
    }

    #[test]
    fn what_is_too_long_keeps_both_ends() {
        let text = "mlp-50x100-20261122-114501";
        let short = fit(text, 12.0, Weight::Regular, 90.0);
        assert!(width(&short, 12.0, Weight::Regular) <= 90.0);
        assert!(short.starts_with("mlp-5") && short.ends_with("4501"), "{short}");
        assert_eq!(fit("a", 12.0, Weight::Regular, 90.0), "a");
        assert_eq!(fit("abc", 12.0, Weight::Regular, 0.0), "…");
        assert_eq!(fit("", 12.0, Weight::Regular, 0.0), "");
    }
}
