//! Test cases of ops: parameters, and what the buffers hold before.

use super::{Params, words};
use crate::rng::{Purpose, Stream};

/// What a buffer holds before the call.
#[derive(Clone, Debug)]
pub enum Fill {
    /// Uniform numbers in a range.
    Uniform(usize, f32, f32),
    /// So many numbers, four of five of them zero and the others in (0, 1), as pixels are.
    Pixels(usize),
    /// These numbers.
    Values(Vec<f32>),
    /// These words.
    Words(Vec<u32>),
    /// An output of this many numbers: filled with noise that must be overwritten, and half precision can hold.
    Output(usize),
    /// An output of this many words.
    OutputWords(usize),
}

impl Fill {
    /// Normal-ish inputs in (-1, 1).
    pub fn signed(len: usize) -> Self {
        Self::Uniform(len, -1.0, 1.0)
    }

    /// The words of the buffer, for the case with this seed and the buffer at this binding.
    pub fn make(&self, seed: u64, binding: usize) -> Vec<u32> {
        let stream = Stream::new(seed, Purpose::Test, binding as u32, 0);
        match self {
            Self::Uniform(len, low, high) => {
                (0..*len as u32).map(|i| (low + (high - low) * stream.uniform(i)).to_bits()).collect()
            }
            Self::Pixels(len) => {
                (0..*len as u32).map(|i| (5.0 * stream.uniform(i) - 4.0).max(0.0).to_bits()).collect()
            }
            Self::Values(values) => values.iter().map(|x| x.to_bits()).collect(),
            Self::Words(words) => words.clone(),
            Self::Output(len) => {
                (0..*len as u32).map(|i| (8e3 * (stream.uniform(i) + 1.0)).to_bits()).collect()
            }
            Self::OutputWords(len) => (0..*len as u32).map(|i| stream.word(i) | 0x8000_0000).collect(),
        }
    }
}

/// One call with known inputs.
#[derive(Clone, Debug)]
pub struct Case<P> {
    /// What is special about it.
    pub name: String,
    /// The parameters.
    pub params: P,
    /// One for each binding.
    pub buffers: Vec<Fill>,
}

impl<P: Params> Case<P> {
    /// A case.
    pub fn new(name: impl Into<String>, params: P, buffers: Vec<Fill>) -> Self {
        Self { name: name.into(), params, buffers }
    }

    /// The same with the parameters as words.
    pub fn into_words(self) -> Case<Vec<u32>> {
        Case { name: self.name, params: words(&self.params), buffers: self.buffers }
    }
}
