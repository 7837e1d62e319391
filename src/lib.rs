//! gpu-mnist
pub mod data;
pub mod error;
pub mod ops;
pub mod rng;
