//! The pages in a real browser: `serve`, `train --serve`, and the exported one on WebGPU.

#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/trained.rs"]
mod trained;

mod exported;
mod requests;
mod served;
mod serving;
