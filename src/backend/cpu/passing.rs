//! Buffers of which a thread needs no more than a block: what one call of a run of blocks leaves for those after it. That
//! block stays in the thread's cache; the whole buffer would go through memory twice.

use super::schedule::{Round, groups};
use crate::ops::Access;
use crate::ops::share::Split;
use crate::plan::{Buffer, BufferId, Lifetime, Plan};

/// The words of a block of each buffer that passes from call to call inside groups only, written before it is read, and has
/// more blocks than there are threads.
pub(super) fn passing(plan: &Plan, threads: usize) -> Vec<Option<usize>> {
    let mut uses: Vec<Vec<Use>> = plan.buffers.iter().map(|_| Vec::new()).collect();
    for (program, of_program) in plan.programs.iter().enumerate() {
        // Programs run with fewer threads too. With more than there are blocks, every call that may be shared by outputs is: what
        // passes from block to block then, passes with any number of threads.
        for (number, group) in groups(of_program, usize::MAX).iter().enumerate() {
            let blocks = match group.split {
                Split::Blocks { count, .. } => Some(count),
                _ => None,
            };
            for Round { call, .. } in &group.rounds {
                for (&BufferId(id), binding) in call.buffers.iter().zip(call.op.bindings()) {
                    let writes = binding.access == Access::Write;
                    uses[id].push(Use { program, group: number, blocks, writes });
                }
            }
        }
    }
    let buffers = plan.buffers.iter().zip(&uses);
    let block_words = |(buffer, uses): (&Buffer, &Vec<Use>)| {
        let blocks = passing_blocks(uses).filter(|&blocks| blocks > threads)?;
        let passes = buffer.lifetime == Lifetime::Step && buffer.words.is_multiple_of(blocks);
        passes.then(|| buffer.words / blocks)
    };
    buffers.map(block_words).collect()
}

/// A call's use of a buffer.
struct Use {
    program: usize,
    /// The group's number in the program.
    group: usize,
    /// Blocks of the group, if it has them.
    blocks: Option<usize>,
    /// Whether all of it is written, and nothing read.
    writes: bool,
}

/// The blocks that a buffer has, if in every program one group alone uses it, and writes it first.
fn passing_blocks(uses: &[Use]) -> Option<usize> {
    let blocks = uses.first()?.blocks?;
    let in_one_group = |uses: &[Use]| uses[0].writes && uses.iter().all(|one| one.group == uses[0].group);
    let passes = uses.iter().all(|one| one.blocks == Some(blocks))
        && uses.chunk_by(|a, b| a.program == b.program).all(in_one_group);
    passes.then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::activate::{Activate, Params};
    use crate::ops::activation::Activation;
    use crate::plan::ProgramId;

    const BLOCKS: usize = 3;
    const WORDS: usize = 2 * 16;

    /// Which of four buffers pass, where programs activate one into another.
    fn passing_of(programs: &[&[(usize, usize)]], lifetimes: [Lifetime; 4], threads: usize) -> [bool; 4] {
        let mut plan = Plan::default();
        let buffers = lifetimes.map(|lifetime| plan.buffer("", BLOCKS * WORDS, lifetime));
        for calls in programs {
            let program: ProgramId = plan.program("");
            for &(from, to) in *calls {
                let params = Params {
                    blocks: BLOCKS as u32,
                    len: (BLOCKS * WORDS) as u32,
                    activation: Activation::Relu as u32,
                };
                plan.call(program, "", &Activate, &params, &[buffers[from], buffers[to]]);
            }
        }
        let passing = passing(&plan, threads);
        assert!(passing.iter().flatten().all(|&words| words == WORDS));
        std::array::from_fn(|buffer| passing[buffer].is_some())
    }

    #[test]
    fn what_is_written_and_then_read_in_a_group_passes() {
        let step = [Lifetime::Step; 4];
        let chain: &[(usize, usize)] = &[(0, 1), (1, 2), (2, 3)];
        assert_eq!(passing_of(&[chain], step, 2), [false, true, true, true]);
        assert_eq!(passing_of(&[chain, &[(0, 1), (1, 3)]], step, 2), [false, true, true, true]);
        assert_eq!(
            passing_of(&[chain, &[(1, 3)]], step, 2),
            [false, false, true, true],
            "read by another program"
        );
        let kept = [Lifetime::Step, Lifetime::Run, Lifetime::Step, Lifetime::Run];
        assert_eq!(passing_of(&[chain], kept, 2), [false, false, true, false]);
        assert_eq!(
            passing_of(&[chain], step, BLOCKS),
            [false; 4],
            "a block for each thread is not less than the whole"
        );
    }
}
