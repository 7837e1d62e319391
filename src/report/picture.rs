//! A picture as a list of shapes, before it is an SVG or a PNG.
//!
//! Units are CSS pixels, y downwards. Shapes name paints, not colours, so one picture serves both themes.
//! *No shape holds a number that is not finite:* [`Picture`] leaves such a shape out.

use super::font::{self, Weight};
use super::theme::{Paint, Theme};
use super::{raster, svg};

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    pub(crate) fn new(x: f64, y: f64, width: f64, height: f64) -> Self {
        Self { x, y, width, height }
    }

    pub(crate) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.height
    }

    pub(crate) fn centre(&self) -> (f64, f64) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }
}

/// Which point of a text its x is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How letters look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Letters {
    pub(crate) size: f64,
    pub(crate) paint: Paint,
    pub(crate) weight: Weight,
    pub(crate) anchor: Anchor,
    /// Turned to read upwards.
    pub(crate) upwards: bool,
}

impl Letters {
    pub(crate) const fn new(size: f64, paint: Paint) -> Self {
        Self { size, paint, weight: Weight::Regular, anchor: Anchor::Start, upwards: false }
    }

    pub(crate) const fn medium(self) -> Self {
        Self { weight: Weight::Medium, ..self }
    }

    pub(crate) const fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    pub(crate) const fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    pub(crate) const fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }

    /// The width of `text` in these letters.
    pub(crate) fn measure(&self, text: &str) -> f64 {
        font::width(text, self.size, self.weight)
    }

    /// As much of `text` as fits.
    pub(crate) fn fit(&self, text: &str, limit: f64) -> String {
        font::fit(text, self.size, self.weight, limit)
    }

    /// How far below the middle of a capital its baseline is.
    pub(crate) fn drop(&self) -> f64 {
        self.size * 0.355
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    pub(crate) paint: Paint,
    pub(crate) width: f64,
    pub(crate) opacity: f64,
    pub(crate) dashed: bool,
}

impl Stroke {
    pub(crate) fn new(paint: Paint, width: f64) -> Self {
        Self { paint, width, opacity: 1.0, dashed: false }
    }
}

/// A small image whose pixels are drawn as squares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bitmap {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// `[rows][columns]`.
    pub(crate) paints: Vec<Paint>,
}

impl Bitmap {
    /// Nothing at all if the sizes do not multiply to the number of pixels: they come from files.
    pub(crate) fn new(rows: usize, columns: usize, paints: Vec<Paint>) -> Self {
        if rows.checked_mul(columns) == Some(paints.len()) {
            Self { rows, columns, paints }
        } else {
            Self { rows: 0, columns: 0, paints: Vec::new() }
        }
    }

    /// From bytes, 0 paper and 255 ink.
    pub(crate) fn ink(rows: usize, columns: usize, pixels: &[u8]) -> Self {
        Self::new(rows, columns, pixels.iter().map(|&byte| Paint::Ink(f64::from(byte) / 255.0)).collect())
    }

    /// Red, green and blue bytes in a theme, `[rows][columns][3]`.
    pub(crate) fn rgb(&self, theme: &Theme) -> Vec<u8> {
        self.paints.iter().map(|&paint| theme.colour(paint)).flat_map(|c| [c.0, c.1, c.2]).collect()
    }
}

/// One thing to draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Rect {
        area: Area,
        fill: Paint,
    },
    Line {
        points: Vec<(f64, f64)>,
        stroke: Stroke,
    },
    /// Filled with `opacity`, and outlined in full.
    Polygon {
        points: Vec<(f64, f64)>,
        paint: Paint,
        opacity: f64,
    },
    Dot {
        x: f64,
        y: f64,
        radius: f64,
        fill: Paint,
    },
    Text {
        x: f64,
        y: f64,
        text: String,
        letters: Letters,
    },
    Bitmap {
        area: Area,
        bitmap: Bitmap,
    },
}

impl Shape {
    fn is_finite(&self) -> bool {
        let points_are = |points: &[(f64, f64)]| points.iter().all(|(x, y)| x.is_finite() && y.is_finite());
        match self {
            Self::Rect { area, .. } | Self::Bitmap { area, .. } => {
                points_are(&[(area.x, area.y), (area.width, area.height)])
            }
            Self::Line { points, .. } | Self::Polygon { points, .. } => points_are(points),
            Self::Dot { x, y, .. } | Self::Text { x, y, .. } => points_are(&[(*x, *y)]),
        }
    }
}

/// Shapes on a page of a fixed size, in the order they are painted.
#[derive(Clone, Debug)]
pub struct Picture {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) shapes: Vec<Shape>,
}

/// Space between the content of a picture and its border.
pub(crate) const MARGIN: f64 = 20.0;

/// Where content begins below a header.
pub(crate) const HEADER: f64 = 64.0;

impl Picture {
    /// An empty page with its title and, below it, a line that says what is shown.
    pub(crate) fn new(width: f64, height: f64, title: &str, description: &str) -> Self {
        let mut picture = Self {
            width: width.ceil(),
            height: height.ceil(),
            title: title.to_owned(),
            description: description.to_owned(),
            shapes: Vec::new(),
        };
        let room = width - 2.0 * MARGIN;
        let large = Letters::new(17.0, Paint::Text).medium();
        let small = Letters::new(12.0, Paint::Muted);
        picture.text(MARGIN, 31.0, &large.fit(title, room), large);
        picture.text(MARGIN, 50.0, &small.fit(description, room), small);
        picture
    }

    /// What the picture shows, as its heading says.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Width and height in CSS pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// The picture as a file of its own or as an element of a page.
    pub fn svg(&self, theme: &Theme) -> String {
        svg::write(self, theme)
    }

    /// The picture as a PNG of `scale` pixels a unit; 2 is sharp on most screens.
    ///
    /// # Errors
    /// If there is no memory for so many pixels.
    pub fn png(&self, theme: &Theme, scale: f64) -> anyhow::Result<Vec<u8>> {
        raster::png(self, theme, scale)
    }

    pub(crate) fn rect(&mut self, area: Area, fill: Paint) {
        self.push(Shape::Rect { area, fill });
    }

    pub(crate) fn line(&mut self, points: Vec<(f64, f64)>, stroke: Stroke) {
        if points.len() > 1 {
            self.push(Shape::Line { points, stroke });
        }
    }

    pub(crate) fn polygon(&mut self, points: Vec<(f64, f64)>, paint: Paint, opacity: f64) {
        if points.len() > 2 {
            self.push(Shape::Polygon { points, paint, opacity });
        }
    }

    pub(crate) fn dot(&mut self, x: f64, y: f64, radius: f64, fill: Paint) {
        self.push(Shape::Dot { x, y, radius, fill });
    }

    /// `y` is the baseline.
    pub(crate) fn text(&mut self, x: f64, y: f64, text: &str, letters: Letters) {
        if !text.is_empty() {
            self.push(Shape::Text { x, y, text: text.to_owned(), letters });
        }
    }

    pub(crate) fn bitmap(&mut self, area: Area, bitmap: Bitmap) {
        if bitmap.rows > 0 && bitmap.columns > 0 {
            self.push(Shape::Bitmap { area, bitmap });
        }
    }

    /// The frame of `area`, drawn inside it.
    pub(crate) fn frame(&mut self, area: Area, stroke: Stroke) {
        let half = stroke.width / 2.0;
        let (left, top, right, bottom) =
            (area.x + half, area.y + half, area.right() - half, area.bottom() - half);
        let corners = vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top - half)];
        self.line(corners, stroke);
    }

    fn push(&mut self, shape: Shape) {
        if shape.is_finite() {
            self.shapes.push(shape);
        }
    }
}
