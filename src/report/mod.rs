//! What a run looks like: pictures, tables, a page, a terminal, TensorBoard.

mod base64;
mod font;
mod picture;
pub mod png;
mod raster;
mod svg;
pub mod theme;
pub use picture::Picture;
pub use svg::escape;
pub use theme::Theme;
