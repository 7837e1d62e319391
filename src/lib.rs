//! gpu-mnist
pub mod backend;
pub mod data;
pub mod error;
pub mod ops;
pub mod plan;
pub mod rng;
pub mod verify;
