//! Adds up a step's loss and hits, and advances the control words.

use super::case::{Case, Fill};
use super::control::{self, BATCH, GLOBAL_STEP, ROWS, STEP, TOTAL_ROWS};
use super::real::Real;
use super::{
    Binding, Cost, DeviceClass, Formula, Kernel, Slot, params, read, read_words, slots, update_words, write,
    write_words,
};

params! {
    /// The size of the work.
    Params {
        /// Images of a full batch.
        batch: u32,
    }
}

/// See the shader for the formula.
pub struct EndStep;

impl Formula for EndStep {
    type Params = Params;
    const NAME: &'static str = "end_step";
    const BINDINGS: &'static [Binding] = &[
        read("image_loss"),
        read_words("outcome"),
        update_words("control"),
        write("losses"),
        write_words("hits"),
    ];

    fn kernel(_: &Params, _: DeviceClass) -> Kernel {
        Kernel { constants: vec![], grid: [1, 1, 1] }
    }

    fn cost(p: &Params) -> Cost {
        Cost { flops: u64::from(p.batch), bytes: 8 * u64::from(p.batch) }
    }

    fn reference<T: Real>(_: &Params, args: Vec<Slot<'_, T>>) {
        let [image_loss, outcome, control, losses, hits] = slots(args);
        let (image_loss, outcome, control) = (image_loss.real(), outcome.words(), control.words());
        let (step, rows) = (control[STEP] as usize, control[ROWS] as usize);
        let first = step * control[BATCH] as usize;
        losses.real()[step] = image_loss[first..first + rows].iter().fold(T::ZERO, |sum, &loss| sum + loss);
        hits.words()[step] = outcome[first..first + rows].iter().map(|o| o >> 31).sum();
        control[STEP] += 1;
        control[GLOBAL_STEP] += 1;
        control[ROWS] = control::rows(control[STEP], control[TOTAL_ROWS], control[BATCH]);
    }

    fn cases() -> Vec<Case<Params>> {
        let case = |name: &str, batch: usize, step: usize, total: usize| {
            let steps = total.div_ceil(batch);
            Case::new(
                name,
                Params { batch: batch as u32 },
                vec![
                    Fill::Uniform(total, 0.0, 3.0),
                    Fill::Words((0..total as u32).map(|i| (i % 10) | ((i % 3 / 2) << 31)).collect()),
                    Fill::Words(control::start(step, 7, total, batch, 0, 1).to_vec()),
                    Fill::Output(steps),
                    Fill::OutputWords(steps),
                ],
            )
        };
        vec![
            case("one image", 1, 0, 1),
            case("first of three", 32, 0, 90),
            case("ragged last", 32, 2, 90),
            case("more images than invocations", 700, 1, 2000),
        ]
    }
}
