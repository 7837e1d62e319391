//! Shapes for the test cases of the convolution ops.

use super::Correlation;

/// A shape that is hard on convolutions, for the ops' test cases.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Shape {
    /// What is special about it.
    pub(in crate::ops) name: &'static str,
    /// Blocks of 16 images.
    pub(in crate::ops) blocks: usize,
    /// The convolution, forward.
    pub(in crate::ops) forward: Correlation,
}

impl Shape {
    fn new(
        name: &'static str,
        blocks: usize,
        (inputs, height, width): (usize, usize, usize),
        outputs: usize,
        kernel: usize,
        same: bool,
    ) -> Self {
        let (lost, pad) = if same { (0, (kernel - 1) / 2) } else { (kernel - 1, 0) };
        let (out_height, out_width) = (height - lost, width - lost);
        let forward = Correlation { inputs, height, width, outputs, out_height, out_width, kernel, pad };
        Self { name, blocks, forward }
    }

    /// Those with a window of 2x2 outputs.
    pub(in crate::ops) fn pooled() -> Vec<Self> {
        let mut shapes = Self::hostile();
        shapes.retain(|shape| shape.forward.out_height >= 2 && shape.forward.out_width >= 2);
        shapes
    }

    /// Something small, for all activations.
    pub(in crate::ops) fn small() -> Self {
        Self::new("small", 2, (2, 4, 5), 3, 3, true)
    }

    /// All of them.
    pub(in crate::ops) fn hostile() -> Vec<Self> {
        vec![
            Self::new("smallest", 1, (1, 1, 1), 1, 1, false),
            Self::new("one pixel, same", 5, (3, 1, 1), 2, 3, true),
            Self::new("kernel as large as the image", 2, (3, 4, 4), 7, 4, false),
            Self::new("kernel larger than the image", 1, (2, 2, 3), 3, 5, true),
            Self::new("even kernel, same", 3, (2, 5, 6), 5, 2, true),
            Self::new("even kernel of four, same", 1, (3, 7, 5), 4, 4, true),
            Self::new("products without neighbours", 2, (5, 3, 4), 6, 1, true),
            Self::new("one row", 2, (2, 1, 29), 3, 3, true),
            Self::new("one column", 2, (2, 17, 1), 3, 3, true),
            Self::new("first layer", 1, (1, 28, 28), 16, 3, true),
            Self::new("first layer, valid", 2, (1, 28, 28), 5, 3, false),
            Self::new("tile of pixels less one", 5, (4, 3, 6), 5, 3, true),
            Self::new("tile of pixels", 4, (3, 2, 7), 6, 3, true),
            Self::new("tile of pixels and one", 3, (5, 2, 8), 7, 3, true),
            Self::new("primes", 3, (7, 5, 11), 13, 3, true),
            Self::new("primes, valid", 3, (7, 5, 13), 11, 3, false),
            Self::new("middle layer", 1, (6, 14, 14), 9, 3, true),
            Self::new("four by four, valid", 1, (7, 13, 13), 10, 4, false),
            Self::new("tiles of two by two", 2, (8, 4, 4), 8, 3, true),
            Self::new("half tiles, same", 3, (9, 7, 9), 17, 3, true),
            Self::new("half tiles, valid", 2, (19, 9, 11), 18, 3, false),
            Self::new("half tiles of one row", 1, (16, 1, 9), 21, 3, true),
            Self::new("two chunks of tiles", 1, (64, 13, 22), 16, 3, true),
            Self::new("kernel of seven, same", 1, (2, 9, 8), 3, 7, true),
        ]
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Correlation { inputs, height, width, outputs, kernel, pad, .. } = self.forward;
        let (name, blocks) = (self.name, self.blocks);
        write!(
            f,
            "{name}: {blocks} blocks, {inputs} -> {outputs}, {height} x {width}, kernel {kernel}, pad {pad}"
        )
    }
}
