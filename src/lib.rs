//! gpu-mnist
pub mod error;
pub mod ops;
pub mod recipe;
pub mod rng;
