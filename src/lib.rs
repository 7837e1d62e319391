//! gpu-mnist
pub mod error;
pub mod layers;
pub mod ops;
pub mod recipe;
pub mod rng;
