//! Closing: what is darker than its surroundings and narrow is filled in, and edges stay where they are.
//!
//! ```text
//! dilated(x) = max over the square round x       closed(x) = min over the square round x of dilated
//! ```
//! A stroke of a pen is light on either side, so a square that is wider than it closes it. The edge of a shadow has one
//! light side only: the closing of a straight step is that step, however it slants (Serra, "Image analysis and
//! mathematical morphology", 1982). Maxima over a window by M. van Herk, "A fast algorithm for local minimum and
//! maximum filters on rectangular and octagonal kernels", Pattern Recognition Letters 13, 1992.

use super::gray::Gray;

/// Closes `plane` with a square of `radius` to either side. Beyond the edge of the picture its last pixels go on for
/// ever, and the edge of a shadow goes on as an edge.
pub(crate) fn closed(plane: &Gray, radius: usize) -> Gray {
    let inside = |at: usize, len: usize| at.saturating_sub(radius).min(len - 1);
    let wide = Gray::from_fn(plane.width + 2 * radius, plane.height + 2 * radius, |x, y| {
        plane.at(inside(x, plane.width), inside(y, plane.height))
    });
    let closed = over_squares(&over_squares(&wide, radius, f32::max), radius, f32::min);
    Gray::from_fn(plane.width, plane.height, |x, y| closed.at(x + radius, y + radius))
}

/// The opposite: what is lighter than its surroundings and narrow is taken away.
pub(crate) fn opened(plane: &Gray, radius: usize) -> Gray {
    let eroded = over_squares(plane, radius, f32::min);
    over_squares(&eroded, radius, f32::max)
}

fn over_squares(plane: &Gray, radius: usize, most: fn(f32, f32) -> f32) -> Gray {
    over_rows(&over_rows(plane, radius, most).transposed(), radius, most).transposed()
}

/// For each pixel, the most of its row from `radius` before to `radius` after.
fn over_rows(plane: &Gray, radius: usize, most: fn(f32, f32) -> f32) -> Gray {
    let (width, length) = (plane.width, 2 * radius + 1);
    let mut out = plane.clone();
    // The row with its ends repeated, which changes no maximum or minimum, in blocks as long as the window: a window is
    // the end of one block and the beginning of the next.
    let mut row = vec![0.0; (width + 2 * radius).next_multiple_of(length)];
    let (mut from_start, mut to_end) = (row.clone(), row.clone());
    for y in 0..plane.height {
        let pixels = plane.row(y);
        for (i, value) in row.iter_mut().enumerate() {
            *value = pixels[i.saturating_sub(radius).min(width - 1)];
        }
        from_start.copy_from_slice(&row);
        to_end.copy_from_slice(&row);
        for block in from_start.chunks_exact_mut(length) {
            for i in 1..length {
                block[i] = most(block[i], block[i - 1]);
            }
        }
        for block in to_end.chunks_exact_mut(length) {
            for i in (1..length).rev() {
                block[i - 1] = most(block[i - 1], block[i]);
            }
        }
        for x in 0..width {
            out.pixels[y * width + x] = most(to_end[x], from_start[x + length - 1]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_their_maxima() {
        let plane = Gray::from_fn(23, 7, |x, y| ((x * 83 + y * 47) % 101) as f32);
        for radius in [0, 1, 4, 30] {
            let fast = over_rows(&plane, radius, f32::max);
            for y in 0..7 {
                for x in 0..23_usize {
                    let window = &plane.row(y)[x.saturating_sub(radius)..(x + radius + 1).min(23)];
                    assert_eq!(
                        fast.at(x, y),
                        window.iter().fold(0.0, |a: f32, &b| a.max(b)),
                        "{radius} {x} {y}"
                    );
                }
            }
        }
    }

    #[test]
    fn strokes_are_filled_and_slanting_steps_stay() {
        let stroke = Gray::from_fn(80, 60, |x, y| if (x + y).abs_diff(70) < 5 { 20.0 } else { 200.0 });
        assert!(closed(&stroke, 12).pixels.iter().all(|&v| v == 200.0));
        assert!(opened(&stroke.map(|v| 220.0 - v), 12).pixels.iter().all(|&v| v == 20.0));
        let step = Gray::from_fn(80, 60, |x, y| if x + 2 * y < 100 { 90.0 } else { 200.0 });
        assert_eq!(closed(&step, 20), step);
    }
}
