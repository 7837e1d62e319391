//! Training: the loop, its settings over time, what it records, and what it saves.
//!
//! The way down: [`run`] is the loop over epochs; [`engine`] holds a plan and the backend that runs it; [`state`] is everything
//! that changes, and what a checkpoint holds; [`folder`] is the run folder; [`model`] the model file.

pub mod atomic;
mod disk;
pub mod engine;
pub mod evaluation;
pub mod event;
pub mod folder;
pub mod model;
pub mod run;
pub mod state;
pub mod tensors;
