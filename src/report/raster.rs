//! Pictures as pixels, with the same shapes, places and colours as the SVG.

use anyhow::{Context, Result};
use tiny_skia::{
    Color, FillRule, LineJoin, Paint as Brush, Path, PathBuilder, Pixmap, Rect, Stroke as Pen, StrokeDash,
    Transform,
};
use ttf_parser::OutlineBuilder;

use super::picture::{Anchor, Area, Bitmap, Letters, Picture, Shape, Stroke};
use super::theme::{Paint, Theme};
use super::{font, png};

/// The picture as a PNG file of `scale` pixels a unit.
pub(crate) fn png(picture: &Picture, theme: &Theme, scale: f64) -> Result<Vec<u8>> {
    let side = |length: f64| ((length * scale).round() as u32).max(1);
    let (width, height) = (side(picture.width), side(picture.height));
    let mut canvas = Canvas {
        pixels: Pixmap::new(width, height).with_context(|| {
            format!("a picture of {width}x{height} pixels is too large; take a smaller scale")
        })?,
        theme,
        scale,
    };
    canvas.pixels.fill(colour(theme, Paint::Page, 1.0));
    for shape in &picture.shapes {
        canvas.draw(shape);
    }
    // The page is opaque, so every pixel is, and alpha can go.
    let rgb: Vec<u8> =
        canvas.pixels.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    Ok(png::encode(width as usize, height as usize, &rgb))
}

fn colour(theme: &Theme, paint: Paint, opacity: f64) -> Color {
    let rgb = theme.colour(paint);
    Color::from_rgba8(rgb.0, rgb.1, rgb.2, (opacity.clamp(0.0, 1.0) * 255.0).round() as u8)
}

struct Canvas<'a> {
    pixels: Pixmap,
    theme: &'a Theme,
    scale: f64,
}

impl Canvas<'_> {
    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Rect { area, fill } => self.rect(*area, *fill),
            Shape::Line { points, stroke } => {
                if let Some(path) = polyline(points, false) {
                    self.stroke(&path, *stroke);
                }
            }
            Shape::Polygon { points, paint, opacity } => {
                if let Some(path) = polyline(points, true) {
                    self.fill(&path, *paint, *opacity, self.to_pixels());
                    self.stroke(&path, Stroke::new(*paint, 1.0));
                }
            }
            Shape::Dot { x, y, radius, fill } => {
                if let Some(path) = PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32) {
                    self.fill(&path, *fill, 1.0, self.to_pixels());
                }
            }
            Shape::Text { x, y, text, letters } => self.text((*x, *y), text, *letters),
            Shape::Bitmap { area, bitmap } => self.bitmap(*area, bitmap),
        }
    }

    fn to_pixels(&self) -> Transform {
        Transform::from_scale(self.scale as f32, self.scale as f32)
    }

    fn brush(&self, paint: Paint, opacity: f64) -> Brush<'static> {
        let mut brush = Brush::default();
        brush.set_color(colour(self.theme, paint, opacity));
        brush
    }

    fn fill(&mut self, path: &Path, paint: Paint, opacity: f64, transform: Transform) {
        let brush = self.brush(paint, opacity);
        self.pixels.fill_path(path, &brush, FillRule::Winding, transform, None);
    }

    fn rect(&mut self, area: Area, fill: Paint) {
        let rect = Rect::from_xywh(area.x as f32, area.y as f32, area.width as f32, area.height as f32);
        if let Some(rect) = rect {
            let (brush, transform) = (self.brush(fill, 1.0), self.to_pixels());
            self.pixels.fill_rect(rect, &brush, transform, None);
        }
    }

    fn stroke(&mut self, path: &Path, stroke: Stroke) {
        let dash = stroke.dashed.then(|| StrokeDash::new(vec![6.0, 4.0], 0.0)).flatten();
        let pen = Pen { width: stroke.width as f32, line_join: LineJoin::Round, dash, ..Pen::default() };
        let (brush, transform) = (self.brush(stroke.paint, stroke.opacity), self.to_pixels());
        self.pixels.stroke_path(path, &brush, &pen, transform, None);
    }

    fn text(&mut self, (x, y): (f64, f64), text: &str, letters: Letters) {
        let mut outline = Outline(PathBuilder::new());
        font::outline(text, letters.size, letters.weight, &mut outline);
        let Some(path) = outline.0.finish() else { return };
        let back = match letters.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => letters.measure(text) / 2.0,
            Anchor::End => letters.measure(text),
        };
        let turn = if letters.upwards { Transform::from_rotate(-90.0) } else { Transform::identity() };
        let transform = Transform::from_translate(-back as f32, 0.0)
            .post_concat(turn)
            .post_translate(x as f32, y as f32)
            .post_concat(self.to_pixels());
        self.fill(&path, letters.paint, 1.0, transform);
    }

    /// Nearest neighbour, as `image-rendering: pixelated` asks of a browser.
    fn bitmap(&mut self, area: Area, bitmap: &Bitmap) {
        let (width, height) = (self.pixels.width() as usize, self.pixels.height() as usize);
        let edge = |place: f64, limit: usize| ((place * self.scale).round().max(0.0) as usize).min(limit);
        let (left, right) = (edge(area.x, width), edge(area.right(), width));
        let (top, bottom) = (edge(area.y, height), edge(area.bottom(), height));
        let rgb = bitmap.rgb(self.theme);
        let data = self.pixels.data_mut();
        for y in top..bottom {
            let row = (y - top) * bitmap.rows / (bottom - top);
            for x in left..right {
                let column = (x - left) * bitmap.columns / (right - left);
                let from = (row * bitmap.columns + column) * 3;
                let to = (y * width + x) * 4;
                data[to..to + 3].copy_from_slice(&rgb[from..from + 3]);
            }
        }
    }
}

fn polyline(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        if index == 0 { builder.move_to(x as f32, y as f32) } else { builder.line_to(x as f32, y as f32) }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

/// The outlines of letters, for tiny-skia.
struct Outline(PathBuilder);

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.0.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}
