//! A trained network for elsewhere: ONNX, PyTorch, a page that runs it.
//!
//! Each layer says in its own file what it is in ONNX ([`crate::layers::Layer::onnx`]) and in PyTorch
//! ([`crate::layers::Layer::pytorch`]); what is here puts that together.

pub mod onnx;
mod proto;
pub mod pytorch;
pub mod web;
