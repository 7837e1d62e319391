//! The correlation and its weights' gradients over any number type, by either algorithm. In f64 both are the truth; over
//! [`crate::ops::tracked::Tracked`] each yields its own rounding errors.

use super::winograd::{Grid, PRODUCTS, SIDE, rows_of, suits};
use super::{Algorithm, Correlation};
use crate::ops::LANES;
use crate::ops::real::Real;

impl Algorithm {
    /// That of the CPU backend for outputs.
    pub(in crate::ops) fn of_cpu(c: &Correlation) -> Self {
        if suits(c, 8) { Self::Winograd } else { Self::Direct }
    }

    /// That of the CPU backend for weights' gradients, which take two transforms for every tile.
    pub(in crate::ops) fn of_cpu_for_weights(c: &Correlation) -> Self {
        if suits(c, 16) { Self::Winograd } else { Self::Direct }
    }
}

impl Correlation {
    /// The outputs of blocks of images `x`; `weight` gives the weight at an input channel, row, column and output channel.
    pub(in crate::ops) fn outputs_of<T: Real>(
        &self,
        algorithm: Algorithm,
        blocks: usize,
        x: &[T],
        weight: impl Fn(usize, usize, usize, usize) -> T,
    ) -> Vec<T> {
        match algorithm {
            Algorithm::Direct => self.direct_outputs(blocks, x, weight),
            Algorithm::Winograd => self.winograd_outputs(blocks, x, weight),
        }
    }

    fn direct_outputs<T: Real>(
        &self,
        blocks: usize,
        x: &[T],
        weight: impl Fn(usize, usize, usize, usize) -> T,
    ) -> Vec<T> {
        let output = |word| {
            let (block, output, oy, ox, lane) = self.output_index(word);
            let mut sum = T::ZERO;
            for input in 0..self.inputs {
                for (ky, iy) in self.rows(oy) {
                    for (kx, ix) in self.columns(ox) {
                        let at = ((block * self.inputs + input) * self.height + iy) * self.width + ix;
                        let x = x[at * LANES + lane].factor();
                        sum = x.mul_add(weight(input, ky, kx, output).factor(), sum);
                    }
                }
            }
            sum
        };
        (0..blocks * self.output_words()).map(output).collect()
    }

    fn winograd_outputs<T: Real>(
        &self,
        blocks: usize,
        x: &[T],
        weight: impl Fn(usize, usize, usize, usize) -> T,
    ) -> Vec<T> {
        let pairs = (0..self.outputs).flat_map(|o| (0..self.inputs).map(move |i| (i, o)));
        let u: Vec<[[T; SIDE]; SIDE]> = pairs
            .map(|(input, output)| {
                let columns: [_; 3] = std::array::from_fn(|kx| {
                    weights_along(std::array::from_fn(|ky| weight(input, ky, kx, output)))
                });
                std::array::from_fn(|row| weights_along(std::array::from_fn(|kx| columns[kx][row])))
            })
            .collect();
        let mut outputs = vec![T::ZERO; blocks * self.output_words()];
        self.each_tile(blocks, x, |block, lane, (oy, ox), v| {
            for (output, u) in u.chunks_exact(self.inputs).enumerate() {
                let mut m = [[T::ZERO; SIDE]; SIDE];
                for (v, u) in v.iter().zip(u) {
                    for (row, column) in (0..PRODUCTS).map(|i| (i / SIDE, i % SIDE)) {
                        m[row][column] = u[row][column].mul_add(v[row][column], m[row][column]);
                    }
                }
                let columns: [_; SIDE] =
                    std::array::from_fn(|column| outputs_along(std::array::from_fn(|row| m[row][column])));
                for dy in 0..2.min(self.out_height - oy) {
                    let y = outputs_along(std::array::from_fn(|column| columns[column][dy]));
                    for (dx, &y) in y.iter().enumerate().take(self.out_width - ox) {
                        let plane = block * self.outputs + output;
                        let pixel = (plane * self.out_height + oy + dy) * self.out_width + ox + dx;
                        outputs[pixel * LANES + lane] = y;
                    }
                }
            }
        });
        outputs
    }

    /// Adds the gradients of one block's weights to `gradients`, `[inputs][kernel][kernel][outputs]`.
    pub(in crate::ops) fn add_weight_gradients<T: Real>(
        &self,
        algorithm: Algorithm,
        x: &[T],
        y_grad: &[T],
        gradients: &mut [T],
    ) {
        match algorithm {
            Algorithm::Direct => self.add_direct_weight_gradients(x, y_grad, gradients),
            Algorithm::Winograd => self.add_winograd_weight_gradients(x, y_grad, gradients),
        }
    }

    fn add_direct_weight_gradients<T: Real>(&self, x: &[T], y_grad: &[T], gradients: &mut [T]) {
        for (word, &gradient) in y_grad.iter().enumerate() {
            let (_, output, oy, ox, lane) = self.output_index(word);
            for input in 0..self.inputs {
                for (ky, iy) in self.rows(oy) {
                    for (kx, ix) in self.columns(ox) {
                        let at = (input * self.height + iy) * self.width + ix;
                        let w = ((input * self.kernel + ky) * self.kernel + kx) * self.outputs + output;
                        gradients[w] = x[at * LANES + lane].mul_add(gradient, gradients[w]);
                    }
                }
            }
        }
    }

    fn add_winograd_weight_gradients<T: Real>(&self, x: &[T], y_grad: &[T], gradients: &mut [T]) {
        let mut sums = vec![[[T::ZERO; SIDE]; SIDE]; self.inputs * self.outputs];
        self.each_tile(1, x, |_, lane, (oy, ox), v| {
            for output in 0..self.outputs {
                let e = |dy, dx| match oy + dy < self.out_height && ox + dx < self.out_width {
                    true => {
                        let pixel = (output * self.out_height + oy + dy) * self.out_width + ox + dx;
                        y_grad[pixel * LANES + lane]
                    }
                    false => T::ZERO,
                };
                let columns = [0, 1].map(|dx| gradients_of_outputs_along([e(0, dx), e(1, dx)]));
                for row in 0..SIDE {
                    let a = gradients_of_outputs_along([columns[0][row], columns[1][row]]);
                    for (input, v) in v.iter().enumerate() {
                        let sums = &mut sums[input * self.outputs + output][row];
                        for column in 0..SIDE {
                            sums[column] = v[row][column].mul_add(a[column], sums[column]);
                        }
                    }
                }
            }
        });
        for (pair, m) in sums.into_iter().enumerate() {
            let (input, output) = (pair / self.outputs, pair % self.outputs);
            let columns: [_; SIDE] =
                std::array::from_fn(|column| gradients_along(std::array::from_fn(|row| m[row][column])));
            for ky in 0..3 {
                let taps = gradients_along(std::array::from_fn(|column| columns[column][ky]));
                for (kx, gradient) in taps.into_iter().enumerate() {
                    gradients[((input * 3 + ky) * 3 + kx) * self.outputs + output] += gradient;
                }
            }
        }
    }

    /// Calls `work` with every tile of every image: its block and lane, the place of its first output, and the numbers v of each
    /// input channel.
    fn each_tile<T: Real>(
        &self,
        blocks: usize,
        x: &[T],
        mut work: impl FnMut(usize, usize, (usize, usize), &[[[T; SIDE]; SIDE]]),
    ) {
        let grid = Grid::of(self);
        for (block, lane) in (0..blocks * LANES).map(|image| (image / LANES, image % LANES)) {
            for (oy, ox) in grid.places(0..grid.count()) {
                let transformed = |input: usize| {
                    let d = |row: usize, column: usize| {
                        let inside = |at: usize, size| at.checked_sub(self.pad).filter(|&i| i < size);
                        match (inside(oy + row, self.height), inside(ox + column, self.width)) {
                            (Some(iy), Some(ix)) => {
                                let plane = block * self.inputs + input;
                                x[((plane * self.height + iy) * self.width + ix) * LANES + lane]
                            }
                            _ => T::ZERO,
                        }
                    };
                    let columns: [_; SIDE] =
                        std::array::from_fn(|column| inputs_along(std::array::from_fn(|row| d(row, column))));
                    std::array::from_fn(|row| {
                        inputs_along(std::array::from_fn(|column| columns[column][row]))
                    })
                };
                let v: Vec<[[T; SIDE]; SIDE]> = (0..self.inputs).map(transformed).collect();
                work(block, lane, (oy, ox), &v);
            }
        }
    }
}

fn inputs_along<T: Real>(d: [T; SIDE]) -> [T; SIDE] {
    std::array::from_fn(|row| {
        let (first, second) = rows_of(row);
        if row == 1 { d[first] + d[second] } else { d[first] - d[second] }
    })
}

fn weights_along<T: Real>(g: [T; 3]) -> [T; SIDE] {
    let half = T::of(0.5);
    let (outer, inner) = (half * (g[0] + g[2]), half * g[1]);
    [g[0], outer + inner, outer - inner, g[2]]
}

fn outputs_along<T: Real>(m: [T; SIDE]) -> [T; 2] {
    [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]
}

fn gradients_of_outputs_along<T: Real>(e: [T; 2]) -> [T; SIDE] {
    [e[0], e[0] + e[1], e[0] - e[1], -e[1]]
}

fn gradients_along<T: Real>(m: [T; SIDE]) -> [T; 3] {
    let half = T::of(0.5);
    let (sum, difference) = (half * (m[1] + m[2]), half * (m[1] - m[2]));
    [m[0] + sum, difference, sum + m[3]]
}
