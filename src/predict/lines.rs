//! Ruled lines: found by their direction, followed across the sheet, and taken away where nothing crosses them.
//!
//! Points of ink are projected along every direction near the horizontal; the direction whose profile is most
//! peaked is that of the lines (Postl, "Detection of linear oblique structures and skew scan in digitized
//! documents", ICPR 1986). A ruled line runs on across the sheet, which no stroke of a digit does. It is then
//! followed column by column, and each vertical run of ink that is no thicker than the line is removed; a
//! thicker run is a stroke crossing it (as staff lines are taken out of scores). Vertical lines are the
//! horizontal lines of the transposed picture.

use super::distance::Mask;
use super::gray::Gray;

/// Steepest line, as rise over run: 15 degrees.
const STEEPEST: f64 = 0.27;
/// Points looked at, at most; the rest are left out evenly.
const MAX_POINTS: usize = 40_000;
/// Pictures with a shorter side have no ruled lines.
const SMALLEST: usize = 60;
/// Share of a line's columns that must hold ink.
const COVERED: f64 = 0.6;
/// The same for lines beside a line of which that is true.
const FAINTLY_COVERED: f64 = 0.3;

/// Where ruled lines were.
pub(crate) struct Lines {
    /// Pixels on or next to a ruled line.
    pub(crate) near: Vec<bool>,
    /// How many were found.
    pub(crate) count: usize,
    /// Height of what was taken out of a stroke that a line crosses, in pixels; 0 without lines.
    pub(crate) gap: usize,
}

/// Removes the ruled lines from `ink`, whose pixels above `threshold` may be ink.
pub(crate) fn remove(ink: &mut Gray, threshold: f32) -> Lines {
    let mut lines = Lines { near: vec![false; ink.pixels.len()], count: 0, gap: 0 };
    if ink.width.min(ink.height) < SMALLEST {
        return lines;
    }
    remove_horizontal(ink, &mut lines, threshold);
    let near = transposed(&lines.near, ink.width);
    let (mut turned, mut turned_lines) = (ink.transposed(), Lines { near, ..lines });
    remove_horizontal(&mut turned, &mut turned_lines, threshold);
    *ink = turned.transposed();
    Lines { near: transposed(&turned_lines.near, turned.width), ..turned_lines }
}

fn transposed(pixels: &[bool], width: usize) -> Vec<bool> {
    let height = pixels.len() / width;
    (0..pixels.len()).map(|i| pixels[i % height * width + i / height]).collect()
}

fn remove_horizontal(ink: &mut Gray, lines: &mut Lines, threshold: f32) {
    let mask = Mask::of(ink, |d| d > threshold);
    let count = mask.count();
    if count == 0 || count * 5 > mask.pixels.len() * 2 {
        return;
    }
    let (slope, profile) = most_peaked(&mask, count);
    let mut found: Vec<Line> = Vec::new();
    for (offset, support) in peaks(&profile) {
        let start = offset as f64 - slope_margin(mask.width) as f64;
        let line = (support > 8).then(|| follow(&mask, slope, start)).flatten();
        found.extend(line);
    }
    // Where one line crosses the sheet, shorter and fainter ones beside it are lines too.
    let certain = |line: &Line| line.columns * 2 > mask.width && line.covered > COVERED && line.gone <= 2;
    if !found.iter().any(certain) {
        return;
    }
    for line in &found {
        take_away(ink, &mut lines.near, line);
        lines.gap = lines.gap.max(line.thickness + 2);
    }
    lines.count += found.len();
}

/// How far below row 0 a profile begins, so that lines that rise out of the picture are counted.
fn slope_margin(width: usize) -> usize {
    (STEEPEST * width as f64).ceil() as usize + 2
}

/// The slope whose profile has the greatest sum of squares, and that profile: ink points by where their line
/// crosses the left edge, of two neighbouring rows.
fn most_peaked(mask: &Mask, count: usize) -> (f64, Vec<u32>) {
    let stride = count.div_ceil(MAX_POINTS);
    let inked = (0..mask.pixels.len()).filter(|&i| mask.pixels[i]).step_by(stride);
    let points: Vec<(f32, f32)> = inked.map(|i| ((i % mask.width) as f32, (i / mask.width) as f32)).collect();
    let margin = slope_margin(mask.width);
    let steps = (STEEPEST * mask.width as f64).ceil() as i32;
    let mut best = (0, 0.0, Vec::new());
    // From level outwards, so that of equals the levellest wins.
    for step in (0..=steps).flat_map(|s| [s, -s]) {
        let slope = f64::from(step) / mask.width as f64;
        let mut profile = vec![0_u32; mask.height + 2 * margin + 1];
        for &(x, y) in &points {
            profile[(y - slope as f32 * x + margin as f32 + 0.5) as usize] += 1;
        }
        let peakedness: u64 = profile.windows(2).map(|w| u64::from(w[0] + w[1]).pow(2)).sum();
        if peakedness > best.0 {
            best = (peakedness, slope, profile);
        }
    }
    let (_, slope, profile) = best;
    (slope, profile.iter().map(|n| n * stride as u32).collect())
}

/// Rows of the profile that hold more than their neighbours, with the points within one row of them.
fn peaks(profile: &[u32]) -> Vec<(usize, u32)> {
    let sum = |i: usize| profile[i.saturating_sub(1)..(i + 2).min(profile.len())].iter().sum::<u32>();
    let sums: Vec<u32> = (0..profile.len()).map(sum).collect();
    let highest = |i: &usize| {
        let others = i.saturating_sub(4)..(i + 5).min(sums.len());
        others.clone().all(|j| sums[j] < sums[*i] || (sums[j] == sums[*i] && j >= *i))
    };
    (0..sums.len()).filter(|i| sums[*i] > 0).filter(highest).map(|i| (i, sums[i])).collect()
}

/// A vertical run of ink: column, first row, row after the last.
type Run = (usize, usize, usize);

/// What may be a ruled line.
struct Line {
    /// Columns in which it lies in the picture.
    columns: usize,
    /// The share of them that holds ink.
    covered: f64,
    /// Eighths of the width with hardly any ink.
    gone: usize,
    /// Usual height of its runs.
    thickness: usize,
    /// The runs that belong to it alone.
    runs: Vec<Run>,
    /// Column and row of every point of it.
    path: Vec<(usize, usize)>,
}

/// Follows the line from `start` on the left edge; `None` if what is there is mostly paper, or thicker than a ruled
/// line.
fn follow(mask: &Mask, slope: f64, start: f64) -> Option<Line> {
    let mut runs: Vec<Run> = Vec::new();
    let mut path = Vec::new();
    let mut segments = [(0_usize, 0_usize); 8];
    let mut drift = 0.0;
    for x in 0..mask.width {
        let y = start + slope * x as f64 + drift;
        if y < 0.0 || y.round() as usize >= mask.height {
            continue;
        }
        path.push((x, y.round() as usize));
        let segment = &mut segments[x * 8 / mask.width];
        segment.0 += 1;
        let Some(run) = run_near(mask, x, y) else { continue };
        segment.1 += 1;
        let centre = (run.1 + run.2 - 1) as f64 / 2.0;
        // Lines bend with the sheet and the lens; strokes must not lead astray.
        if run.2 - run.1 <= 6 {
            drift += (0.15 * (centre - y)).clamp(-0.2, 0.2);
        }
        runs.push(run);
    }
    let mut thicknesses: Vec<usize> = runs.iter().map(|run| run.2 - run.1).collect();
    thicknesses.sort_unstable();
    let thickness = *thicknesses.get(thicknesses.len() / 2)?;
    let gone = segments.iter().filter(|(all, covered)| *all > 0 && covered * 3 < *all).count();
    let columns = path.len();
    let covered = runs.len() as f64 / columns as f64;
    let thin = thickness <= (mask.width / 60).max(2);
    let most = thickness + thickness.div_ceil(2) + 1;
    runs.retain(|run| run.2 - run.1 <= most);
    (columns > 10 && thin && covered > FAINTLY_COVERED).then_some(Line {
        columns,
        covered,
        gone,
        thickness,
        runs,
        path,
    })
}

/// The vertical run of ink through a point or up to two pixels away from it.
fn run_near(mask: &Mask, x: usize, y: f64) -> Option<Run> {
    let y = y.round() as usize;
    let inked = |row: usize| mask.pixels[row * mask.width + x];
    let candidates = [Some(y), y.checked_sub(1), Some(y + 1), y.checked_sub(2), Some(y + 2)];
    let hit = candidates.into_iter().flatten().find(|&row| row < mask.height && inked(row))?;
    let first = (0..hit).rev().take_while(|&row| inked(row)).last().unwrap_or(hit);
    let after = (hit..mask.height).find(|&row| !inked(row)).unwrap_or(mask.height);
    Some((x, first, after))
}

/// Makes the runs, and the soft pixel on either side of each, paper; marks all that is near the line.
fn take_away(ink: &mut Gray, near: &mut [bool], line: &Line) {
    for &(x, first, after) in &line.runs {
        for row in first.saturating_sub(1)..(after + 1).min(ink.height) {
            ink.pixels[row * ink.width + x] = 0.0;
        }
    }
    let reach = line.thickness / 2 + 2;
    for &(x, y) in &line.path {
        for row in y.saturating_sub(reach)..(y + reach + 1).min(ink.height) {
            near[row * ink.width + x] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(slope: f64) -> Gray {
        Gray::from_fn(300, 200, |x, y| {
            let line = (y as f64 - slope * x as f64).rem_euclid(40.0) < 2.0;
            let stroke = x.abs_diff(150) < 8 && y.abs_diff(100) < 50;
            if line || stroke { 0.8 } else { 0.0 }
        })
    }

    #[test]
    fn lines_go_and_the_stroke_across_them_stays() {
        for slope in [0.0, 0.1, -0.15] {
            let mut ink = ruled(slope);
            let lines = remove(&mut ink, 0.3);
            assert!(lines.count >= 4, "{slope}: {}", lines.count);
            let stroke = |x: usize, y: usize| x.abs_diff(150) < 8 && y.abs_diff(100) < 50;
            let left = (0..ink.pixels.len()).filter(|&i| ink.pixels[i] > 0.0 && !stroke(i % 300, i / 300));
            assert!(left.count() < 60, "{slope}");
            let kept = (0..ink.pixels.len()).filter(|&i| ink.pixels[i] > 0.0 && stroke(i % 300, i / 300));
            assert!(kept.count() > 15 * 99 * 9 / 10, "{slope}");
        }
    }

    #[test]
    fn vertical_lines_are_lines_too() {
        let mut ink = ruled(0.05).transposed();
        assert!(remove(&mut ink, 0.3).count >= 4);
    }

    #[test]
    fn a_single_stroke_is_no_ruled_line() {
        let mut ink =
            Gray::from_fn(
                200,
                200,
                |x, y| {
                    if x.abs_diff(100) < 6 && y.abs_diff(100) < 80 { 1.0 } else { 0.0 }
                },
            );
        let before = ink.clone();
        assert_eq!(remove(&mut ink, 0.3).count, 0);
        assert_eq!(ink, before);
    }
}
