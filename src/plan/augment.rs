//! The call that gathers and changes training images, from a recipe's `[augment]`.

use crate::data::PixelTransform;
use crate::ops::gather_augmented::Params;
use crate::recipe::Augment;

/// The op's parameters for `blocks` blocks of images of `(height, width)`.
pub fn params(
    augment: &Augment,
    transform: &PixelTransform,
    blocks: usize,
    (height, width): (usize, usize),
) -> Params {
    let largest = |side: usize| ((augment.erase_size * side as f64).round() as u32).clamp(1, side as u32);
    Params {
        blocks: blocks as u32,
        height: height as u32,
        width: width as u32,
        l2_columns: u32::from(transform.l2_columns),
        mean: transform.mean,
        divisor: transform.divisor,
        epochs: augment.epochs.map_or(u32::MAX, |epochs| epochs.try_into().unwrap_or(u32::MAX)),
        share: augment.share as f32,
        shift: augment.shift as f32,
        turn: (augment.rotation.to_radians() / 2.0).tan() as f32,
        scale: augment.scale as f32,
        shear: augment.shear.to_radians().tan() as f32,
        elastic: augment.elastic as f32,
        spacing: augment.elastic_spacing as u32,
        erase: augment.erase as f32,
        erase_height: largest(height),
        erase_width: largest(width),
    }
}
