//! gpu-mnist
pub mod backend;
pub mod data;
pub mod error;
pub mod layers;
pub mod ops;
pub mod plan;
pub mod predict;
pub mod recipe;
pub mod rng;
pub mod verify;
