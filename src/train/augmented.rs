//! Training images as a recipe's `[augment]` changes them, to be looked at.

use crate::data::{Images, PixelTransform};
use crate::ops::gather_augmented::GatherAugmented;
use crate::ops::{LANES, Op, Slot, blocks, control, words};
use crate::plan::augment;
use crate::recipe::Augment;

/// Images `rows` of the training set as training with `seed` sees them in epoch `epoch` (from 0), in the order of `rows`.
///
/// # Panics
/// If a row is not below [`Images::count`], or there is none.
pub fn augmented(images: &Images, rows: &[u32], augment: &Augment, seed: u64, epoch: usize) -> Images {
    let (size, count) = (images.size(), rows.len());
    assert!(count > 0 && rows.iter().all(|&row| (row as usize) < images.count), "rows of {}", images.count);
    let unscaled = PixelTransform { mean: 0.0, divisor: 1.0, l2_columns: false };
    let params = augment::params(augment, &unscaled, blocks(count), (images.height, images.width));
    // The op draws by the number of the image, so images keep their numbers.
    let needed = rows.iter().max().map_or(0, |&last| last as usize + 1);
    let mut bytes = images.rows(0..needed).to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let mut pixels: Vec<u32> =
        bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    let mut order = rows.to_vec();
    let mut control = control::start(0, 0, count, count, epoch, seed);
    let mut x = vec![0.0_f32; blocks(count) * size * LANES];
    let slots = vec![
        Slot::Words(&mut pixels),
        Slot::Words(&mut order),
        Slot::Words(&mut control),
        Slot::Real(&mut x),
    ];
    GatherAugmented.reference_f32(&words(&params), slots);
    let pixel = |n: usize, i: usize| x[(n / LANES * size + i) * LANES + n % LANES].round() as u8;
    let pixels = (0..count).flat_map(|n| (0..size).map(move |i| (n, i))).map(|(n, i)| pixel(n, i)).collect();
    Images { count, height: images.height, width: images.width, pixels }
}
