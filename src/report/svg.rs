//! Pictures as SVG: plain shapes and text, nothing from outside, so that a README may show them.

use std::fmt::Write;

use super::font;
use super::picture::{Anchor, Area, Bitmap, Letters, Picture, Shape, Stroke};
use super::theme::{Paint, Theme};
use super::{base64, png};

/// `text` with everything that XML would take for its own escaped, and what XML cannot hold replaced.
/// Good for element content and for attributes in double quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\x1f' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// The whole `<svg>` element.
pub(crate) fn write(picture: &Picture, theme: &Theme) -> String {
    let (width, height) = (number(picture.width), number(picture.height));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"{}\">\n<title>{}</title>\n",
        escape(font::FAMILY),
        escape(&picture.title),
    );
    if !picture.description.is_empty() {
        let _ = writeln!(svg, "<desc>{}</desc>", escape(&picture.description));
    }
    rect(&mut svg, Area::new(0.0, 0.0, picture.width, picture.height), &theme.colour(Paint::Page).css());
    for shape in &picture.shapes {
        shape_into(&mut svg, shape, theme);
    }
    svg.push_str("</svg>\n");
    svg
}

fn shape_into(svg: &mut String, shape: &Shape, theme: &Theme) {
    let colour = |paint: Paint| theme.colour(paint).css();
    match shape {
        Shape::Rect { area, fill } => rect(svg, *area, &colour(*fill)),
        Shape::Line { points, stroke } => line(svg, points, *stroke, &colour(stroke.paint)),
        Shape::Polygon { points, paint, opacity } => {
            let _ = writeln!(
                svg,
                "<path d=\"{}Z\" fill=\"{paint}\"{} stroke=\"{paint}\"/>",
                path(points),
                opacity_attribute("fill-opacity", *opacity),
                paint = colour(*paint)
            );
        }
        Shape::Dot { x, y, radius, fill } => {
            let (x, y, radius) = (number(*x), number(*y), number(*radius));
            let _ =
                writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{}\"/>", colour(*fill));
        }
        Shape::Text { x, y, text, letters } => text_into(svg, (*x, *y), text, *letters, theme),
        Shape::Bitmap { area, bitmap } => bitmap_into(svg, *area, bitmap, theme),
    }
}

fn rect(svg: &mut String, area: Area, fill: &str) {
    let (x, y, width, height) = (number(area.x), number(area.y), number(area.width), number(area.height));
    let _ =
        writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>");
}

fn line(svg: &mut String, points: &[(f64, f64)], stroke: Stroke, colour: &str) {
    let dashes = if stroke.dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    let _ = writeln!(
        svg,
        "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{dashes}{}/>",
        path(points),
        number(stroke.width),
        opacity_attribute("stroke-opacity", stroke.opacity)
    );
}

fn text_into(svg: &mut String, (x, y): (f64, f64), text: &str, letters: Letters, theme: &Theme) {
    let anchor = match letters.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let (x, y) = (number(x), number(y));
    let turn = if letters.upwards { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
    let weight = match letters.weight.css() {
        400 => String::new(),
        other => format!(" font-weight=\"{other}\""),
    };
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\"{weight}{anchor}{turn}>{}</text>",
        number(letters.size),
        theme.colour(letters.paint).css(),
        escape(text)
    );
}

fn bitmap_into(svg: &mut String, area: Area, bitmap: &Bitmap, theme: &Theme) {
    let (x, y, width, height) = (number(area.x), number(area.y), number(area.width), number(area.height));
    let bytes = png::encode(bitmap.columns, bitmap.rows, &bitmap.rgb(theme));
    let _ = writeln!(
        svg,
        "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\" \
         style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>",
        base64::encode(&bytes)
    );
}

fn path(points: &[(f64, f64)]) -> String {
    let mut data = String::new();
    let mut before = None;
    for (x, y) in points.iter().map(|(x, y)| (number(*x), number(*y))) {
        let _ = match &before {
            None => write!(data, "M{x} {y}"),
            Some((_, level)) if *level == y => write!(data, "H{x}"),
            Some((upright, _)) if *upright == x => write!(data, "V{y}"),
            Some(_) => write!(data, "L{x} {y}"),
        };
        before = Some((x, y));
    }
    data
}

fn opacity_attribute(name: &str, opacity: f64) -> String {
    if opacity < 1.0 { format!(" {name}=\"{}\"", number(opacity)) } else { String::new() }
}

/// Hundredths are finer than any screen, and keep files small.
fn number(value: f64) -> String {
    let rounded = format!("{value:.2}");
    let trimmed = rounded.trim_end_matches('0').trim_end_matches('.');
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_what_xml_cannot_hold_is_escaped() {
        assert_eq!(escape("a<b>&\"'c"), "a&lt;b&gt;&amp;&quot;&#39;c");
        assert_eq!(escape("a\0b\u{1b}[0m\nc\u{ffff}"), "a\u{fffd}b\u{fffd}[0m c\u{fffd}");
        assert_eq!(escape("é × 手"), "é × 手");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, -0.001, 1.5, 100.0, 2.0 / 3.0].map(number), ["0", "0", "1.5", "100", "0.67"]);
    }
}
