//! Whatever happens to a training process or its disk: the run folder holds a checkpoint that loads and is no older than one
//! interval, the program says what happened and never panics, nothing half-written stays, and the run taken up again ends
//! with the bytes of the run that nothing happened to.

#[cfg(target_os = "linux")]
mod disk;
mod faults;
#[cfg(unix)]
mod kills;
mod scene;
#[cfg(unix)]
mod signals;
