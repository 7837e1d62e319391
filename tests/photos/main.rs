//! Pictures of handwritten digits, made without a camera, through every stage.
//!
//! What is asserted: the built-in network does nearly as well on photos as on the clean digits that they show; blank
//! pictures are refused and several digits noticed, counted and put in order; neither polarity nor place nor size
//! nor the kind of file changes the answer; and no picture, however odd, breaks anything.

mod accuracy;
mod command;
mod generator;
mod hostile;
mod invariance;
mod score;
