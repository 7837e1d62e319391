//! Softmax cross-entropy over integer labels, with its gradient and the answers.

use super::activation::Activation;
use super::activation_simd;
use super::case::{Case, Fill};
use super::control::{self, BATCH, ROWS, STEP};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::simd::{self, Simd};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_words, slots, write,
    write_words,
};

params! {
    /// Shapes and the reduction.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Classes.
        classes: u32,
        /// How the losses of a batch become one: 0 their mean, 1 their sum, 2 their sum over the
        /// size of a full batch.
        reduction: u32,
        /// Number of the [`Activation`] whose output the logits are.
        activation: u32,
    }
}

/// Set in an outcome where the answer is right; the other bits are the answer.
pub const RIGHT: u32 = 0x8000_0000;

/// See the shader for the formula.
pub struct SoftmaxXent;

impl Formula for SoftmaxXent {
    type Params = Params;
    const NAME: &'static str = "softmax_xent";
    const BINDINGS: &'static [Binding] = &[
        read("logits"),
        read_words("labels"),
        read_words("order"),
        read_words("control"),
        write("logits_grad"),
        write("image_loss"),
        write_words("outcome"),
    ];

    fn kernel(p: &Params, class: DeviceClass) -> Kernel {
        let lanes = match class {
            DeviceClass::Gpu => 64,
            DeviceClass::Software => 16,
        };
        let grid = [(p.blocks * LANES as u32).div_ceil(lanes), 1, 1];
        Kernel { constants: vec![("LANES", lanes)], grid }
    }

    fn cost(p: &Params) -> Cost {
        let values = u64::from(p.blocks * p.classes) * LANES as u64;
        Cost { flops: 10 * values, bytes: 8 * values }
    }

    fn reference<T: Real>(p: &Params, args: Vec<Slot<'_, T>>) {
        let [logits, labels, order, control, logits_grad, image_loss, outcome] = slots(args);
        let (logits, logits_grad, image_loss) = (logits.real(), logits_grad.real(), image_loss.real());
        let (labels, order, control, outcome) =
            (labels.words(), order.words(), control.words(), outcome.words());
        let (classes, rows) = (p.classes as usize, control[ROWS] as usize);
        let scale = T::ONE / T::of(f64::from(divisor(p, control)));
        let activation = Activation::from_code(p.activation);
        for n in 0..p.blocks as usize * LANES {
            let at = |c: usize| (n / LANES * classes + c) * LANES + n % LANES;
            if n >= rows {
                (0..classes).for_each(|c| logits_grad[at(c)] = T::ZERO);
                continue;
            }
            let row = (control[STEP] * control[BATCH]) as usize + n;
            let label = labels[order[row] as usize] as usize;
            let answer =
                (1..classes).fold(0, |best, c| if logits[at(c)] > logits[at(best)] { c } else { best });
            let largest = logits[at(answer)];
            let total = (0..classes).fold(T::ZERO, |sum, c| sum + (logits[at(c)] - largest).exp());
            for c in 0..classes {
                let probability = (logits[at(c)] - largest).exp() / total;
                let target = if c == label { T::ONE } else { T::ZERO };
                logits_grad[at(c)] =
                    (probability - target) * scale * activation.derivative_from_output(logits[at(c)]);
            }
            image_loss[row] = total.ln() + (largest - logits[at(label)]);
            outcome[row] = answer as u32 | if answer == label { RIGHT } else { 0 };
        }
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        simd::dispatch(Run { p, args, part });
    }

    fn cases() -> Vec<Case<Params>> {
        let case =
            |name: &str, batch: usize, classes: usize, reduction: u32, range: f32, step, total: usize| {
                let blocks = super::blocks(batch);
                let p = Params { blocks: blocks as u32, classes: classes as u32, reduction, activation: 0 };
                let images = 29_u32;
                Case::new(
                    name,
                    p,
                    vec![
                        Fill::Uniform(blocks * classes * LANES, -range, range),
                        Fill::Words((0..images).map(|i| i * 7 % classes as u32).collect()),
                        Fill::Words((0..total as u32).map(|i| i * 5 % images).collect()),
                        Fill::Words(control::start(step, 0, total, batch, 0, 1).to_vec()),
                        Fill::Output(blocks * classes * LANES),
                        Fill::Output(total),
                        Fill::OutputWords(total),
                    ],
                )
            };
        vec![
            case("mean", 32, 10, 0, 4.0, 0, 32),
            case("sum, ragged", 20, 10, 1, 4.0, 1, 33),
            case("full batch mean, ragged", 20, 10, 2, 4.0, 1, 33),
            case("logits of hundreds", 64, 10, 0, 300.0, 0, 64),
            case("one class", 1, 1, 0, 1.0, 0, 1),
            case("62 classes", 17, 62, 0, 20.0, 0, 17),
        ]
    }
}

/// What the sum of the losses is divided by.
fn divisor(p: &Params, control: &[u32]) -> u32 {
    match p.reduction {
        0 => control[ROWS],
        1 => 1,
        _ => control[BATCH],
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
        let (labels, order, control) = (args.input_words(1), args.input_words(2), args.input_words(3));
        let words = p.classes as usize * LANES;
        for block in part.blocks() {
            let first = block * LANES;
            let rows = (control[ROWS] as usize).saturating_sub(first).min(LANES);
            let logits = args.input_block(0, block, words);
            let logits_grad = args.output(4, block * words..(block + 1) * words);
            if rows == 0 {
                logits_grad.fill(0.0);
                continue;
            }
            let row = (control[STEP] * control[BATCH]) as usize + first;
            let (image_loss, outcome) =
                (args.output(5, row..row + rows), args.output_words(6, row..row + rows));
            let mut label = [0; LANES];
            for (label, &image) in label.iter_mut().zip(&order[row..row + rows]) {
                *label = labels[image as usize] as usize;
            }
            let (mut largest, mut answer) = (s.load(logits), s.splat(0.0));
            for (c, logits) in logits.chunks_exact(LANES).enumerate().skip(1) {
                let logits = s.load(logits);
                answer = s.select_gt(logits, largest, s.splat(c as f32), answer);
                largest = s.select_gt(logits, largest, logits, largest);
            }
            let mut total = s.splat(0.0);
            for (logits, power) in logits.chunks_exact(LANES).zip(logits_grad.chunks_exact_mut(LANES)) {
                let e = s.exp(s.sub(s.load(logits), largest));
                total = s.add(total, e);
                s.store(power, e);
            }
            let scale = s.splat(1.0 / divisor(p, control) as f32);
            let activation = Activation::from_code(p.activation);
            let label_numbers = s.load(&label.map(|label| label as f32));
            for (c, gradient) in logits_grad.chunks_exact_mut(LANES).enumerate() {
                let target = s.select_eq(label_numbers, s.splat(c as f32), s.splat(1.0), s.splat(0.0));
                let error = s.sub(s.div(s.load(gradient), total), target);
                let slope =
                    activation_simd::derivative_from_output(s, activation, s.load(&logits[c * LANES..]));
                s.store(gradient, s.mul(s.mul(error, scale), slope));
                gradient[rows..].fill(0.0);
            }
            let (mut totals, mut largests, mut answers) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            s.store(&mut totals, total);
            s.store(&mut largests, largest);
            s.store(&mut answers, answer);
            for lane in 0..rows {
                let (answer, label) = (answers[lane] as u32, label[lane]);
                image_loss[lane] = totals[lane].ln() + (largests[lane] - logits[label * LANES + lane]);
                outcome[lane] = answer | if answer as usize == label { RIGHT } else { 0 };
            }
        }
    }
}
