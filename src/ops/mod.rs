//! Ops.
pub mod activation;
pub mod real;
