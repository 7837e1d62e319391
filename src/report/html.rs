//! One self-contained page: nothing is loaded from anywhere, and nothing runs.

use std::fmt::Write;

use super::picture::Picture;
use super::svg::escape;
use super::table::Table;
use super::theme::{Paint, Theme};

/// A thing on a page.
#[derive(Clone, Debug)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// A table.
    Table(Table),
    /// A picture, in the theme of whoever looks at it.
    Picture(Box<Picture>),
    /// Parts beside each other where there is room, each under its heading.
    Beside(Vec<(String, Part)>),
}

/// Parts under a heading.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// From top to bottom.
    pub parts: Vec<Part>,
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The title of the window and the heading.
    pub title: String,
    /// From top to bottom.
    pub sections: Vec<Section>,
}

impl Page {
    /// The page as one HTML file.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n\
             <meta name=\"color-scheme\" content=\"light dark\" />\n<title>{title}</title>\n\
             <style>\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
            style()
        );
        if self.sections.len() > 1 {
            html.push_str("<nav>");
            for (index, section) in self.sections.iter().enumerate() {
                let _ = write!(html, "<a href=\"#section-{index}\">{}</a> ", escape(&section.title));
            }
            html.push_str("</nav>\n");
        }
        for (index, section) in self.sections.iter().enumerate() {
            let _ = writeln!(html, "<section id=\"section-{index}\">\n<h2>{}</h2>", escape(&section.title));
            section.parts.iter().for_each(|part| part_into(&mut html, part));
            html.push_str("</section>\n");
        }
        html.push_str("</body>\n</html>\n");
        html
    }
}

fn part_into(html: &mut String, part: &Part) {
    match part {
        Part::Text(text) => {
            let _ = writeln!(html, "<p>{}</p>", escape(text));
        }
        Part::Table(table) => {
            let _ = writeln!(html, "<div class=\"wide\">{}</div>", table.html());
        }
        Part::Picture(picture) => {
            html.push_str("<figure>\n");
            for theme in Theme::ALL {
                let _ = writeln!(html, "<div class=\"{}\">{}</div>", theme.name, picture.svg(theme));
            }
            html.push_str("</figure>\n");
        }
        Part::Beside(parts) => {
            html.push_str("<div class=\"beside\">\n");
            for (heading, part) in parts {
                let _ = writeln!(html, "<div>\n<h3>{}</h3>", escape(heading));
                part_into(html, part);
                html.push_str("</div>\n");
            }
            html.push_str("</div>\n");
        }
    }
}

/// Colours by theme, and rules. Both themes of each picture are in the page, and one is shown.
fn style() -> String {
    let colours = |theme: &Theme| {
        let css = |paint| theme.colour(paint).css();
        format!(
            "--page: {}; --text: {}; --muted: {}; --grid: {}; --link: {};",
            css(Paint::Page),
            css(Paint::Text),
            css(Paint::Muted),
            css(Paint::Grid),
            css(Paint::Series(0))
        )
    };
    let [light, dark] = Theme::ALL.map(colours);
    format!(
        ":root {{ {light} }}\n.dark {{ display: none; }}\n\
         @media (prefers-color-scheme: dark) {{ :root {{ {dark} }} .dark {{ display: block; }} .light {{ display: none; }} }}\n\
         {RULES}"
    )
}

const RULES: &str = "\
body { background: var(--page); color: var(--text); font: 15px/1.5 Roboto, 'Helvetica Neue', Helvetica, Arial, sans-serif;
  max-width: 1400px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; font-weight: 500; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 19px; font-weight: 500; margin: 40px 0 10px; padding-top: 12px; border-top: 1px solid var(--grid); }
h3 { font-size: 15px; font-weight: 500; margin: 0 0 4px; overflow-wrap: anywhere; }
nav a { color: var(--link); text-decoration: none; margin-right: 14px; }
nav a:hover { text-decoration: underline; }
figure { margin: 12px 0; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
.wide + .wide { margin-top: 20px; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 20px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 4px 24px 4px 0; border-bottom: 1px solid var(--grid); overflow-wrap: anywhere; }
th { font-weight: 500; color: var(--muted); }
.number { text-align: right; }
@media print { nav { display: none; } section { break-inside: avoid; } }
";
