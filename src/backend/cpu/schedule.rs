//! How threads share a program: calls that are split by blocks of images run one block after the other through all of
//! them, while its activations are in the cache; other calls have a barrier before and after.

use super::memory::Memory;
use crate::ops::share::{CpuArgs, Part, SharedBuffer, Split};
use crate::ops::{Element, Op, Slot};
use crate::plan::{Plan, Program, Slots};

/// A call with its memory.
pub(super) struct BoundCall {
    op: &'static dyn Op,
    params: Vec<u32>,
    buffers: Vec<SharedBuffer>,
    args: CpuArgs<'static>,
}

/// Calls between two barriers.
pub(super) enum Segment {
    /// Each thread takes runs of blocks through all the calls.
    Blocks {
        /// In order.
        calls: Vec<BoundCallRef>,
        /// Blocks of the batch.
        count: usize,
        /// Blocks that must stay on one thread.
        align: usize,
    },
    /// Each thread takes a share of the outputs.
    Shares(BoundCallRef),
    /// One thread does it by the reference.
    Whole(BoundCallRef),
}

/// A call, shared by the threads.
type BoundCallRef = std::sync::Arc<BoundCall>;

/// The segments of a program.
pub(super) struct Schedule {
    pub(super) segments: Vec<Segment>,
}

impl Schedule {
    pub(super) fn new(program: &Program, plan: &Plan, slots: &Slots, memory: &mut Memory) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        for call in &program.calls {
            let buffers: Vec<SharedBuffer> =
                call.buffers.iter().map(|id| memory.share(slots.of[id.0], plan.words(*id))).collect();
            // SAFETY: the backend owns the memory as long as its threads, which alone hold the schedule; the plan
            // binds distinct buffers; ops keep the contract of `CpuArgs`, and barriers part the segments.
            let args = unsafe { CpuArgs::new(buffers.clone()) };
            let bound =
                BoundCallRef::new(BoundCall { op: call.op, params: call.params.clone(), buffers, args });
            match call.op.split(&call.params) {
                Split::Whole => segments.push(Segment::Whole(bound)),
                Split::Shares => segments.push(Segment::Shares(bound)),
                Split::Blocks { count, align } => match segments.last_mut() {
                    Some(Segment::Blocks { calls, count: same, align: aligned }) if *same == count => {
                        calls.push(bound);
                        *aligned = (*aligned).max(align);
                    }
                    _ => segments.push(Segment::Blocks { calls: vec![bound], count, align }),
                },
            }
        }
        Self { segments }
    }
}

impl Segment {
    /// The part of thread `thread` of `threads`.
    pub(super) fn run(&self, thread: usize, threads: usize) {
        match self {
            Self::Blocks { calls, count, align } => {
                let runs = count.div_ceil(*align);
                let first = runs * thread / threads * align;
                let end = (runs * (thread + 1) / threads * align).min(*count);
                for block in first..end {
                    for call in calls {
                        call.op.cpu(&call.params, &call.args, Part::Blocks(block..block + 1));
                    }
                }
            }
            Self::Shares(call) => {
                call.op.cpu(&call.params, &call.args, Part::Share { index: thread, of: threads });
            }
            Self::Whole(call) if thread == 0 => call.reference(),
            Self::Whole(_) => {}
        }
    }
}

impl BoundCall {
    fn reference(&self) {
        let slots = (0..self.buffers.len()).map(|i| match self.op.bindings()[i].element {
            Element::F32 => Slot::Real(self.args.output(i, 0..self.args.len(i))),
            Element::U32 => Slot::Words(self.args.output_words(i, 0..self.args.len(i))),
        });
        self.op.reference_f32(&self.params, slots.collect());
    }
}
