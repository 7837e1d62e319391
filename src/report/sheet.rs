//! Contact sheets: many small images with a line or two below each.

use serde::{Deserialize, Serialize};

use super::confusion::class_name;
use super::font::WIDER;
use super::picture::{Area, Bitmap, HEADER, Letters, MARGIN, Picture, Stroke};
use super::theme::{Heat, Paint};

/// One image of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile<'a> {
    /// `[height][width]`, 0 paper and 255 ink.
    pub pixels: &'a [u8],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Lines below the image, the first in the colour of text, the others muted.
    pub lines: Vec<String>,
    /// In a frame that stands out.
    pub marked: bool,
}

/// An image whose label and answer differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// `[height][width]`, 0 paper and 255 ink.
    pub pixels: Vec<u8>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The true class.
    pub label: usize,
    /// The class that the network gave.
    pub answer: usize,
    /// How sure it was of its answer, 0 to 1.
    #[serde(with = "super::numbers::one")]
    pub probability: f64,
    /// Which row of the data set it is.
    pub index: usize,
}

/// A sheet of mistakes, each with its label, the answer and the probability given to the answer.
pub fn mistakes(title: &str, mistakes: &[Mistake], names: &[String]) -> Picture {
    let words = |mistake: &Mistake| {
        let label = format!("label {}", class_name(names, mistake.label));
        (label, format!("answer {}", class_name(names, mistake.answer)))
    };
    let one_line = |(label, answer): (String, String)| format!("{label}, {answer}");
    let short = mistakes.iter().all(|mistake| CAPTION.measure(&one_line(words(mistake))) <= CAPTION_ROOM);
    let lines = |mistake: &Mistake| {
        let note = format!("{}, #{}", percent(mistake.probability), mistake.index);
        let (label, answer) = words(mistake);
        if short { vec![one_line((label, answer)), note] } else { vec![label, answer, note] }
    };
    let tiles: Vec<Tile<'_>> = mistakes
        .iter()
        .map(|mistake| Tile {
            pixels: &mistake.pixels,
            height: mistake.height,
            width: mistake.width,
            lines: lines(mistake),
            marked: false,
        })
        .collect();
    let description = if mistakes.is_empty() {
        "there are none"
    } else {
        "below each: how sure the network was of its answer, and which row of the data it is"
    };
    contact(title, description, &tiles, 9)
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", 100.0 * share) } else { "no probability".to_owned() }
}

const GAP: f64 = 24.0;
const SIDE: f64 = 84.0;
const LINE: f64 = 14.0;
const CAPTION: Letters = Letters::new(12.0, Paint::Text).middle();
const NOTE: Letters = Letters::new(11.0, Paint::Muted).middle();
const CAPTION_ROOM: f64 = (SIDE + GAP - 2.0) / WIDER;

/// The tiles in rows of `columns`.
pub fn contact(title: &str, description: &str, tiles: &[Tile<'_>], columns: usize) -> Picture {
    let columns = columns.clamp(1, tiles.len().max(1));
    let rows = tiles.len().div_ceil(columns);
    let lines = tiles.iter().map(|tile| tile.lines.len()).max().unwrap_or(0);
    let captions = lines as f64 * LINE + 4.0;
    let (across, down) = (SIDE + GAP, SIDE + captions + 14.0);
    let mut picture = Picture::new(
        f64::max(2.0 * MARGIN + columns as f64 * across - GAP, 420.0),
        HEADER + rows as f64 * down + MARGIN - 14.0,
        title,
        description,
    );
    for (index, tile) in tiles.iter().enumerate() {
        let (x, y) = (MARGIN + (index % columns) as f64 * across, HEADER + (index / columns) as f64 * down);
        let area = inside(Area::new(x, y, SIDE, SIDE), tile.height, tile.width);
        picture.bitmap(area, Bitmap::ink(tile.height, tile.width, tile.pixels));
        let stroke = if tile.marked {
            Stroke::new(Paint::Heat(Heat::Wrong, 1.0), 3.0)
        } else {
            Stroke::new(Paint::Grid, 1.0)
        };
        picture.frame(Area::new(x, y, SIDE, SIDE), stroke);
        for (number, line) in tile.lines.iter().enumerate() {
            let letters = if number == 0 { CAPTION } else { NOTE };
            let base = y + SIDE + 15.0 + number as f64 * LINE;
            picture.text(x + SIDE / 2.0, base, &letters.fit(line, CAPTION_ROOM), letters);
        }
    }
    picture
}

/// The largest area of the shape of an image in the middle of `area`.
pub(crate) fn inside(area: Area, height: usize, width: usize) -> Area {
    let scale = f64::min(area.height / height.max(1) as f64, area.width / width.max(1) as f64);
    let (tall, wide) = (height as f64 * scale, width as f64 * scale);
    let (x, y) = area.centre();
    Area::new(x - wide / 2.0, y - tall / 2.0, wide, tall)
}
