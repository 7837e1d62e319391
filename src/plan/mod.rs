//! The plan: the calls of a training step and of an evaluation step over buffers, as plain data.
//!
//! **Invariant:** a plan holds no number of a model and no handle of a device. A backend is a loop over its calls.

pub mod augment;
pub mod emit;
mod halves;
pub mod inspect;
pub mod network;
pub mod optimizer;
mod slots;
pub mod table;

use crate::ops::{Cost, Op, Params, words};

pub use slots::{Reuse, Slots};

/// A buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// A program of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub usize);

/// Whether a buffer outlives a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Parameters, moments, data, and what the host reads: memory of its own.
    Run,
    /// Activations and gradients: memory is shared with others that are not alive at the same time.
    Step,
}

/// A buffer: a name and a number of four-byte words, or of numbers in half precision.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// For people.
    pub name: String,
    /// Words in it, or numbers in half precision.
    pub words: usize,
    /// Whether a GPU stores it in half precision (IEEE binary16), two numbers to a word.
    pub half: bool,
    /// Whether it outlives a step.
    pub lifetime: Lifetime,
}

impl Buffer {
    /// Words of memory that it takes.
    pub fn memory_words(&self) -> usize {
        if self.half { self.words.div_ceil(2) } else { self.words }
    }
}

/// An op, its parameters, and the buffers it reads and writes.
#[derive(Clone)]
pub struct Call {
    /// What to do.
    pub op: &'static dyn Op,
    /// The words of the op's parameter struct.
    pub params: Vec<u32>,
    /// One for each binding of the op; all distinct.
    pub buffers: Vec<BufferId>,
    /// The layer or stage it belongs to, for people.
    pub place: String,
}

impl Call {
    /// The least work of this call.
    pub fn cost(&self) -> Cost {
        self.op.cost(&self.params)
    }
}

/// A list of calls that is run once a step.
#[derive(Clone, Default)]
pub struct Program {
    /// For people.
    pub name: String,
    /// In order.
    pub calls: Vec<Call>,
}

/// Buffers and the programs over them.
#[derive(Clone, Default)]
pub struct Plan {
    /// All buffers; a [`BufferId`] is an index into them.
    pub buffers: Vec<Buffer>,
    /// All programs; a [`ProgramId`] is an index into them.
    pub programs: Vec<Program>,
}

impl Plan {
    /// Adds a buffer. Sizes of zero become one word, since no API binds nothing.
    pub fn buffer(&mut self, name: impl Into<String>, words: usize, lifetime: Lifetime) -> BufferId {
        self.buffers.push(Buffer { name: name.into(), words: words.max(1), half: false, lifetime });
        BufferId(self.buffers.len() - 1)
    }

    /// Adds an empty program.
    pub fn program(&mut self, name: impl Into<String>) -> ProgramId {
        self.programs.push(Program { name: name.into(), calls: Vec::new() });
        ProgramId(self.programs.len() - 1)
    }

    /// Appends a call to a program.
    pub fn call<P: Params>(
        &mut self,
        program: ProgramId,
        place: &str,
        op: &'static dyn Op,
        params: &P,
        buffers: &[BufferId],
    ) {
        debug_assert_eq!(buffers.len(), op.bindings().len(), "{}", op.name());
        debug_assert!(
            (1..buffers.len()).all(|i| !buffers[..i].contains(&buffers[i])),
            "{} binds one buffer twice",
            op.name()
        );
        self.programs[program.0].calls.push(Call {
            op,
            params: words(params),
            buffers: buffers.to_vec(),
            place: place.to_owned(),
        });
    }

    /// Size of a buffer in words, or in numbers.
    pub fn words(&self, buffer: BufferId) -> usize {
        self.buffers[buffer.0].words
    }

    /// Which buffers of a call are in half precision, in binding order.
    pub fn halves(&self, call: &Call) -> Vec<bool> {
        call.buffers.iter().map(|id| self.buffers[id.0].half).collect()
    }

    /// The least work of a call; numbers in half precision are two bytes.
    pub fn cost(&self, call: &Call) -> Cost {
        let halves = call.buffers.iter().map(|id| &self.buffers[id.0]).filter(|buffer| buffer.half);
        let saved: u64 = halves.map(|buffer| 2 * buffer.words as u64).sum();
        let cost = call.cost();
        Cost { bytes: cost.bytes.saturating_sub(saved), ..cost }
    }
}
