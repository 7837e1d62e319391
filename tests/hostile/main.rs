//! Files made to break the program: each must be refused with a message that helps and exit code 4, without a
//! panic and without taking memory or time that the file's own length does not justify.

mod bombs;
mod data;
mod files;
mod make;
mod pack;
mod parsers;
