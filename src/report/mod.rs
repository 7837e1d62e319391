//! What a run looks like: pictures, tables, a page, a terminal, TensorBoard.
//!
//! Everything here takes plain data and gives text or bytes. [`run`] puts all of it together. Line charts are
//! [`plot`], the confusion matrix [`confusion`], contact sheets of images [`sheet`], first-layer weights
//! [`filters`], the grid of epochs by layers [`histogram`], figures of layers over time [`layers`]. Each
//! makes a [`Picture`], a list of shapes that becomes an SVG or a PNG in a light or a dark [`Theme`].
//! [`html`] makes one page of pictures and [`table`]s; [`mod@sparkline`] and [`terminal`] draw with letters;
//! [`tensorboard`] writes event files.
//!
//! *Nothing here runs a network or knows what one is. Any number may be NaN or infinite, since runs diverge;
//! no picture ever holds one.*

mod axis;
pub(crate) mod base64;
pub mod confusion;
pub mod filters;
mod font;
pub mod histogram;
pub mod html;
pub mod layers;
#[cfg(test)]
mod layout_tests;
mod legend;
mod numbers;
mod picture;
pub mod plot;
pub mod png;
mod raster;
pub mod run;
pub mod sheet;
pub mod sparkline;
mod svg;
pub mod table;
pub mod tensorboard;
pub mod terminal;
pub mod theme;
mod trace;

pub use axis::{Scale, Unit};
pub use html::{Page, Part, Section};
pub use picture::Picture;
pub use run::Run;
pub use sparkline::sparkline;
pub use svg::escape;
pub use table::Table;
pub use theme::Theme;
