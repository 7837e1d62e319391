//! How threads share a program: calls that are split by blocks of images run one block after the other through all of
//! them, while its activations are in the cache. Threads meet at a barrier before a call that touches what another thread
//! may have written, or writes what another may have read, since the last one.

use super::memory::Memory;
use super::pool::Thread;
use crate::ops::share::{CpuArgs, Handover, Part, Region, SharedBuffer, Split};
use crate::ops::{Access, Element, Op, Slot};
use crate::plan::{Call, Plan, Program, Slots};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Floating-point operations of a program for which one more thread can pay (benches/README.md).
const WORTH_A_THREAD: u64 = 500_000;

/// A call with its memory.
pub(super) struct BoundCall {
    op: &'static dyn Op,
    params: Vec<u32>,
    /// For each thread.
    args: Vec<CpuArgs<'static>>,
}

/// A call, or one of the two rounds of a call that is made in pieces.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub(super) call: &'a Call,
    /// Whether it is the round that makes the pieces.
    makes_pieces: bool,
}

/// Rounds that a thread takes block after block through, or one of another kind.
pub(super) struct Group<'a> {
    /// How all of them are shared.
    pub(super) split: Split,
    pub(super) rounds: Vec<Round<'a>>,
}

/// The calls of a program, in order, as so many threads share them.
pub(super) fn groups(program: &Program, threads: usize) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for call in &program.calls {
        let mut split = call.op.split(&call.params);
        if let Split::Pieces { blocks, .. } = split {
            groups.push(Group { split, rounds: vec![Round { call, makes_pieces: true }] });
            split = Split::BlocksOrShares { count: blocks };
        }
        let (split, round) = (split.among(threads), Round { call, makes_pieces: false });
        if let Split::Blocks { count, align } = split
            && let Some(Group { split: Split::Blocks { count: same, align: aligned }, rounds }) =
                groups.last_mut()
            && *same == count
        {
            *aligned = (*aligned).max(align);
            rounds.push(round);
        } else {
            groups.push(Group { split, rounds: vec![round] });
        }
    }
    groups
}

/// Work between two places where there may be a barrier.
pub(super) enum Segment {
    /// All threads wait for each other.
    Barrier,
    /// Each thread takes runs of blocks through all the calls.
    Blocks {
        /// In order.
        calls: Vec<BoundCallRef>,
        /// Blocks of the batch.
        count: usize,
        /// Blocks that must stay on one thread.
        align: usize,
    },
    /// Each thread takes some of so many pieces.
    Pieces(BoundCallRef, usize),
    /// Each thread takes a share of the outputs.
    Shares(BoundCallRef),
    /// One thread does it by the reference.
    Whole(BoundCallRef),
}

/// A call, shared by the threads.
type BoundCallRef = Arc<BoundCall>;

/// The segments of a program.
pub(super) struct Schedule {
    /// Threads that it is made for.
    pub(super) threads: usize,
    pub(super) segments: Vec<Segment>,
    /// Whether threads write what others read next.
    pub(super) hands_on: bool,
}

impl Schedule {
    pub(super) fn new(
        program: &Program,
        plan: &Plan,
        slots: &Slots,
        memory: &mut Memory,
        threads: usize,
        caches_are_apart: &Arc<AtomicBool>,
    ) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        let mut touched: Vec<Touch> = Vec::new();
        let groups = groups(program, threads);
        let mut hands_on = false;
        for (number, group) in groups.iter().enumerate() {
            let touches = group.touches(slots);
            if touches.iter().any(|new| touched.iter().any(|old| old.needs_barrier(new))) {
                segments.push(Segment::Barrier);
                touched.clear();
            }
            let mut bound: Vec<BoundCallRef> = Vec::new();
            for round in &group.rounds {
                let outputs = if threads > 1 { handed_on(&groups, number, round, slots) } else { 0 };
                hands_on |= outputs != 0;
                let handover = Handover { outputs, caches_are_apart: Arc::clone(caches_are_apart) };
                bound.push(bind(round.call, plan, slots, memory, threads, &handover));
            }
            if let Split::Blocks { count, align } = group.split {
                segments.push(Segment::Blocks { calls: bound, count, align });
            } else if let Some(call) = bound.pop() {
                segments.push(match group.split {
                    Split::Pieces { count, .. } => Segment::Pieces(call, count),
                    Split::Whole => Segment::Whole(call),
                    _ => Segment::Shares(call),
                });
            }
            touched.extend(touches);
        }
        // The program may run once more.
        segments.push(Segment::Barrier);
        Self { threads, segments, hands_on }
    }
}

/// Which outputs of a round the next group that has them takes from other threads: none that the round's own group goes on with.
/// A bit for each binding; the scratch buffer, if there is one, comes after the call's own.
fn handed_on(groups: &[Group<'_>], group: usize, round: &Round<'_>, slots: &Slots) -> u32 {
    let bindings = round.call.op.bindings();
    if round.makes_pieces {
        return 1 << bindings.len();
    }
    let own = groups[group].touches_of(round, slots);
    let outputs = bindings.iter().enumerate().map(|(binding, bound)| {
        let id = round.call.buffers[binding];
        let goes_on = groups[group].rounds.iter().any(|Round { call, .. }| {
            let taken = call.buffers.iter().position(|&buffer| buffer == id);
            taken.is_some_and(|taken| call.op.bindings()[taken].access == Access::Read)
        });
        let later = groups[group + 1..].iter().chain(&groups[..group]);
        let mut rounds = later.flat_map(|group| group.rounds.iter().map(move |round| (group, round)));
        let next = rounds.find(|(_, round)| round.call.buffers.contains(&id));
        let needs_barrier = next.is_some_and(|(group, next)| {
            let meets =
                |new: &Touch| own.iter().any(|old| new.slot == slots.of[id.0] && old.needs_barrier(new));
            group.touches_of(next, slots).iter().any(meets)
        });
        bound.access == Access::Write && !goes_on && needs_barrier
    });
    outputs.enumerate().map(|(binding, output)| u32::from(output) << binding).sum()
}

fn bind(
    call: &Call,
    plan: &Plan,
    slots: &Slots,
    memory: &mut Memory,
    threads: usize,
    handover: &Handover,
) -> BoundCallRef {
    let args = (0..threads).map(|thread| {
        let mut buffers: Vec<SharedBuffer> =
            call.buffers.iter().map(|id| memory.share(slots.of[id.0], plan.words(*id), thread)).collect();
        if let Split::Pieces { scratch, .. } = call.op.split(&call.params) {
            buffers.push(memory.share(scratch_slot(slots), scratch, thread));
        }
        // SAFETY: the backend owns the memory as long as its threads, which alone hold the schedule; the plan binds
        // distinct buffers; ops keep the contract of `CpuArgs`, and barriers part the segments.
        unsafe { CpuArgs::new(buffers) }.with_handover(handover.clone())
    });
    BoundCallRef::new(BoundCall { op: call.op, params: call.params.clone(), args: args.collect() })
}

/// Operations of a program that is done so soon that threads which others keep from running cost more than they do.
const BRIEF: u64 = 50_000_000;

fn flops(program: &Program) -> u64 {
    program.calls.iter().map(|call| call.op.cost(&call.params).flops).sum()
}

/// As many of `threads` as have enough to do: waiting for each other costs more than a small step takes.
pub(super) fn useful_threads(threads: usize, program: &Program) -> usize {
    threads.min(usize::try_from(flops(program) / WORTH_A_THREAD).unwrap_or(usize::MAX)).max(1)
}

/// Whether one thread may be quicker than several, if the machine is busy.
pub(super) fn is_brief(program: &Program) -> bool {
    flops(program) < BRIEF
}

/// What a call does with words of a slot.
struct Touch {
    slot: usize,
    region: Region,
    writes: bool,
}

impl Touch {
    fn needs_barrier(&self, after: &Self) -> bool {
        self.slot == after.slot && (self.writes || after.writes) && self.region.meets(&after.region)
    }
}

impl Group<'_> {
    /// What all rounds do.
    fn touches(&self, slots: &Slots) -> Vec<Touch> {
        self.rounds.iter().flat_map(|round| self.touches_of(round, slots)).collect()
    }

    /// What one of the rounds does.
    fn touches_of(&self, round: &Round<'_>, slots: &Slots) -> Vec<Touch> {
        let &Round { call, makes_pieces } = round;
        let mut touches = Vec::new();
        for (binding, (id, bound)) in call.buffers.iter().zip(call.op.bindings()).enumerate() {
            let regions = match self.split {
                Split::Whole | Split::Blocks { .. } => vec![Region::ALL],
                _ => call.op.regions(&call.params, binding),
            };
            // Pieces go to the scratch buffer alone.
            if makes_pieces && bound.access == Access::Write {
                continue;
            }
            let (slot, writes) = (slots.of[id.0], bound.access != Access::Read);
            touches.extend(regions.into_iter().map(|region| Touch { slot, region, writes }));
        }
        if let Split::Pieces { .. } = call.op.split(&call.params) {
            touches.push(Touch { slot: scratch_slot(slots), region: Region::ALL, writes: makes_pieces });
        }
        touches
    }
}

/// The slot after those of the plan: what [`Split::Pieces`] calls write in their first round, one call after the other.
fn scratch_slot(slots: &Slots) -> usize {
    slots.words.len()
}

/// Words of that slot.
pub(super) fn scratch_words(plan: &Plan) -> usize {
    let calls = plan.programs.iter().flat_map(|program| &program.calls);
    let words = calls.map(|call| match call.op.split(&call.params) {
        Split::Pieces { scratch, .. } => scratch,
        _ => 0,
    });
    words.max().unwrap_or(0)
}

impl Segment {
    /// The part of one of the threads.
    pub(super) fn run(&self, thread: &Thread<'_>) {
        let (index, threads) = (thread.index, thread.count);
        match self {
            Self::Barrier => thread.barrier(),
            Self::Blocks { calls, count, align } => {
                let runs = count.div_ceil(*align);
                let first = runs * index / threads * align;
                let end = (runs * (index + 1) / threads * align).min(*count);
                for block in first..end {
                    for call in calls {
                        call.run(index, Part::Blocks(block..block + 1));
                    }
                }
            }
            Self::Pieces(call, count) => {
                for piece in count * index / threads..count * (index + 1) / threads {
                    call.run(index, Part::Piece(piece));
                }
            }
            Self::Shares(call) => {
                call.run(index, Part::Share { index, of: threads });
            }
            Self::Whole(call) if index == 0 => call.reference(),
            Self::Whole(_) => {}
        }
    }
}

impl BoundCall {
    /// Runs a part of it on a thread.
    fn run(&self, thread: usize, part: Part) {
        let args = &self.args[thread];
        self.op.cpu(&self.params, args, part);
        args.finish();
    }

    fn reference(&self) {
        let args = &self.args[0];
        let slots = self.op.bindings().iter().enumerate().map(|(i, binding)| match binding.element {
            Element::F32 => Slot::Real(args.output(i, 0..args.len(i))),
            Element::U32 => Slot::Words(args.output_words(i, 0..args.len(i))),
        });
        self.op.reference_f32(&self.params, slots.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::activation::Activation;
    use crate::ops::case::Case;
    use crate::ops::dense::{self, Dense};
    use crate::ops::dense_weight_update_sgd::{self, DenseWeightUpdateSgd};
    use crate::ops::{self, simd};
    use crate::plan::{BufferId, Lifetime, Reuse};

    /// Two layers of so many features, and the updates of their weights.
    fn plan(blocks: u32, features: u32) -> Plan {
        let mut plan = Plan::default();
        let program = plan.program("train");
        let mut buffer = |name: &str| plan.buffer(name, 150_000, Lifetime::Run);
        let [x, y, z, y_grad, z_grad, schedule, control, parameters, velocity]: [BufferId; 9] =
            ["x", "y", "z", "y_grad", "z_grad", "schedule", "control", "parameters", "velocity"]
                .map(&mut buffer);
        let (inputs, units) = (features, features);
        let size = features * features + features;
        for (weight, from, to) in [(0, x, y), (size, y, z)] {
            let (bias, activation) = (weight + features * features, Activation::Relu as u32);
            let (dropout_layer, dropout_rate) = (0, 0.0);
            let params = dense::Params {
                blocks,
                inputs,
                units,
                weight,
                bias,
                activation,
                dropout_layer,
                dropout_rate,
            };
            plan.call(program, "", &Dense, &params, &[from, parameters, control, to]);
        }
        for (weight, from, gradient) in [(size, y, z_grad), (0, x, y_grad)] {
            let (bias, momentum, nesterov) = (weight + features * features, 0.0, 0);
            let params =
                dense_weight_update_sgd::Params { blocks, inputs, units, weight, bias, momentum, nesterov };
            let buffers = [from, gradient, schedule, control, parameters, velocity];
            plan.call(program, "", &DenseWeightUpdateSgd, &params, &buffers);
        }
        plan
    }

    /// A letter for each segment.
    fn segments(plan: &Plan, threads: usize) -> String {
        let slots = Slots::assign(plan, Reuse::Never);
        let words = [&slots.words[..], &[scratch_words(plan)]].concat();
        let mut memory = Memory::new(&words, &vec![None; words.len()], threads).unwrap();
        let schedule = Schedule::new(&plan.programs[0], plan, &slots, &mut memory, threads, &Arc::default());
        let letter = |segment: &Segment| match segment {
            Segment::Barrier => '|',
            Segment::Blocks { .. } => 'B',
            Segment::Pieces(..) => 'P',
            Segment::Shares(_) => 'S',
            Segment::Whole(_) => 'W',
        };
        schedule.segments.iter().map(letter).collect()
    }

    #[test]
    fn barriers_stand_only_where_threads_can_meet() {
        // The second layer reads all of y; its update overwrites weights that others may still read; the update of
        // the first layer touches nothing of that.
        assert_eq!(segments(&plan(1, 64), 2), "S|S|SS|");
    }

    #[test]
    fn small_batches_are_shared_by_images_where_that_is_fair() {
        // Both layers are one run of blocks.
        assert_eq!(segments(&plan(2, 64), 2), "B|SS|");
        assert_eq!(segments(&plan(2, 64), 3), "S|S|SS|");
        // Pieces of long sums go to all threads; what is made of them, and the pieces of the next layer, to those with the images.
        assert_eq!(segments(&plan(2, 256), 2), "P|B|P|B|SS|");
        assert_eq!(segments(&plan(2, 256), 3), "P|S|P|S|SS|");
    }

    #[test]
    fn outputs_are_handed_on_to_the_calls_that_read_what_others_wrote() {
        let plan = plan(1, 64);
        let slots = Slots::assign(&plan, Reuse::Never);
        let groups = groups(&plan.programs[0], 2);
        let outputs = |group: usize| handed_on(&groups, group, &groups[group].rounds[0], &slots);
        assert_eq!(outputs(0), 0b1000, "every thread reads all of y");
        assert_eq!(outputs(1), 0, "nothing reads z");
        assert_eq!(outputs(2), 0, "updated in place");
    }

    #[test]
    fn what_goes_past_the_caches_has_the_same_bits() {
        let run = |op: &dyn Op, case: &Case<Vec<u32>>, apart: bool| {
            let contents = case.buffers.iter().enumerate().map(|(i, fill)| fill.make(1, i));
            let mut contents: Vec<Vec<u32>> = contents.collect();
            let split = op.split(&case.params);
            if let Split::Pieces { scratch, .. } = split {
                contents.push(vec![0; scratch]);
            }
            let sizes: Vec<usize> = contents.iter().map(Vec::len).collect();
            let mut memory = Memory::new(&sizes, &vec![None; sizes.len()], 1).unwrap();
            let mut buffers = Vec::new();
            for (slot, words) in contents.iter().enumerate() {
                memory.slot_mut(slot).copy_from_slice(words);
                buffers.push(memory.share(slot, words.len(), 0));
            }
            let caches_are_apart = Arc::new(AtomicBool::new(apart));
            let handover = Handover { outputs: u32::MAX, caches_are_apart };
            // SAFETY: the buffers are distinct and outlive the arguments, which one thread has.
            let args = unsafe { CpuArgs::new(buffers) }.with_handover(handover);
            let whole = Part::Share { index: 0, of: 1 };
            match split {
                Split::Blocks { count, .. } => op.cpu(&case.params, &args, Part::Blocks(0..count)),
                Split::Pieces { count, .. } => {
                    (0..count).for_each(|piece| op.cpu(&case.params, &args, Part::Piece(piece)));
                    op.cpu(&case.params, &args, whole);
                }
                Split::Shares | Split::BlocksOrShares { .. } => op.cpu(&case.params, &args, whole),
                Split::Whole => {}
            }
            simd::finish_streams();
            (0..sizes.len()).map(|slot| memory.slot_mut(slot).to_vec()).collect::<Vec<_>>()
        };
        for op in ["dense", "dense_input_grad", "batch_norm", "batch_norm_grad"] {
            let op = ops::by_name(op).unwrap();
            for case in op.cases() {
                assert!(run(op, &case, false) == run(op, &case, true), "{}, {}", op.name(), case.name);
            }
        }
    }
}
