//! A classifier that needs no training: the nearest of many training images. The accuracy of the stages is
//! measured against it on clean digits, so that its own mistakes do not count.

use gpu_mnist::data::DataSet;

/// Training images to compare with.
pub(crate) struct Neighbours {
    images: Vec<u8>,
    labels: Vec<u8>,
}

impl Neighbours {
    /// Takes the first `count` training images.
    pub(crate) fn of(data: &DataSet, count: usize) -> Self {
        Self {
            images: data.train.images.rows(0..count).to_vec(),
            labels: data.train.labels[..count].to_vec(),
        }
    }

    /// The digit that most of the three nearest images show, or else the nearest.
    pub(crate) fn classify(&self, pixels: &[u8]) -> usize {
        let mut nearest = [(u32::MAX, 0_u8); 3];
        for (image, &label) in self.images.chunks_exact(784).zip(&self.labels) {
            let distance: u32 =
                image.iter().zip(pixels).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum();
            if distance < nearest[2].0 {
                nearest[2] = (distance, label);
                nearest.sort_unstable();
            }
        }
        let [first, second, third] = nearest.map(|(_, label)| label);
        usize::from(if second == third { second } else { first })
    }
}
