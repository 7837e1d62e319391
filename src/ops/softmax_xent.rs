//! Softmax cross-entropy over integer labels, with its gradient and the answers.

use super::activation::Activation;
use super::case::{Case, Fill};
use super::control::{self, BATCH, ROWS, STEP};
use super::real::Real;
use super::share::{CpuArgs, Part, Split};
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, LANES, Slot, params, read, read_words, slots, write, write_words,
};

params! {
    /// Shapes and the reduction.
    Params {
        /// Blocks of 16 images.
        blocks: u32,
        /// Classes.
        classes: u32,
        /// 1: the loss is summed over the batch; 0: averaged.
        sum: u32,
        /// Number of the [`Activation`] whose output the logits are.
        activation: u32,
    }
}

/// Set in an outcome where the answer is right; the other bits are the answer.
pub const RIGHT: u32 = 0x8000_0000;

/// See the shader for the formula.
pub struct SoftmaxXent;

/// The images of `blocks` of a batch; `logits` and `logits_grad` hold those blocks only.
fn run<T: Real>(
    p: &Params,
    images: std::ops::Range<usize>,
    (logits, labels, order, control): (&[T], &[u32], &[u32], &[u32]),
    logits_grad: &mut [T],
    mut outcome: impl FnMut(usize, T, u32),
) {
    let classes = p.classes as usize;
    let rows = control[ROWS] as usize;
    let first_image = images.start;
    let scale = if p.sum == 1 { T::ONE } else { T::ONE / T::of(rows as f64) };
    let activation = Activation::from_code(p.activation);
    for n in images {
        let at = |c: usize| ((n - first_image) / LANES * classes + c) * LANES + n % LANES;
        if n >= rows {
            (0..classes).for_each(|c| logits_grad[at(c)] = T::ZERO);
            continue;
        }
        let row = (control[STEP] * control[BATCH]) as usize + n;
        let label = labels[order[row] as usize] as usize;
        let answer = (1..classes).fold(0, |best, c| if logits[at(c)] > logits[at(best)] { c } else { best });
        let largest = logits[at(answer)];
        let total = (0..classes).fold(T::ZERO, |sum, c| sum + (logits[at(c)] - largest).exp());
        for c in 0..classes {
            let probability = (logits[at(c)] - largest).exp() / total;
            let target = if c == label { T::ONE } else { T::ZERO };
            logits_grad[at(c)] =
                (probability - target) * scale * activation.derivative_from_output(logits[at(c)]);
        }
        let right = if answer == label { RIGHT } else { 0 };
        outcome(row, total.ln() + (largest - logits[at(label)]), answer as u32 | right);
    }
}

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
        let [logits, labels, order, control, logits_grad, image_loss, outcomes] = slots(args);
        let (image_loss, outcomes) = (image_loss.real(), outcomes.words());
        let inputs = (&*logits.real(), &*labels.words(), &*order.words(), &*control.words());
        run(p, 0..p.blocks as usize * LANES, inputs, logits_grad.real(), |row, loss, outcome| {
            image_loss[row] = loss;
            outcomes[row] = outcome;
        });
    }

    fn split(p: &Params) -> Split {
        Split::Blocks { count: p.blocks as usize, align: 1 }
    }

    fn cpu(p: &Params, args: &CpuArgs<'_>, part: Part) {
        let block_words = p.classes as usize * LANES;
        for block in part.blocks() {
            let words = block * block_words..(block + 1) * block_words;
            let inputs =
                (&args.input(0)[words.clone()], args.input_words(1), args.input_words(2), args.input_words(3));
            let images = block * LANES..(block + 1) * LANES;
            run(p, images, inputs, args.output(4, words), |row, loss, outcome| {
                args.output(5, row..row + 1)[0] = loss;
                args.output_words(6, row..row + 1)[0] = outcome;
            });
        }
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, batch: usize, classes: usize, sum: u32, range: f32, step, total: usize| {
            let blocks = super::blocks(batch);
            let p = Params { blocks: blocks as u32, classes: classes as u32, sum, activation: 0 };
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
            case("logits of hundreds", 64, 10, 0, 300.0, 0, 64),
            case("one class", 1, 1, 0, 1.0, 0, 1),
            case("62 classes", 17, 62, 0, 20.0, 0, 17),
        ]
    }
}
