//! Whether a network is still made of numbers: looked up on the device, by the bits of everything that lasts from step to step.
//!
//! The losses alone do not tell: relu makes 0 of NaN, and an infinite second moment silently stops a weight.

use crate::backend::Backend;
use crate::ops::find_not_finite::{FindNotFinite, NO_INDEX, Params};
use crate::plan::emit::ParameterPlace;
use crate::plan::network::Network;
use crate::plan::{BufferId, Lifetime, ProgramId};
use anyhow::Result;

/// Pieces of each buffer, searched side by side.
const PARTS: usize = 64;

/// The program that looks, and where it answers. It runs when results are read, never in a step.
pub(super) struct FiniteCheck {
    program: ProgramId,
    /// What is searched, and whether it holds trained tensors.
    searched: Vec<(BufferId, bool)>,
    answers: BufferId,
}

impl FiniteCheck {
    /// Adds the program to a plan.
    pub(super) fn add(network: &mut Network) -> Self {
        let mut searched = vec![(network.shared.parameters, true), (network.shared.statistics, false)];
        searched.extend(network.moments.iter().map(|&moment| (moment, true)));
        let plan = &mut network.plan;
        let program = plan.program("find what is not finite");
        let answers = plan.buffer("not_finite", searched.len() * PARTS, Lifetime::Run);
        for (i, &(buffer, _)) in searched.iter().enumerate() {
            let (len, parts, out) = (plan.words(buffer) as u32, PARTS as u32, (i * PARTS) as u32);
            let params = Params { len, parts, out };
            let place = plan.buffers[buffer.0].name.clone();
            plan.call(program, &place, &FindNotFinite, &params, &[buffer, answers]);
        }
        Self { program, searched, answers }
    }

    /// Looks; names the first tensor, in the order of the network, that holds NaN or infinity.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn run(&self, network: &Network, backend: &mut dyn Backend) -> Result<Option<String>> {
        let mut answers = vec![0; self.searched.len() * PARTS];
        backend.run(self.program, 1)?;
        backend.read(self.answers, 0, &mut answers)?;
        let found = answers.chunks(PARTS).position(|parts| parts.iter().any(|&index| index != NO_INDEX));
        let Some(found) = found else { return Ok(None) };
        let (buffer, trainable) = self.searched[found];
        let mut words = vec![0; network.plan.words(buffer)];
        backend.read(buffer, 0, &mut words)?;
        let kind = &network.plan.buffers[buffer.0].name;
        Ok(Some(name(&words, trainable, kind, &network.parameters)))
    }
}

/// The first tensor with such a number, which number it is, and what it is.
fn name(words: &[u32], trainable: bool, kind: &str, places: &[ParameterPlace]) -> String {
    let value = |word: &u32| f32::from_bits(*word);
    for place in places.iter().filter(|place| place.trainable == trainable) {
        let values = &words[place.range()];
        if let Some(index) = values.iter().position(|word| !value(word).is_finite()) {
            let (of, found) = (&place.name, value(&values[index]));
            let what = match kind {
                "parameters" | "statistics" => String::new(),
                moment => format!("the {moment} of "),
            };
            return format!("{what}the {of} of layer {}: number {index} is {found}", place.layer);
        }
    }
    format!("{kind}, outside every tensor")
}
