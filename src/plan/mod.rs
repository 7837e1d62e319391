//! The plan: the calls of a training step and of an evaluation step over buffers, as plain data.
//!
//! **Invariant:** a plan holds no number of a model and no handle of a device. A backend is a loop over its calls.

pub mod augment;
pub mod emit;
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

/// A buffer: a name and a number of four-byte words.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// For people.
    pub name: String,
    /// Its size in words.
    pub words: usize,
    /// Whether it outlives a step.
    pub lifetime: Lifetime,
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
        self.buffers.push(Buffer { name: name.into(), words: words.max(1), lifetime });
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

    /// Size of a buffer in words.
    pub fn words(&self, buffer: BufferId) -> usize {
        self.buffers[buffer.0].words
    }
}
