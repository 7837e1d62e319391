//! What a run looks like: pictures, tables, a page, a terminal, TensorBoard.

mod axis;
mod base64;
pub mod confusion;
pub mod filters;
mod font;
pub mod histogram;
pub mod layers;
#[cfg(test)]
mod layout_tests;
mod legend;
mod numbers;
mod picture;
pub mod plot;
pub mod png;
mod raster;
pub mod sheet;
pub mod sparkline;
mod svg;
pub mod table;
pub mod tensorboard;
pub mod terminal;
pub mod theme;
mod trace;
pub use axis::{Scale, Unit};
pub use picture::Picture;
pub use sparkline::sparkline;
pub use svg::escape;
pub use table::Table;
pub use theme::Theme;
