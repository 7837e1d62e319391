//! gpu-mnist
pub mod backend;
pub mod bench;
pub mod cli;
pub mod data;
pub mod error;
pub mod layers;
pub mod ops;
pub mod plan;
pub mod recipe;
pub mod rng;
pub mod train;
pub mod verify;
