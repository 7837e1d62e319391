//! Recipes: a TOML file that says what to train on, which network, and how.

pub mod data;
pub mod initializer;
pub mod optimizer;
pub mod problem;
pub mod schedule;
mod tagged;
pub mod training;

pub use data::{Data, Scaling, Validation};
pub use initializer::Initializer;
pub use optimizer::Optimizer;
pub use problem::Problem;
pub use schedule::Schedule;
pub use training::{EarlyStopping, Length, Monitor, Reduction, Training};
