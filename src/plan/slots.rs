//! Which memory holds which buffer: buffers that are never alive together share a slot.

use super::{BufferId, Lifetime, Plan};

/// Whether memory may be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Calls run strictly one after the other, so a buffer's memory is free after its last use.
    ByLifetime,
    /// Every buffer has its own memory: for a backend that runs several calls on one part of the
    /// images before the next part, where lifetimes of different buffers overlap.
    Never,
}

/// Memory for the buffers of a plan.
#[derive(Clone, Debug)]
pub struct Slots {
    /// The slot of each buffer.
    pub of: Vec<usize>,
    /// The size of each slot in words.
    pub words: Vec<usize>,
}

impl Slots {
    /// Gives every buffer a slot.
    pub fn assign(plan: &Plan, reuse: Reuse) -> Self {
        let mut slots = Self { of: vec![usize::MAX; plan.buffers.len()], words: Vec::new() };
        for (id, buffer) in plan.buffers.iter().enumerate() {
            if buffer.lifetime == Lifetime::Run || reuse == Reuse::Never {
                slots.of[id] = slots.words.len();
                slots.words.push(buffer.memory_words());
            }
        }
        if reuse == Reuse::ByLifetime {
            let shared = slots.words.len();
            for program in 0..plan.programs.len() {
                slots.assign_program(plan, program, shared);
            }
        }
        slots
    }

    /// Total size in bytes.
    pub fn bytes(&self) -> u64 {
        self.words.iter().map(|&words| 4 * words as u64).sum()
    }

    /// Slots from `first` on are shared, also between programs, which never run at the same time.
    fn assign_program(&mut self, plan: &Plan, program: usize, first: usize) {
        let calls = &plan.programs[program].calls;
        let last_use = |id: usize| calls.iter().rposition(|call| call.buffers.contains(&BufferId(id)));
        let mut free: Vec<usize> = (first..self.words.len()).collect();
        for (time, call) in calls.iter().enumerate() {
            for &BufferId(id) in &call.buffers {
                if self.of[id] == usize::MAX {
                    self.of[id] = self.take(&mut free, plan.buffers[id].memory_words());
                }
            }
            for &BufferId(id) in &call.buffers {
                let is_shared = plan.buffers[id].lifetime == Lifetime::Step;
                if is_shared && last_use(id) == Some(time) {
                    free.push(self.of[id]);
                }
            }
        }
    }

    /// The free slot that fits best: the smallest that is large enough, else the largest, grown.
    fn take(&mut self, free: &mut Vec<usize>, words: usize) -> usize {
        let fitting = free.iter().enumerate().filter(|&(_, &slot)| self.words[slot] >= words);
        let best = fitting
            .min_by_key(|&(_, &slot)| self.words[slot])
            .or_else(|| free.iter().enumerate().max_by_key(|&(_, &slot)| self.words[slot]));
        match best.map(|(position, _)| position) {
            Some(position) => {
                let slot = free.swap_remove(position);
                self.words[slot] = self.words[slot].max(words);
                slot
            }
            None => {
                self.words.push(words);
                self.words.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sgd::{Params, Sgd};

    /// A chain of calls, each reading the buffer before it.
    fn chain(sizes: &[usize]) -> Plan {
        let mut plan = Plan::default();
        let program = plan.program("chain");
        let weights = plan.buffer("weights", 5, Lifetime::Run);
        let steps: Vec<BufferId> =
            sizes.iter().enumerate().map(|(i, &n)| plan.buffer(format!("{i}"), n, Lifetime::Step)).collect();
        for pair in steps.windows(2) {
            let params = Params { len: 1, momentum: 0.0, nesterov: 0 };
            let call = crate::plan::Call {
                op: &Sgd,
                params: crate::ops::words(&params),
                buffers: vec![pair[0], weights, pair[1]],
                place: String::new(),
            };
            plan.programs[program.0].calls.push(call);
        }
        plan
    }

    #[test]
    fn a_chain_needs_two_shared_slots() {
        let plan = chain(&[10, 20, 30, 20, 10]);
        let slots = Slots::assign(&plan, Reuse::ByLifetime);
        assert_eq!(slots.words.len(), 3);
        assert_eq!(Slots::assign(&plan, Reuse::Never).words.len(), 6);
        assert_eq!(slots.bytes(), 4 * (5 + 30 + 20));
    }

    #[test]
    fn buffers_of_one_call_never_share() {
        let plan = chain(&[7, 3, 9, 9, 1, 30]);
        let slots = Slots::assign(&plan, Reuse::ByLifetime);
        for call in &plan.programs[0].calls {
            let mut used: Vec<usize> = call.buffers.iter().map(|b| slots.of[b.0]).collect();
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), call.buffers.len());
        }
        for (id, buffer) in plan.buffers.iter().enumerate() {
            assert!(slots.words[slots.of[id]] >= buffer.words);
        }
    }
}
