//! The gradient of a dense product with respect to its input.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::control;
use super::dense_cpu::{self, Finish, Product};
use super::dropout::{self, Epilogue as Dropout};
use super::matrices::Matrices;
use super::real::Real;
use super::share::{CpuArgs, Part, Region, Split};
use super::simd::{self, Simd};
use super::tiling;
use super::unroll::UNROLL;
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_activation, read_words,
    slots, write,
};

params! {
    /// Shapes, where the weights lie, and the activation that made the input.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Features of an input.
        inputs: u32,
        /// Features of an output.
        units: u32,
        /// First word of the weights, `[inputs][units]`.
        weight: u32,
        /// Number of the [`Activation`] whose output the input is.
        activation: u32,
        /// Number of the dropout layer after that activation: each draws numbers of its own.
        dropout_layer: u32,
        /// Share of the elements that it made zero, below one; 0 for no dropout.
        dropout_rate: f32,
    }
}

impl Params {
    fn dropout(&self) -> Dropout {
        Dropout { layer: self.dropout_layer, rate: self.dropout_rate }
    }

    fn dropout_constant(&self) -> (&'static str, u32) {
        self.dropout().gradient_constant(Activation::from_code(self.activation))
    }
}

/// See the shader for the formula.
pub struct DenseInputGrad;

impl Formula for DenseInputGrad {
    type Params = Params;
    const NAME: &'static str = "dense_input_grad";
    const BINDINGS: &'static [Binding] =
        &[read("y_grad"), read("parameters"), read_activation("x"), read_words("control"), write("x_grad")];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let epilogue = [("ACTIVATION", p.activation), p.dropout_constant()];
        let kernel = |sizes: &[(&'static str, u32)], grid| Kernel {
            constants: sizes.iter().copied().chain([("UNITS", p.units)]).chain(epilogue).collect(),
            grid,
        };
        if class == DeviceClass::Software && tiling::in_fours([p.units, p.weight]) {
            let (lanes, inputs) = (8, 8);
            return kernel(
                &[("LANES", lanes), ("INPUTS", inputs), ("WEIGHTS", 4), ("BY_WORKGROUP", 1), (UNROLL, 1)],
                [p.inputs.div_ceil(lanes * inputs), p.blocks, 1],
            );
        }
        let (lanes, depth, inputs) = tiling::product(p.units, p.inputs, class);
        kernel(
            &[("LANES", lanes), ("DEPTH", depth), ("INPUTS", inputs)],
            [(p.blocks * LANES as u32 / 4).div_ceil(lanes), p.inputs.div_ceil(inputs), 1],
        )
    }

    fn cooperative_kernel(p: &Params, matrices: Matrices) -> Option<Kernel> {
        let epilogue = [("ACTIVATION", p.activation), p.dropout_constant()];
        Some(matrices.kernel(p.inputs, p.blocks * LANES as u32, epilogue))
    }

    fn cost(p: &Params) -> Cost {
        let (images, inputs, units) =
            (u64::from(p.blocks) * LANES as u64, u64::from(p.inputs), u64::from(p.units));
        Cost {
            flops: 2 * images * inputs * units,
            bytes: 4 * (images * (2 * inputs + units) + inputs * units),
        }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [y_grad, parameters, x, control, x_grad] = slots(args);
        let (y_grad, parameters, x, x_grad) = (y_grad.real(), parameters.real(), x.real(), x_grad.real());
        let control = control.words();
        let (inputs, units) = (p.inputs as usize, p.units as usize);
        let activation = Activation::from_code(p.activation);
        let weight = &parameters[p.weight as usize..];
        for block in 0..p.blocks as usize {
            for k in 0..inputs {
                for lane in 0..LANES {
                    let mut sum = T::ZERO;
                    for unit in 0..units {
                        let gradient = y_grad[(block * units + unit) * LANES + lane].factor();
                        sum = gradient.mul_add(weight[k * units + unit].factor(), sum);
                    }
                    let at = (block * inputs + k) * LANES + lane;
                    let slope = activation.derivative_from_output(p.dropout().undo(x[at]));
                    x_grad[at] = if p.dropout().shows(activation) {
                        sum * slope * dropout::growth(p.dropout_rate)
                    } else {
                        p.dropout().apply(control, at, sum * slope)
                    };
                }
            }
        }
    }

    fn split(p: &Params) -> Split {
        dense_cpu::split(p.blocks as usize)
    }

    fn regions(p: &Params, binding: usize) -> Vec<Region> {
        match binding {
            0 | 3 => vec![Region::ALL],
            1 => vec![Region::words(p.weight, (p.inputs * p.units) as usize)],
            _ => vec![Region::features(p.inputs)],
        }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |blocks: usize, inputs: usize, units: usize, activation: Activation, rate: f32| {
            let p = Params {
                blocks: blocks as u32,
                inputs: inputs as u32,
                units: units as u32,
                weight: 7,
                activation: activation as u32,
                dropout_layer: 5,
                dropout_rate: rate,
            };
            Case::new(
                format!("{blocks} blocks, {inputs} <- {units}, {activation:?}, dropout {rate}"),
                p,
                vec![
                    Fill::signed(blocks * units * LANES),
                    Fill::signed(7 + inputs * units + 3),
                    Fill::signed(blocks * inputs * LANES),
                    Fill::Words(control::start(1, 7, 64, 32, 0, 0x1234_5678_9ABC_DEF0).to_vec()),
                    Fill::Output(blocks * inputs * LANES),
                ],
            )
        };
        let mut cases = vec![
            case(1, 1, 1, Activation::Linear, 0.0),
            case(2, 128, 10, Activation::Relu, 0.0),
            case(3, 37, 31, Activation::Relu, 0.0),
            case(5, 15, 17, Activation::Tanh, 0.0),
            case(4, 17, 15, Activation::Relu, 0.0),
            case(2, 100, 128, Activation::Relu, 0.0),
            case(1, 11, 3, Activation::Relu, 0.0),
            case(2, 12, 1, Activation::Relu, 0.0),
            case(3, 13, 5, Activation::Relu, 0.0),
            case(3, 39, 7, Activation::Linear, 0.0),
            case(8, 26, 9, Activation::Relu, 0.0),
            case(9, 10, 33, Activation::Selu, 0.0),
            case(7, 100, 100, Activation::Selu, 0.0),
        ];
        cases.extend(Activation::ALL.iter().filter(|a| a.fusible()).map(|&a| case(1, 9, 5, a, 0.0)));
        cases.extend(Activation::ALL.iter().filter(|a| a.fusible()).map(|&a| case(2, 26, 5, a, 0.25)));
        cases.extend(
            [(1, 16), (3, 37), (9, 33)]
                .map(|(blocks, inputs)| case(blocks, inputs, 7, Activation::Relu, 0.5)),
        );
        cases
    }
}

struct Run<'a> {
    p: &'a Params,
    args: &'a CpuArgs<'a>,
    part: Part,
}

impl simd::Kernel for Run<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { p, args, part } = self;
        let (inputs, units) = (p.inputs as usize, p.units as usize);
        let activation = Activation::from_code(p.activation);
        let shows = p.dropout().shows(activation);
        let mask = if shows { None } else { p.dropout().mask(args.input_words(3)) };
        let (blocks, features) = (part.blocks_of(p.blocks as usize), part.features(inputs));
        let product = Product {
            coefficients: &args.input(1)[p.weight as usize..],
            stride: units,
            vectors: args.input_part(0, blocks.start * units * LANES..blocks.end * units * LANES),
            depth: units,
            terms: (0, units),
        };
        let kept = p.dropout().undo(1.0);
        // Dropout reads it once more.
        let past_caches = mask.is_none() && args.past_caches(4);
        let growth = if shows { dropout::growth(p.dropout_rate) } else { 1.0 };
        let epilogue = Epilogue { inputs, activation, kept, growth, past_caches, args };
        product.run::<S, true>(s, blocks.clone(), features.clone(), epilogue);
        if let Some(mask) = mask {
            for block in blocks {
                let words =
                    (block * inputs + features.start) * LANES..(block * inputs + features.end) * LANES;
                mask.apply(s, words.start, args.output(4, words));
            }
        }
    }
}

struct Epilogue<'a> {
    inputs: usize,
    activation: Activation,
    /// What undoes the growth of elements that dropout kept.
    kept: f32,
    /// What gradients are multiplied by.
    growth: f32,
    past_caches: bool,
    args: &'a CpuArgs<'a>,
}

impl<S: Simd> Finish<S> for Epilogue<'_> {
    #[inline(always)]
    fn finish(&mut self, s: S, block: usize, k: usize, sums: S::V) {
        let at = (block * self.inputs + k) * LANES;
        let x = s.mul(s.load(self.args.input_part(2, at..at + LANES)), s.splat(self.kept));
        let slope = activation_simd::derivative_from_output(s, self.activation, x);
        let gradients = s.mul(s.mul(sums, slope), s.splat(self.growth));
        s.put(self.args.output(4, at..at + LANES), gradients, self.past_caches);
    }
}
