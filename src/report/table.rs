//! Tables: aligned for a terminal, as Markdown, as HTML.

use serde::{Deserialize, Serialize};

use super::svg::escape;

/// Headers and rows of text. Columns whose cells are all numbers are aligned to the right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// One for each column.
    pub headers: Vec<String>,
    /// Cells, in the order of the headers; missing ones are empty.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(headers: &[&str]) -> Self {
        Self { headers: headers.iter().map(|&header| header.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<Cell: Into<String>>(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Lines for a terminal, each ending in a newline: two spaces between columns, a rule below the headers,
    /// of `─` or of `-`.
    pub fn text(&self, unicode: bool) -> String {
        let widths: Vec<usize> = (0..self.columns()).map(|column| self.width(column)).collect();
        let rule = if unicode { "─" } else { "-" };
        let rules: Vec<String> = widths.iter().map(|width| rule.repeat(*width)).collect();
        let mut text = String::new();
        let rows = [&self.headers, &rules].into_iter().chain(&self.rows);
        for row in rows {
            let cells: Vec<String> = (0..self.columns())
                .map(|column| pad(cell(row, column), widths[column], self.is_number(column)))
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// A Markdown table, aligned as text as well.
    pub fn markdown(&self) -> String {
        let escaped = |row: &Vec<String>| row.iter().map(|cell| markdown_cell(cell)).collect();
        let table = Self { headers: escaped(&self.headers), rows: self.rows.iter().map(escaped).collect() };
        let widths: Vec<usize> = (0..self.columns()).map(|column| table.width(column).max(3)).collect();
        let line = |row: &Vec<String>| {
            let cells = (0..self.columns())
                .map(|column| pad(cell(row, column), widths[column], self.is_number(column)));
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let rules = (0..self.columns()).map(|column| {
            let dashes = "-".repeat(widths[column] - 1);
            if self.is_number(column) { format!("{dashes}:") } else { format!("{dashes}-") }
        });
        let rule = format!("| {} |\n", rules.collect::<Vec<_>>().join(" | "));
        line(&table.headers) + &rule + &table.rows.iter().map(line).collect::<String>()
    }

    /// A `<table>` element.
    pub fn html(&self) -> String {
        let line = |tag: &str, row: &Vec<String>| {
            let cells = (0..self.columns()).map(|column| {
                let class = if self.is_number(column) { " class=\"number\"" } else { "" };
                format!("<{tag}{class}>{}</{tag}>", escape(cell(row, column)))
            });
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(|row| line("td", row)).collect();
        format!(
            "<table>\n<thead>{}</thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
            line("th", &self.headers).trim_end()
        )
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).chain([self.headers.len()]).max().unwrap_or(0)
    }

    fn width(&self, column: usize) -> usize {
        [&self.headers]
            .into_iter()
            .chain(&self.rows)
            .map(|row| display_width(cell(row, column)))
            .max()
            .unwrap_or(0)
    }

    fn is_number(&self, column: usize) -> bool {
        let mut filled =
            self.rows.iter().map(|row| cell(row, column)).filter(|cell| !cell.is_empty()).peekable();
        filled.peek().is_some() && filled.all(looks_like_a_number)
    }
}

fn cell(row: &[String], column: usize) -> &str {
    row.get(column).map_or("", String::as_str)
}

/// `-`, and digits with signs, points, groups and units as in `1,234`, `98.2 %`, `0.98 ± 0.01`, `-` and `1.2e-5`.
fn looks_like_a_number(cell: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_digit() || " ,.+-−±%–e".contains(letter);
    matches!(cell, "-" | "–" | "NaN" | "inf")
        || (cell.chars().all(is_part)
            && cell.starts_with(|first: char| first.is_ascii_digit() || "+-−.".contains(first)))
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let space = " ".repeat(width.saturating_sub(display_width(text)));
    if right { space + text } else { text.to_owned() + &space }
}

/// Columns of a terminal: two for the scripts of East Asia, none for combining marks.
fn display_width(text: &str) -> usize {
    let width = |letter: char| match u32::from(letter) {
        0x300..=0x36f | 0x200b..=0x200f | 0x3099..=0x309a | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

fn markdown_cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new(&["layer", "parameters"]);
        table.row(["dense 128", "100,480"]).row(["手|<b>", "0"]).row(["total"]);
        table
    }

    #[test]
    fn text_is_aligned_and_has_no_trailing_space() {
        let expected = "layer      parameters\n---------  ----------\ndense 128     100,480\n手|<b>              0\ntotal\n";
        assert_eq!(example().text(false), expected);
        assert!(example().text(true).contains("─────────  ──────────\n"));
    }

    #[test]
    fn markdown_escapes_bars() {
        let text = example().markdown();
        assert!(text.starts_with("| layer     | parameters |\n| --------- | ---------: |\n"), "{text}");
        assert!(text.contains("| 手\\|<b>   |          0 |\n"), "{text}");
    }

    #[test]
    fn html_escapes_markup() {
        let text = example().html();
        assert!(text.contains("<td>手|&lt;b&gt;</td><td class=\"number\">0</td>"), "{text}");
    }

    #[test]
    fn numbers_are_told_from_words() {
        for number in ["1", "-1.5", "1,234", "98.2 %", "0.98 ± 0.01", "1.2e-5", "−3", "–", "NaN"] {
            assert!(looks_like_a_number(number), "{number}");
        }
        for word in ["dense 10", "e", "10x10", "relu", "2026 days"] {
            assert!(!looks_like_a_number(word), "{word}");
        }
    }

    #[test]
    fn an_empty_table_is_harmless() {
        assert_eq!(Table::default().text(false), "\n\n");
        assert!(Table::default().markdown().starts_with('|'));
    }
}
