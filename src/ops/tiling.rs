//! The sizes of the tiles that GPU kernels keep in registers, from a fixed table.

use super::DeviceClass;

/// The size that cuts `total` into the fewest, equal tiles of at most `most`; the last may be short.
pub(super) fn share(total: usize, most: usize) -> usize {
    total.div_ceil(total.div_ceil(most))
}

/// The tile size, at most `most` and `total`, at which tiles cost least: each its size and what it loads besides; of several
/// the largest. The last tile may overlap the one before.
pub(super) fn tile(total: usize, most: usize) -> usize {
    const LOADS: usize = 2;
    (1..=most.min(total)).rev().min_by_key(|&size| total.div_ceil(size) * (size + LOADS)).unwrap_or(1)
}

/// Lanes of a workgroup, values that an invocation adds at a time, a divisor of `depth`, and results that it keeps of each
/// of its four images.
pub(super) fn product(depth: u32, results: u32, class: DeviceClass) -> (u32, u32, u32) {
    let divisor =
        |most: u32| (0..=most.ilog2()).map(|i| 1 << i).rfind(|n| depth.is_multiple_of(*n)).unwrap_or(1);
    let (lanes, step, most) = match class {
        // Eight rows of weights by four results keep loads in the background; where eight do not fit, more results do.
        DeviceClass::Gpu if depth.is_multiple_of(8) => (64, 8, 4),
        DeviceClass::Gpu => (64, divisor(4), 8),
        DeviceClass::Software => (8, 1, 8),
    };
    (lanes, step, tile(results as usize, most) as u32)
}

/// Whether sizes and places in memory are whole fours, so that four weights are one load.
pub(super) fn in_fours<const COUNT: usize>(words: [u32; COUNT]) -> bool {
    words.iter().all(|words| words.is_multiple_of(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_and_waste_little() {
        let sizes = [(28, 7), (14, 7), (26, 7), (10, 7), (13, 7), (1, 1), (2, 2)];
        let tiles = sizes.map(|(total, _)| tile(total, 7));
        assert_eq!(tiles, [7, 7, 7, 5, 7, 1, 2]);
        assert_eq!(
            [(128, 4), (10, 4), (37, 16), (100, 8)].map(|(total, most)| tile(total, most)),
            [4, 4, 13, 8]
        );
        assert_eq!([share(28, 7), share(26, 7), share(1, 7)], [7, 7, 1]);
    }

    #[test]
    fn products_take_divisors_at_a_time() {
        for depth in 1..200 {
            for class in [DeviceClass::Gpu, DeviceClass::Software] {
                let (_, step, results) = product(depth, 3, class);
                assert!(depth.is_multiple_of(step) && (1..=3).contains(&results));
            }
        }
    }
}
