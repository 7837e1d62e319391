//! How far the caches of two processors are from each other.
//!
//! Where they share one, a thread writes what another has read about as quickly as anything else (2 ns for each line of 64 bytes,
//! on a Zen 4). Where they do not, as in two core complexes of an EPYC, it waits for each line to be its own (8 ns and more): there,
//! what is handed on goes past the caches. A system moves threads and a hypervisor moves processors from time to time, so
//! it is looked at again with every job.

use super::pool::Thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

const LINES: usize = 64;
/// Looks, of which the quickest counts: others were interrupted.
const ROUNDS: u32 = 4;
/// Nanoseconds a line between near and far.
const FAR: u32 = 6;

#[derive(Default)]
#[repr(align(64))]
struct Line(AtomicU32);

/// Lines that two threads hand to each other.
pub(super) struct Caches {
    lines: [Line; LINES],
    /// Whether those of the first and the last thread were apart when last looked at.
    pub(super) are_apart: Arc<AtomicBool>,
}

impl Default for Caches {
    fn default() -> Self {
        Self { lines: std::array::from_fn(|_| Line::default()), are_apart: Arc::default() }
    }
}

impl Caches {
    /// Looks, in a job, on each of its threads.
    pub(super) fn look(&self, thread: &Thread<'_>) {
        let mut quickest = Duration::MAX;
        for round in 0..ROUNDS {
            if thread.index + 1 == thread.count {
                std::hint::black_box(self.lines.iter().map(|line| line.0.load(Ordering::Relaxed)).max());
            }
            thread.barrier();
            if thread.index == 0 {
                let start = Instant::now();
                self.lines.iter().for_each(|line| line.0.store(round, Ordering::Relaxed));
                // Until all lines are written.
                fence(Ordering::SeqCst);
                quickest = quickest.min(start.elapsed());
            }
            thread.barrier();
        }
        if thread.index == 0 {
            self.are_apart.store(quickest > FAR * Duration::from_nanos(LINES as u64), Ordering::Relaxed);
        }
        // All threads see it.
        thread.barrier();
    }
}
