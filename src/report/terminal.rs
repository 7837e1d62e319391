//! A digit drawn in a terminal.

use std::fmt::Write;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalStyle {
    /// Half blocks in 24 greys, by escape codes.
    Grey,
    /// Half blocks, ink or paper.
    Blocks,
    /// Letters only.
    Ascii,
}

impl TerminalStyle {
    /// The best that fits: `colour` is whether escape codes are welcome (a terminal, and no `NO_COLOR`).
    pub fn detect(colour: bool) -> Self {
        match (unicode(), colour) {
            (false, _) => Self::Ascii,
            (true, true) => Self::Grey,
            (true, false) => Self::Blocks,
        }
    }
}

/// Whether the locale is UTF-8, by the first of `LC_ALL`, `LC_CTYPE` and `LANG` that says anything. Windows
/// and macOS terminals are whatever it says.
pub fn unicode() -> bool {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set) {
        Some(locale) => says_utf8(&locale),
        None => cfg!(any(windows, target_os = "macos")),
    }
}

fn says_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The image `[height][width]`, 0 paper and 255 ink, as lines that end in a newline: two rows of pixels to a
/// line, one column to a letter. Ink is bright, as in MNIST itself. Pixels that are missing are paper.
pub fn digit(pixels: &[u8], height: usize, width: usize, style: TerminalStyle) -> String {
    let at = |row: usize, column: usize| {
        if row < height { pixels.get(row * width + column).copied().unwrap_or(0) } else { 0 }
    };
    let mut text = String::new();
    for row in (0..height).step_by(2) {
        let mut before = None;
        for column in 0..width {
            let greys = (grey(at(row, column)), grey(at(row + 1, column)));
            if style == TerminalStyle::Grey && before.replace(greys) != Some(greys) {
                let _ = write!(text, "\x1b[38;5;{};48;5;{}m", greys.0, greys.1);
            }
            text.push(letter(at(row, column), at(row + 1, column), style));
        }
        text.push_str(if style == TerminalStyle::Grey { "\x1b[0m\n" } else { "\n" });
    }
    text
}

/// Drawings of [`digit`] of one size beside each other, `gap` letters apart.
pub fn beside(drawings: &[String], gap: usize) -> String {
    let lines = drawings.iter().map(|drawing| drawing.lines().count()).max().unwrap_or(0);
    let line = |number: usize| {
        let parts: Vec<&str> = drawings.iter().filter_map(|drawing| drawing.lines().nth(number)).collect();
        parts.join(&" ".repeat(gap)) + "\n"
    };
    (0..lines).map(line).collect()
}

fn letter(upper: u8, lower: u8, style: TerminalStyle) -> char {
    const LEVELS: &[u8] = b" .:-=+*#%@";
    const INK: u8 = 100;
    match style {
        // The upper half in the letter's colour, the lower in its background's.
        TerminalStyle::Grey => '▀',
        TerminalStyle::Blocks => match (upper >= INK, lower >= INK) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        },
        TerminalStyle::Ascii => {
            let mean = (usize::from(upper) + usize::from(lower)) / 2;
            char::from(LEVELS[mean * (LEVELS.len() - 1) / 255])
        }
    }
}

/// The colour number of a grey: 232 is almost black, 255 almost white.
fn grey(byte: u8) -> u32 {
    232 + u32::from(byte) * 23 / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rows_share_a_line() {
        let pixels = [255, 0, 255, 0, 255, 255, 255, 0, 0];
        assert_eq!(digit(&pixels, 3, 3, TerminalStyle::Blocks), "▀▄█\n▀  \n");
        assert_eq!(digit(&pixels, 3, 3, TerminalStyle::Ascii), "==@\n=  \n");
        let grey = digit(&pixels, 3, 3, TerminalStyle::Grey);
        assert!(grey.starts_with("\x1b[38;5;255;48;5;232m▀") && grey.ends_with("\x1b[0m\n"), "{grey:?}");
    }

    #[test]
    fn drawings_stand_beside_each_other() {
        let one = digit(&[255, 0, 0, 255, 255, 255], 3, 2, TerminalStyle::Blocks);
        assert_eq!(beside(&[one.clone(), one], 1), "▀▄ ▀▄\n▀▀ ▀▀\n");
        assert_eq!(beside(&[], 1), "");
    }

    #[test]
    fn sizes_need_not_agree_with_pixels() {
        assert_eq!(digit(&[], 2, 2, TerminalStyle::Blocks), "  \n");
        assert_eq!(digit(&[255], 0, 9, TerminalStyle::Blocks), "");
    }

    #[test]
    fn a_locale_names_its_encoding() {
        assert!(says_utf8("en_GB.UTF-8") && says_utf8("C.utf8"));
        assert!(!says_utf8("C") && !says_utf8("de_DE.ISO-8859-1"));
    }
}
