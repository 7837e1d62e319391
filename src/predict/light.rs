//! Uneven light: from brightness to ink.
//!
//! ```text
//! background  b = what the paper would show without ink
//! ink         d = (b - p) / b,  0 on paper and towards 1 in black ink, in the sun as in the shade
//! ```
//! A large median knows the paper whatever the ink's polarity and keeps the edge of a shadow an edge. It
//! answers, at the coarse scale, three questions: in which colour channel the ink stands out, whether it is
//! darker or lighter than its surroundings, and where there is surely paper. The mean of the sure paper
//! nearby is a second opinion that follows gradients better (Gatos, Pratikakis, Perantonis, "Adaptive
//! degraded document image binarization", Pattern Recognition 39, 2006). The closing is a third: a stroke has paper
//! on either side of it, and the edge of a shadow has not. Ink is what all three call ink.

use super::Invert;
use super::closing::{closed, opened};
use super::decode::Picture;
use super::distance::Mask;
use super::gray::{Gray, quantile};
use super::pieces::{NONE, cut_at_edges, pieces};

/// The longer side of the grid on which the median is taken.
const GRID: usize = 256;
/// And where only colour channels are compared.
const ROUGH_GRID: usize = 128;
/// The median's radius as a share of the longer side. Less, and a thick digit is its own background; more, and
/// shadows are not followed.
const MEDIAN_RADIUS: f64 = 0.25;
/// Half the width of the broadest ink, as a share of the longer side: a tight picture of a 1 is narrow, and so is its paper.
const BROADEST_INK: f64 = 0.11;
/// Ruled lines are narrower than twice this part of the longer side.
const RULED_LINE: usize = 160;
/// A colour channel must stand out this much more than the luma to be taken in its stead.
const CHANNEL_ADVANTAGE: f64 = 1.4;
/// Brightness below which the background counts as this: division must not blow up noise.
const DARKEST_PAPER: f32 = 40.0;
/// Grey levels by which ink differs from paper at least, at the coarse scale.
const LEAST_STEP: f32 = 10.0;
/// Ink less than this is taken for paper when paper is averaged.
const SURE_PAPER: f32 = 0.06;
/// And more than this never is, whatever the noise.
const SURE_INK: f32 = 0.2;

/// A picture as ink.
#[derive(Clone, Debug)]
pub(crate) struct Ink {
    /// 0 paper, 1 the blackest ink.
    pub(crate) plane: Gray,
    /// Standard deviation of `plane` on paper.
    pub(crate) noise: f32,
    /// Brightness of the paper, 0..255, for explanation.
    pub(crate) background: Gray,
    /// Brightness with the ink dark, 0..255, for explanation.
    pub(crate) dark: Gray,
}

/// Finds the ink of a picture.
pub(crate) fn ink(picture: &Picture, invert: Invert) -> Ink {
    let (plane, paper) = most_telling_plane(picture);
    let light_ink = match invert {
        Invert::Yes => false,
        Invert::No => true,
        Invert::Auto => ink_is_light(&paper),
    };
    let (dark, median) = if light_ink {
        (plane.map(|v| 255.0 - v), paper.median.map(|v| 255.0 - v))
    } else {
        (plane, paper.median)
    };
    flatten(&dark, &median)
}

/// A plane at the coarse scale and its large median.
struct Paper {
    grid: Gray,
    median: Gray,
}

impl Paper {
    fn of(plane: &Gray, longest: usize) -> Self {
        let grid = plane.shrunk(longest);
        let radius = (grid.width.max(grid.height) as f64 * MEDIAN_RADIUS).ceil() as usize;
        let median = median(&grid, radius);
        Self { grid, median }
    }

    /// How much stands out: the fourth-power mean, in which few strong pixels outweigh much noise.
    fn contrast(&self) -> f64 {
        let residuals = self.grid.pixels.iter().zip(&self.median.pixels);
        let sum: f64 = residuals.map(|(p, b)| f64::from(p - b).powi(4)).sum();
        (sum / self.grid.pixels.len() as f64).powf(0.25)
    }
}

/// The luma, unless the ink stands out far more in one channel, as a yellow pen does in blue.
fn most_telling_plane(picture: &Picture) -> (Gray, Paper) {
    let mut best = picture.luma();
    if picture.planes.len() == 3 {
        let mut bar = Paper::of(&best, ROUGH_GRID).contrast() * CHANNEL_ADVANTAGE;
        for plane in &picture.planes {
            let contrast = Paper::of(plane, ROUGH_GRID).contrast();
            if contrast > bar {
                bar = contrast;
                best = plane.clone();
            }
        }
    }
    let paper = Paper::of(&best, GRID);
    (best, paper)
}

/// Whether what differs from the background is lighter than it. What stands clear of the edge of the picture
/// decides, since shadows, tables and ruled lines reach it; if nothing does, everything.
fn ink_is_light(paper: &Paper) -> bool {
    let light = paper.grid.zip(&paper.median, |p, b| p - b);
    let dark = light.map(|d| -d);
    let (of_light, of_dark) = (weight_inside(&light), weight_inside(&dark));
    if of_light == of_dark {
        return light.pixels.iter().map(|&d| f64::from(d).powi(3)).sum::<f64>() > 0.0;
    }
    of_light > of_dark
}

/// The ink in pieces that do not touch the edge; cubes, since little but strong ink outweighs much weak.
fn weight_inside(ink: &Gray) -> f64 {
    let threshold = (5.0 * deviation(ink)).max(LEAST_STEP);
    let rough = pieces(&Mask::of(ink, |d| d > threshold), ink);
    let cut = pieces(&cut_at_edges(&rough, ink, |_| true), ink);
    let inside = |label: u32| label != NONE && !cut.all[label as usize].touches_edge();
    let pixels = ink.pixels.iter().zip(&cut.labels).filter(|(_, label)| inside(**label));
    pixels.map(|(&d, _)| f64::from(d).powi(3)).sum()
}

fn flatten(dark: &Gray, median: &Gray) -> Ink {
    let smooth = denoised(dark);
    let wide = median.enlarged(dark.width, dark.height);
    let first = smooth.zip(&wide, ink_of);
    let certain = (4.0 * deviation(&first)).clamp(SURE_PAPER, SURE_INK);
    let near = nearby_paper(&smooth, &first.map(|d| f32::from(u8::from(d < certain))), &wide);
    let background = wide.zip(&near, f32::min).zip(&without_strokes(&smooth), f32::min);
    let signed = smooth.zip(&background, ink_of);
    let noise = deviation(&signed);
    Ink { plane: signed.map(|d| d.clamp(0.0, 1.0)), noise, background, dark: dark.clone() }
}

fn ink_of(pixel: f32, background: f32) -> f32 {
    (background - pixel) / background.max(DARKEST_PAPER)
}

/// The picture with its strokes filled in by closing. Lines that are lighter than the paper are taken away first, or
/// what lies between two of them would be filled in too. Noise lifts a closing above the paper everywhere by about as
/// much; since most of a picture is paper, the lower part of all pixels tells how much.
fn without_strokes(plane: &Gray) -> Gray {
    let long = plane.width.max(plane.height);
    let radius = (long as f64 * BROADEST_INK).ceil() as usize;
    let closed = closed(&opened(plane, long / RULED_LINE), radius);
    let lift = quantile(&mut closed.zip(plane, |c, p| c - p).pixels, 0.3);
    closed.map(|c| c - lift)
}

/// The mean of the paper near each pixel, without ink and without the pixels next to it.
fn nearby_paper(plane: &Gray, paper: &Gray, fallback: &Gray) -> Gray {
    let radius = (plane.width.max(plane.height) / 40).max(4);
    let grown_ink = paper.map(|p| 1.0 - p).box_sum(2);
    let paper = grown_ink.map(|ink| f32::from(u8::from(ink < 0.5)));
    let weights = paper.box_sum(radius);
    let sums = plane.zip(&paper, |v, w| v * w).box_sum(radius);
    // The wide median decides where there is hardly any paper within reach.
    let little = 0.02 * ((2 * radius + 1) * (2 * radius + 1)) as f32;
    let mut out = fallback.clone();
    for (i, value) in out.pixels.iter_mut().enumerate() {
        *value = (sums.pixels[i] + little * *value) / (weights.pixels[i] + little);
    }
    out
}

/// Smooths as much as the noise asks for; a clean drawing stays as it is.
fn denoised(plane: &Gray) -> Gray {
    if plane.width.min(plane.height) < 64 {
        return plane.clone();
    }
    match pixel_noise(plane) {
        sigma if sigma > 4.0 => plane.binomial().binomial(),
        sigma if sigma > 1.0 => plane.binomial(),
        _ => plane.clone(),
    }
}

/// Standard deviation of the noise between neighbouring pixels, in grey levels: Immerkaer, "Fast noise variance
/// estimation", CVIU 64, 1996, with the median of the Laplacian differences for the mean, since strokes are
/// few but strong.
fn pixel_noise(plane: &Gray) -> f32 {
    let mut differences = Vec::new();
    for y in (1..plane.height - 1).step_by(2) {
        for x in 1..plane.width - 1 {
            let ring = |dx: usize, dy: usize| plane.at(x + dx - 1, y + dy - 1);
            let corners = ring(0, 0) + ring(2, 0) + ring(0, 2) + ring(2, 2);
            let sides = ring(1, 0) + ring(0, 1) + ring(2, 1) + ring(1, 2);
            differences.push((corners - 2.0 * sides + 4.0 * ring(1, 1)).abs());
        }
    }
    quantile(&mut differences, 0.5) / (0.6745 * 6.0)
}

/// Standard deviation on paper: a quarter of all values is no farther from 0 than 0.3186 deviations, if the noise is
/// normal. A quarter and not half, since squared paper is half lines.
fn deviation(signed_ink: &Gray) -> f32 {
    let mut sizes: Vec<f32> = signed_ink.pixels.iter().map(|d| d.abs()).collect();
    quantile(&mut sizes, 0.25) / 0.3186
}

/// The median over the square of `radius` round each pixel; of an even number of values the mean of the middle
/// two, so that a negative gives a negative. Sliding histogram of Huang, Yang and Tang, "A fast two-dimensional
/// median filtering algorithm", IEEE ASSP 27, 1979, in two levels.
fn median(plane: &Gray, radius: usize) -> Gray {
    let wide = continued(&continued(plane, radius).transposed(), radius).transposed();
    let bins: Vec<u16> = wide.pixels.iter().map(|v| (v.clamp(0.0, 255.0) * 4.0).round() as u16).collect();
    let mut out = plane.clone();
    for y in 0..plane.height {
        let mut window = Histogram::default();
        let column = |window: &mut Histogram, x: usize, by: i32| {
            (y..=y + 2 * radius).for_each(|row| window.add(bins[row * wide.width + x], by));
        };
        (0..2 * radius).for_each(|x| column(&mut window, x, 1));
        for x in 0..plane.width {
            column(&mut window, x + 2 * radius, 1);
            out.pixels[y * plane.width + x] = window.median();
            column(&mut window, x, -1);
        }
    }
    out
}

/// Each row continued by `by` pixels on either side, turned about its ends: p(-x) = 2 p(0) - p(x). Slopes of light
/// go on as slopes, and on either side of a shadow's edge the pixels beyond the picture vote for that side.
fn continued(plane: &Gray, by: usize) -> Gray {
    let last = plane.width - 1;
    Gray::from_fn(plane.width + 2 * by, plane.height, |x, y| {
        let row = plane.row(y);
        if x < by {
            2.0 * row[0] - row[(by - x).min(last)]
        } else if x - by > last {
            2.0 * row[last] - row[last.saturating_sub(x - by - last)]
        } else {
            row[x - by]
        }
    })
}

/// Counts of 1021 quarter levels, and of groups of 32 of them.
struct Histogram {
    fine: [i32; 1024],
    coarse: [i32; 32],
    count: i32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { fine: [0; 1024], coarse: [0; 32], count: 0 }
    }
}

impl Histogram {
    fn add(&mut self, bin: u16, by: i32) {
        self.fine[usize::from(bin)] += by;
        self.coarse[usize::from(bin / 32)] += by;
        self.count += by;
    }

    /// The level of the value with `rank` values before it.
    fn ranked(&self, mut rank: i32) -> f32 {
        let mut group = 0;
        while group < 31 && rank >= self.coarse[group] {
            rank -= self.coarse[group];
            group += 1;
        }
        let mut bin = group * 32;
        while bin < 1023 && rank >= self.fine[bin] {
            rank -= self.fine[bin];
            bin += 1;
        }
        bin as f32 / 4.0
    }

    fn median(&self) -> f32 {
        0.5 * (self.ranked((self.count - 1) / 2) + self.ranked(self.count / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sliding_median_is_the_median() {
        let plane = Gray::from_fn(19, 17, |x, y| ((x * 83 + y * 47) % 251) as f32);
        let filtered = median(&plane, 2);
        for y in 2..15_usize {
            for x in 2..17_usize {
                let mut values: Vec<f32> =
                    (y - 2..y + 3).flat_map(|row| plane.row(row)[x - 2..x + 3].to_vec()).collect();
                values.sort_by(f32::total_cmp);
                assert_eq!(filtered.at(x, y), values[12], "{x} {y}");
            }
        }
    }

    #[test]
    fn slopes_and_slanting_edges_are_their_own_median_up_to_the_border() {
        let slope = Gray::from_fn(40, 30, |x, y| 50.0 + x as f32 + 3.0 * y as f32);
        assert_eq!(median(&slope, 9), slope);
        let edge = Gray::from_fn(60, 60, |x, y| if 2 * x + 3 * y < 150 { 80.0 } else { 160.0 });
        let filtered = median(&edge, 15);
        let wrong = edge.pixels.iter().zip(&filtered.pixels).filter(|(a, b)| a != b).count();
        assert!(wrong < 60, "{wrong}");
    }

    #[test]
    fn the_noise_is_found_under_strokes() {
        let stream = crate::rng::Stream::new(3, crate::rng::Purpose::Test, 0, 0);
        let plane = Gray::from_fn(200, 200, |x, y| {
            let stroke = if x / 8 == 9 { 100.0 } else { 0.0 };
            200.0 - stroke + 5.0 * stream.normal((y * 200 + x) as u32) as f32
        });
        let sigma = pixel_noise(&plane);
        assert!((4.5..5.5).contains(&sigma), "{sigma}");
    }
}
