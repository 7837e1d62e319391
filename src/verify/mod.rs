//! Proving backends right: every op, and whole training steps, against the f64 reference.

pub mod compare;
pub mod ops;
pub mod reference;
pub mod self_test;
pub mod steps;
