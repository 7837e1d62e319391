//! How long a dispatch may take on a slow GPU, so that none of them trips a driver's watchdog.
//!
//! Drivers reset a GPU whose work does not end: Windows after 2 s (TDR), Linux drivers after 2 to 10 s, and a desktop stutters
//! long before. Nothing is measured at first, since the device that must not be lost is the one that nobody has tried: an op's
//! least work is divided by what a slow GPU gets done, and a grid that would take more than [`LONGEST`] is dispatched in parts.
//! Workgroups do not know of each other, so the parts yield the same bits as the whole.

use crate::ops::Cost;
use std::time::Duration;

/// A tenth of the 330 GFLOP/s and a sixth of the 25.6 GB/s of an Intel HD 4000 (2012), about the least that Vulkan, Metal or
/// Direct3D 12 run on: kernels reach no more of a small GPU's peak than that when they are not made for it.
const FLOPS: f64 = 33e9;
const BYTES: f64 = 4e9;

/// The longest that one dispatch may take on such a GPU.
pub(super) const LONGEST: Duration = Duration::from_millis(250);
/// The longest that one submission may take on it, unless a single step takes longer.
const LONGEST_SUBMISSION: Duration = Duration::from_secs(1);

/// What a call takes on a slow GPU.
pub(super) fn estimate(cost: Cost) -> Duration {
    Duration::from_secs_f64((cost.flops as f64 / FLOPS).max(cost.bytes as f64 / BYTES))
}

/// A box of workgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The first workgroup in x, y and z.
    pub(super) first: [u32; 3],
    /// Workgroups in x, y and z.
    pub(super) groups: [u32; 3],
}

/// The parts of a grid that takes `time`, none longer than `longest`, as far as its workgroups can be divided: first the
/// dimension that has most of them.
pub(super) fn parts(grid: [u32; 3], time: Duration, longest: Duration) -> Vec<Part> {
    let wanted = (time.as_secs_f64() / longest.as_secs_f64()).ceil().max(1.0);
    let axis = (0..3).max_by_key(|&axis| grid[axis]).unwrap_or(0);
    let pieces = (wanted as u32).min(grid[axis]).max(1);
    let each = grid[axis].div_ceil(pieces);
    let mut parts = Vec::new();
    let mut start = 0;
    while start < grid[axis] {
        let (mut first, mut groups) = ([0; 3], grid);
        first[axis] = start;
        groups[axis] = each.min(grid[axis] - start);
        parts.push(Part { first, groups });
        start += each;
    }
    parts
}

/// Runs of a program in one submission: enough that the cost of submitting does not show, and not too long for a device that
/// is `watched`. Nothing resets a software device.
pub(super) fn runs_per_submission(program: Duration, watched: bool, most: usize) -> usize {
    if !watched {
        return most;
    }
    let fitting = LONGEST_SUBMISSION.as_secs_f64() / program.as_secs_f64().max(1e-9);
    (fitting as usize).clamp(1, most)
}

/// Runs in the next submission, after one of `runs` that took no more than `took`: twice as many, as long as they should take no
/// more than half of the longest.
pub(super) fn more_runs(runs: usize, took: Duration, most: usize) -> usize {
    if 4 * took < LONGEST_SUBMISSION { most.min(2 * runs).max(runs) } else { runs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_grid_once_and_none_is_too_long() {
        for (grid, milliseconds) in [
            ([7, 3, 1], 1000),
            ([1, 1, 1], 5000),
            ([65_535, 2, 1], 10_000),
            ([3, 100, 2], 251),
            ([9, 9, 9], 1),
        ] {
            let parts = parts(grid, Duration::from_millis(milliseconds), LONGEST);
            let axis = (0..3).max_by_key(|&axis| grid[axis]).unwrap();
            let mut next = 0;
            for part in &parts {
                assert_eq!(part.first[axis], next);
                next += part.groups[axis];
                for other in (0..3).filter(|&other| other != axis) {
                    assert_eq!((part.first[other], part.groups[other]), (0, grid[other]));
                }
                let share = f64::from(part.groups[axis]) / f64::from(grid[axis]);
                let whole_groups = part.groups[axis] == 1;
                // Rounding to whole workgroups may add one to a part.
                let slack = 1.0 / f64::from(grid[axis]);
                assert!(whole_groups || (share - slack) * milliseconds as f64 <= 250.0, "{grid:?} {part:?}");
            }
            assert_eq!(next, grid[axis]);
        }
        assert_eq!(parts([9, 9, 9], Duration::from_millis(1), LONGEST).len(), 1);
        assert_eq!(parts([8, 1, 1], Duration::from_secs(1), LONGEST).len(), 4);
    }

    #[test]
    fn submissions_hold_many_short_steps_and_one_long_one() {
        assert_eq!(runs_per_submission(Duration::from_micros(10), true, 16), 16);
        assert_eq!(runs_per_submission(Duration::from_millis(300), true, 16), 3);
        assert_eq!(runs_per_submission(Duration::from_secs(9), true, 16), 1);
        assert_eq!(runs_per_submission(Duration::from_secs(9), false, 16), 16);
        assert_eq!(more_runs(3, Duration::from_millis(20), 16), 6);
        assert_eq!(more_runs(9, Duration::from_millis(20), 16), 16);
        assert_eq!(more_runs(3, Duration::from_millis(260), 16), 3);
        let cost = Cost { flops: 33_000_000_000, bytes: 4 };
        assert!((estimate(cost).as_secs_f64() - 1.0).abs() < 1e-6);
    }
}
