//! gpu-mnist
pub mod error;
pub mod ops;
pub mod rng;
