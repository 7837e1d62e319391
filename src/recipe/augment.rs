//! `[augment]`: how training images are changed anew in every epoch; see [`crate::ops::gather_augmented`] for the formulas.

use super::problem::{Problem, at_least, fraction};
use serde::{Deserialize, Serialize};

/// The `[augment]` table. Every range is symmetric about "no change", and 0 is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Epochs, from the first on, in which images are changed; all if it is not given. Training that ends on images as they
    /// are closes the gap between what was trained on and what is to be recognised (He and others, "Data augmentation
    /// revisited", 2019).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Share of the images that are moved: shifted, rotated, scaled, sheared and deformed. The others stay as sharp as they
    /// are, where interpolation between pixels blurs.
    pub share: f64,
    /// Furthest shift in x and in y, in pixels.
    pub shift: f64,
    /// Largest angle of rotation about the centre, in degrees up to 90. The draw is uniform in the tangent of half the angle.
    pub rotation: f64,
    /// Largest change of size: sizes are from 1 - `scale` to 1 + `scale`; below 1.
    pub scale: f64,
    /// Largest angle by which upright lines are slanted, in degrees up to 60.
    pub shear: f64,
    /// Elastic deformation: furthest displacement in x and in y of the nodes of a coarse grid, in pixels.
    pub elastic: f64,
    /// Pixels between nodes of that grid; between them displacements are interpolated.
    pub elastic_spacing: u64,
    /// Share of the images in which a rectangle is erased.
    pub erase: f64,
    /// Largest side of that rectangle as a share of the image's.
    pub erase_size: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            epochs: None,
            share: 1.0,
            shift: 0.0,
            rotation: 0.0,
            scale: 0.0,
            shear: 0.0,
            elastic: 0.0,
            elastic_spacing: 7,
            erase: 0.0,
            erase_size: 0.5,
        }
    }
}

impl Augment {
    /// Whether images stay as they are.
    pub fn is_off(&self) -> bool {
        let moves = [self.shift, self.rotation, self.scale, self.shear, self.elastic]
            .iter()
            .any(|range| *range != 0.0);
        !(moves && self.share > 0.0) && self.erase == 0.0
    }

    /// # Errors
    /// What is out of range.
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.epochs.map_or(Ok(()), |epochs| at_least("epochs", epochs, 1))?;
        within("share", self.share, 0.0, 1.0)?;
        // Far enough for any image, and near enough for positions to stay exact to a thousandth of a pixel.
        within("shift", self.shift, 0.0, 1000.0)?;
        within("rotation", self.rotation, 0.0, 90.0)?;
        fraction("scale", self.scale)?;
        within("shear", self.shear, 0.0, 60.0)?;
        within("elastic", self.elastic, 0.0, 1000.0)?;
        at_least("elastic_spacing", self.elastic_spacing, 1)?;
        within("elastic_spacing", self.elastic_spacing as f64, 1.0, 1000.0)?;
        within("erase", self.erase, 0.0, 1.0)?;
        within("erase_size", self.erase_size, 0.0, 1.0)
    }
}

/// `value` must lie in `[least, most]`.
fn within(key: &str, value: f64, least: f64, most: f64) -> Result<(), Problem> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Problem::at(key, format!("{value} is out of range; it must be from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked_and_nothing_is_on_by_default() {
        let off = Augment::default();
        assert!(off.is_off() && off.check().is_ok());
        let on = Augment {
            shift: 2.0,
            rotation: 90.0,
            scale: 0.5,
            shear: 60.0,
            elastic: 1.0,
            erase: 1.0,
            ..off.clone()
        };
        assert!(!on.is_off() && on.check().is_ok());
        assert!(Augment { share: 0.0, erase: 0.0, ..on.clone() }.is_off());
        assert!(!Augment { share: 0.0, ..on }.is_off());
        let wrong = [
            Augment { epochs: Some(0), ..off.clone() },
            Augment { share: 1.1, ..off.clone() },
            Augment { shift: -1.0, ..off.clone() },
            Augment { rotation: 91.0, ..off.clone() },
            Augment { scale: 1.0, ..off.clone() },
            Augment { shear: 61.0, ..off.clone() },
            Augment { elastic: f64::NAN, ..off.clone() },
            Augment { elastic_spacing: 0, ..off.clone() },
            Augment { erase: 1.5, ..off.clone() },
            Augment { erase_size: f64::INFINITY, ..off },
        ];
        for augment in wrong {
            assert!(augment.check().is_err(), "{augment:?}");
        }
    }
}
