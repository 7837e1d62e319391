//! Training: the loop, its settings over time, what it records, and what it saves.
//!
//! The way down: [`run`] is the loop over epochs; [`engine`] holds a plan and the backend that runs it; [`state`] is everything
//! that changes, and what a checkpoint holds; [`folder`] is the run folder; [`model`] the model file;
//! [`answer`] asks a model about pictures, and [`builtin`] is one that is there from the start.

pub mod answer;
pub mod atomic;
pub mod builtin;
pub mod engine;
pub mod evaluation;
pub mod event;
pub mod folder;
pub mod model;
pub mod run;
pub mod state;
pub mod tensors;
