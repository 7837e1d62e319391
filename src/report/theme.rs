//! The colours of a picture, for a light and a dark page.
//!
//! Shapes name a [`Paint`], the part that a colour plays; a [`Theme`] decides what it looks like. Both page
//! colours are those of GitHub, so that pictures sit in a README without a seam.

/// Red, green and blue, each 0 to 255, as sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// The colour as CSS writes it, `#rrggbb`.
    pub fn css(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }

    /// `share` of `other` and the rest of `self`, for `share` from 0 to 1.
    pub(crate) fn mix(self, other: Self, share: f64) -> Self {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let channel =
            |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
        Self(channel(self.0, other.0), channel(self.1, other.1), channel(self.2, other.2))
    }

    /// WCAG relative luminance, 0 (black) to 1 (white).
    pub(crate) fn luminance(self) -> f64 {
        let linear = |byte: u8| {
            let share = f64::from(byte) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }
}

/// The two kinds of cell in a confusion matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heat {
    /// Answers that were right: the diagonal.
    Right,
    /// Answers that were wrong.
    Wrong,
}

/// The part that a colour plays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Paint {
    /// The page itself.
    Page,
    /// Titles and values.
    Text,
    /// Subtitles, tick labels and axes.
    Muted,
    /// Grid lines and frames.
    Grid,
    /// One of [`SERIES`] colours that tell curves apart; larger numbers begin again.
    Series(usize),
    /// A place from 0 to 1 on a scale of many curves in order.
    Ramp(f64),
    /// A cell of a heat map, from 0 (as the page) to 1.
    Heat(Heat, f64),
    /// Whatever is legible on [`Paint::Heat`].
    OnHeat(Heat, f64),
    /// A weight from -1 to 1.
    Diverging(f64),
    /// A pixel from 0 (paper) to 1 (ink).
    Ink(f64),
}

/// How many colours [`Paint::Series`] has.
pub const SERIES: usize = 8;

/// What every [`Paint`] looks like.
#[derive(Debug)]
pub struct Theme {
    /// `light` or `dark`, as in file names.
    pub name: &'static str,
    page: Rgb,
    text: Rgb,
    muted: Rgb,
    grid: Rgb,
    series: [Rgb; SERIES],
    ramp: [Rgb; 5],
    right: Rgb,
    wrong: Rgb,
    negative: Rgb,
    neutral: Rgb,
    positive: Rgb,
    paper: Rgb,
    ink: Rgb,
}

impl Theme {
    /// Dark on white.
    pub const LIGHT: Self = Self {
        name: "light",
        page: Rgb(255, 255, 255),
        text: Rgb(31, 35, 40),
        muted: Rgb(89, 99, 110),
        grid: Rgb(222, 226, 231),
        series: [
            Rgb(33, 104, 214),
            Rgb(224, 100, 8),
            Rgb(26, 142, 84),
            Rgb(140, 74, 200),
            Rgb(207, 47, 70),
            Rgb(14, 142, 158),
            Rgb(138, 98, 56),
            Rgb(206, 62, 148),
        ],
        ramp: [Rgb(68, 1, 84), Rgb(59, 82, 139), Rgb(33, 145, 140), Rgb(60, 170, 90), Rgb(165, 185, 30)],
        right: Rgb(20, 84, 190),
        wrong: Rgb(214, 72, 20),
        negative: Rgb(26, 92, 200),
        neutral: Rgb(246, 247, 248),
        positive: Rgb(210, 62, 20),
        paper: Rgb(246, 247, 248),
        ink: Rgb(16, 20, 26),
    };

    /// Light on almost black.
    pub const DARK: Self = Self {
        name: "dark",
        page: Rgb(13, 17, 23),
        text: Rgb(230, 237, 243),
        muted: Rgb(151, 161, 173),
        grid: Rgb(42, 49, 59),
        series: [
            Rgb(106, 168, 255),
            Rgb(255, 166, 77),
            Rgb(88, 208, 138),
            Rgb(199, 146, 242),
            Rgb(255, 118, 132),
            Rgb(72, 206, 222),
            Rgb(213, 167, 118),
            Rgb(255, 138, 200),
        ],
        ramp: [Rgb(125, 85, 190), Rgb(85, 125, 215), Rgb(45, 170, 165), Rgb(95, 201, 98), Rgb(253, 231, 37)],
        right: Rgb(74, 144, 255),
        wrong: Rgb(255, 120, 52),
        negative: Rgb(84, 158, 255),
        neutral: Rgb(24, 29, 37),
        positive: Rgb(255, 128, 64),
        paper: Rgb(22, 27, 34),
        ink: Rgb(240, 246, 252),
    };

    /// Both, in the order light, dark.
    pub const ALL: [&'static Self; 2] = [&Self::LIGHT, &Self::DARK];

    /// What `paint` looks like.
    pub fn colour(&self, paint: Paint) -> Rgb {
        match paint {
            Paint::Page => self.page,
            Paint::Text => self.text,
            Paint::Muted => self.muted,
            Paint::Grid => self.grid,
            Paint::Series(index) => self.series[index % SERIES],
            Paint::Ramp(place) => self.along_ramp(place),
            Paint::Heat(Heat::Right, share) => self.page.mix(self.right, share),
            Paint::Heat(Heat::Wrong, share) => self.page.mix(self.wrong, share),
            Paint::OnHeat(heat, share) => self.legible_on(self.colour(Paint::Heat(heat, share))),
            Paint::Diverging(value) if value < 0.0 => self.neutral.mix(self.negative, -value),
            Paint::Diverging(value) => self.neutral.mix(self.positive, value),
            Paint::Ink(share) => self.paper.mix(self.ink, share),
        }
    }

    fn along_ramp(&self, place: f64) -> Rgb {
        let last = self.ramp.len() - 1;
        let place = if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 } * last as f64;
        let stop = (place as usize).min(last - 1);
        self.ramp[stop].mix(self.ramp[stop + 1], place - stop as f64)
    }

    /// Whichever of white and the darkest page contrasts more with `fill`, by WCAG's measure.
    fn legible_on(&self, fill: Rgb) -> Rgb {
        let (white, black) = (Rgb(255, 255, 255), Self::DARK.page);
        let contrast = |other: Rgb| {
            let (one, two) = (fill.luminance() + 0.05, other.luminance() + 0.05);
            f64::max(one / two, two / one)
        };
        if contrast(white) >= contrast(black) { white } else { black }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(one: Rgb, two: Rgb) -> f64 {
        let (one, two) = (one.luminance() + 0.05, two.luminance() + 0.05);
        f64::max(one / two, two / one)
    }

    #[test]
    fn everything_that_carries_meaning_stands_out_from_both_pages() {
        for theme in Theme::ALL {
            let page = theme.colour(Paint::Page);
            for paint in [Paint::Text, Paint::Muted] {
                let found = contrast(theme.colour(paint), page);
                assert!(found >= 4.5, "{} {paint:?}: {found}", theme.name);
            }
            for index in 0..SERIES {
                let found = contrast(theme.colour(Paint::Series(index)), page);
                assert!(found >= 3.0, "{} series {index}: {found}", theme.name);
            }
            for step in 0..=20 {
                let share = f64::from(step) / 20.0;
                let found = contrast(theme.colour(Paint::Ramp(share)), page);
                assert!(found >= 2.0, "{} ramp {share}: {found}", theme.name);
                for heat in [Heat::Right, Heat::Wrong] {
                    let fill = theme.colour(Paint::Heat(heat, share));
                    let found = contrast(theme.colour(Paint::OnHeat(heat, share)), fill);
                    assert!(found >= 4.0, "{} {heat:?} {share}: {found}", theme.name);
                }
            }
        }
    }

    #[test]
    fn a_share_that_is_no_number_is_still_a_colour() {
        for value in [f64::NAN, f64::INFINITY, -7.0, 7.0] {
            for paint in [Paint::Ramp(value), Paint::Ink(value), Paint::Diverging(value)] {
                assert_eq!(Theme::DARK.colour(paint).css().len(), 7);
            }
        }
    }
}
