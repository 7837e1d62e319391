//! Training: the loop, its settings over time, what it records, and what it saves.
//!
//! The way down: [`run`] is the loop over epochs; [`engine`] holds a plan and the backend that runs it; [`state`] is everything
//! that changes, and what a checkpoint holds; [`folder`] is the run folder; [`model`] the model file. [`augmented`] shows what
//! augmentation does.
//! What there is to see of a run: [`histograms`] of everything in it, its worst [`mistakes`], and the [`record`] that
//! [`crate::report`] draws.
//! [`answer`] asks a model about pictures, and [`builtin`] is one that is there from the start.

pub mod answer;
pub mod atomic;
pub mod augmented;
mod best;
pub mod builtin;
mod disk;
pub mod engine;
pub mod ensemble;
pub mod evaluation;
pub mod event;
mod finite;
pub mod folder;
pub mod histograms;
pub mod mistakes;
pub mod model;
mod pace;
mod partition;
pub mod record;
pub mod room;
pub mod run;
pub mod state;
pub mod tensors;
