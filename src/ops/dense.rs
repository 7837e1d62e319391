//! The dense product with its bias and activation.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::control;
use super::dense_cpu::{self, Finish, Product};
use super::dense_weight_grad;
use super::dropout::Epilogue as Dropout;
use super::matrices::Matrices;
use super::real::Real;
use super::share::{CpuArgs, Part, Region, Split};
use super::simd::{self, Simd};
use super::tiling;
use super::unroll::UNROLL;
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, read_words,
    slots, write_activation,
};
use std::ops::Range;

params! {
    /// Shapes, and where the parameters lie in the flat buffer.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Features of an input.
        inputs: u32,
        /// Features of an output.
        units: u32,
        /// First word of the weights, `[inputs][units]`.
        weight: u32,
        /// First word of the biases, `[units]`.
        bias: u32,
        /// Number of the [`Activation`].
        activation: u32,
        /// Number of the dropout layer that follows: each draws numbers of its own.
        dropout_layer: u32,
        /// Share of the elements that it makes zero, below one; 0 for no dropout.
        dropout_rate: f32,
    }
}

impl Params {
    fn dropout(&self) -> Dropout {
        Dropout { layer: self.dropout_layer, rate: self.dropout_rate }
    }
}

/// See the shader for the formula.
pub struct Dense;

impl Formula for Dense {
    type Params = Params;
    const NAME: &'static str = "dense";
    const BINDINGS: &'static [Binding] =
        &[read_activation("x"), read("parameters"), read_words("control"), write_activation("y")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let epilogue = [("ACTIVATION", p.activation), p.dropout().constant()];
        if class == DeviceClass::Software && tiling::in_fours([p.units, p.weight, p.bias]) {
            let (lanes, weights, blocks) = (8, 4, if p.blocks.is_multiple_of(2) { 2 } else { 1 });
            let sizes = [
                ("LANES", lanes),
                ("WEIGHTS", weights),
                ("BLOCKS", blocks),
                ("BY_WORKGROUP", 1),
                (UNROLL, 1),
            ];
            let constants = sizes.into_iter().chain(epilogue).collect();
            return Kernel { constants, grid: [p.units.div_ceil(lanes * weights), p.blocks / blocks, 1] };
        }
        let (lanes, depth, units) = tiling::product(p.inputs, p.units, class);
        let sizes = [("LANES", lanes), ("DEPTH", depth), ("UNITS", units)];
        Kernel {
            constants: sizes.into_iter().chain(epilogue).collect(),
            grid: [(p.blocks * LANES as u32 / 4).div_ceil(lanes), p.units.div_ceil(units), 1],
        }
    }

    fn cooperative_kernel(p: &Params, matrices: Matrices) -> Option<Kernel> {
        let epilogue = [("ACTIVATION", p.activation), p.dropout().constant()];
        Some(matrices.kernel(p.units, p.blocks * LANES as u32, epilogue))
    }

    fn cost(p: &Params) -> Cost {
        let (images, inputs, units) =
            (u64::from(p.blocks) * LANES as u64, u64::from(p.inputs), u64::from(p.units));
        Cost {
            flops: 2 * images * inputs * units,
            bytes: 4 * (images * (inputs + units) + (inputs + 1) * units),
        }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [x, parameters, control, y] = slots(args);
        let (x, parameters, control, y) = (x.real(), parameters.real(), control.words(), y.real());
        let (inputs, units) = (p.inputs as usize, p.units as usize);
        let activation = Activation::from_code(p.activation);
        let (weight, bias) = (&parameters[p.weight as usize..], &parameters[p.bias as usize..]);
        for block in 0..p.blocks as usize {
            for unit in 0..units {
                for lane in 0..LANES {
                    let mut sum = T::ZERO;
                    for k in 0..inputs {
                        let x = x[(block * inputs + k) * LANES + lane].factor();
                        sum = x.mul_add(weight[k * units + unit].factor(), sum);
                    }
                    let i = (block * units + unit) * LANES + lane;
                    y[i] = p.dropout().apply(control, i, activation.apply(sum + bias[unit]));
                }
            }
        }
    }

    fn split(p: &Params) -> Split {
        let blocks = p.blocks as usize;
        match dense_cpu::split(blocks) {
            Split::BlocksOrShares { .. } if p.inputs >= LONG => {
                Split::Pieces { count: PIECES, scratch: PIECES * blocks * p.units as usize * LANES, blocks }
            }
            split => split,
        }
    }

    fn regions(p: &Params, binding: usize) -> Vec<Region> {
        let (inputs, units) = (p.inputs as usize, p.units as usize);
        match binding {
            0 | 2 => vec![Region::ALL],
            1 => vec![Region::words(p.weight, inputs * units), Region::words(p.bias, units)],
            _ => vec![Region::features(p.units)],
        }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
    }

    fn cases() -> Vec<Case<Params>> {
        let case =
            |name: &str, blocks: usize, inputs: usize, units: usize, activation: Activation, rate: f32| {
                let (weight, bias) = dense_weight_grad::case_places(inputs, units);
                let p = Params {
                    blocks: blocks as u32,
                    inputs: inputs as u32,
                    units: units as u32,
                    weight: weight as u32,
                    bias: bias as u32,
                    activation: activation as u32,
                    dropout_layer: 5,
                    dropout_rate: rate,
                };
                Case::new(
                    format!("{name}: {blocks} blocks, {inputs} -> {units}, {activation:?}, dropout {rate}"),
                    p,
                    vec![
                        Fill::signed(blocks * inputs * LANES),
                        Fill::signed(bias + units + 5),
                        Fill::Words(control::start(1, 7, 64, 32, 0, 0x1234_5678_9ABC_DEF0).to_vec()),
                        Fill::Output(blocks * units * LANES),
                    ],
                )
            };
        let mut cases = vec![
            case("smallest", 1, 1, 1, Activation::Linear, 0.0),
            case("ten classes", 2, 128, 10, Activation::Linear, 0.0),
            case("primes", 3, 31, 37, Activation::Relu, 0.0),
            case("tile less one", 5, 15, 15, Activation::Relu, 0.0),
            case("tile and one", 4, 17, 17, Activation::Relu, 0.0),
            case("pixels", 2, 784, 128, Activation::Relu, 0.0),
            case("register tile less one", 1, 3, 11, Activation::Relu, 0.0),
            case("register tile", 2, 1, 12, Activation::Relu, 0.0),
            case("register tile and one", 3, 5, 13, Activation::Relu, 0.0),
            case("tails of all sizes", 3, 7, 39, Activation::Linear, 0.0),
            case("shared by images", 8, 9, 26, Activation::Relu, 0.0),
            case("shared by images, odd", 9, 33, 10, Activation::Selu, 0.0),
            case("uneven shares", 7, 100, 100, Activation::Selu, 0.0),
            case("pieces", 3, 259, 13, Activation::Relu, 0.25),
            case("four weights at a time", 3, 29, 40, Activation::Selu, 0.25),
        ];
        cases.extend(
            [(1, 9), (2, 16), (3, 37), (8, 26)]
                .map(|(blocks, units)| case("dropout", blocks, 5, units, Activation::Relu, 0.25)),
        );
        // Four of five inputs are zero: with tails of pairs, panels, terms and words of 64 terms, and too few units for panels.
        for (blocks, inputs, units) in
            [(2, 784, 128), (3, 263, 37), (1, 321, 16), (8, 70, 100), (9, 128, 17), (8, 5, 49), (2, 784, 15)]
        {
            let mut sparse = case("pixels", blocks, inputs, units, Activation::Relu, 0.0);
            sparse.name += ", mostly zero";
            sparse.buffers[0] = Fill::Pixels(blocks * inputs * LANES);
            cases.push(sparse);
        }
        let fusible = Activation::ALL.iter().filter(|a| a.fusible());
        cases.extend(fusible.map(|&a| case("epilogue", 1, 5, 9, a, 0.0)));
        cases
    }
}

/// Sums of as many terms as this are added in pieces: a thread then reads the rows of the weights that it has written when
/// it last updated them, and not all of the others' too.
const LONG: u32 = 256;
/// Pieces of a long sum, for any number of threads, so that results do not depend on it.
const PIECES: usize = 4;

/// First term of a piece, or of what comes after the last.
fn piece_start(piece: usize, inputs: usize) -> usize {
    // Where threads part the rows in the update.
    if piece == PIECES { inputs } else { inputs / 8 * piece / PIECES * 8 }
}

struct Run<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    part: Part,
}

impl simd::Kernel for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, args, ref part } = self;
        if let Part::Piece(piece) = *part {
            return self.piece(s, piece);
        }
        let units = p.units as usize;
        let (blocks, features) = (part.blocks_of(p.blocks as usize), part.features(units));
        let dropout = p.dropout().mask(args.input_words(2));
        let epilogue = Epilogue {
            // Dropout reads it once more.
            past_caches: dropout.is_none() && args.past_caches(3),
            bias: &args.input(1)[p.bias as usize..][..units],
            activation: Activation::from_code(p.activation),
            args,
        };
        match (Dense::split(p), part) {
            (Split::Pieces { .. }, _) => self.add_pieces(s, blocks.clone(), features.clone(), epilogue),
            (_, Part::Blocks(_)) => self.product(blocks.clone()).run_sparse(s, blocks.clone(), epilogue),
            _ => self.product(blocks.clone()).run::<S, false>(s, blocks.clone(), features.clone(), epilogue),
        }
        if let Some(mask) = dropout {
            for block in blocks {
                let words = (block * units + features.start) * LANES..(block * units + features.end) * LANES;
                mask.apply(s, words.start, args.output(3, words));
            }
        }
    }
}

impl<'a> Run<'a> {
    #[inline(always)]
    fn product(&self, blocks: Range<usize>) -> Product<'a> {
        let (p, depth) = (self.p, self.p.inputs as usize);
        let coefficients = &self.args.input(1)[p.weight as usize..];
        Product {
            coefficients,
            stride: p.units as usize,
            vectors: self.args.input_part(0, blocks.start * depth * LANES..blocks.end * depth * LANES),
            depth,
            terms: (0, depth),
        }
    }

    /// The terms of one piece, of all sums.
    #[inline(always)]
    fn piece<S: Simd>(&self, s: S, piece: usize) {
        let (blocks, inputs, units) = (self.p.blocks as usize, self.p.inputs as usize, self.p.units as usize);
        let first = piece_start(piece, inputs);
        let product =
            Product { terms: (first, piece_start(piece + 1, inputs) - first), ..self.product(0..blocks) };
        let past_caches = self.args.past_caches(4);
        let keep = KeepPiece { first: piece * blocks * units, units, past_caches, args: self.args };
        product.run_sparse(s, 0..blocks, keep);
    }

    /// Sums, of their pieces in order.
    #[inline(always)]
    fn add_pieces<S: Simd>(
        &self,
        s: S,
        blocks: Range<usize>,
        features: Range<usize>,
        mut finish: impl Finish<S>,
    ) {
        let (all_blocks, units) = (self.p.blocks as usize, self.p.units as usize);
        let pieces = self.args.input(4);
        for block in blocks {
            for unit in features.clone() {
                let mut sum = s.splat(0.0);
                for piece in 0..PIECES {
                    let at = ((piece * all_blocks + block) * units + unit) * LANES;
                    sum = s.add(sum, s.load(&pieces[at..]));
                }
                finish.finish(s, block, unit, sum);
            }
        }
    }
}

/// Sums of a piece go to the scratch buffer, `[piece][block][unit][16]`.
struct KeepPiece<'a> {
    /// Vectors before those of this piece.
    first: usize,
    units: usize,
    past_caches: bool,
    args: &'a CpuArgs<'a>,
}

impl<S: Simd> Finish<S> for KeepPiece<'_> {
    #[inline(always)]
    fn finish(&mut self, s: S, block: usize, unit: usize, sums: S::V) {
        let at = (self.first + block * self.units + unit) * LANES;
        s.put(self.args.output(4, at..at + LANES), sums, self.past_caches);
    }
}

struct Epilogue<'a> {
    past_caches: bool,
    bias: &'a [f32],
    activation: Activation,
    args: &'a CpuArgs<'a>,
}

impl<S: Simd> Finish<S> for Epilogue<'_> {
    #[inline(always)]
    fn finish(&mut self, s: S, block: usize, unit: usize, sums: S::V) {
        let y = activation_simd::apply(s, self.activation, s.add(sums, s.splat(self.bias[unit])));
        let at = (block * self.bias.len() + unit) * LANES;
        s.put(self.args.output(3, at..at + LANES), y, self.past_caches);
    }
}
