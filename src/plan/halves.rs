//! Which buffers half precision does for.

use super::Plan;

impl Plan {
    /// The plan with every buffer in half precision that all of its calls take for activations: what layers take and make.
    /// Gradients, parameters, statistics and what a loss is made of stay as they are.
    pub fn with_half_activations(mut self) -> Self {
        let mut whole = vec![false; self.buffers.len()];
        let mut used = vec![false; self.buffers.len()];
        for call in self.programs.iter().flat_map(|program| &program.calls) {
            for (id, binding) in call.buffers.iter().zip(call.op.bindings()) {
                used[id.0] = true;
                whole[id.0] |= !binding.activations;
            }
        }
        for (buffer, (used, whole)) in self.buffers.iter_mut().zip(used.into_iter().zip(whole)) {
            buffer.half = used && !whole;
        }
        self
    }
}
