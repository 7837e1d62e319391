//! Threads that wait for jobs, and the barrier at which they meet inside a job.

use anyhow::{Result, bail};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Turns of the spinning loop before a waiting thread lets others run.
const SPINS: u32 = 1_000;

/// A job: called once on every thread.
type Job = Arc<dyn Fn(&Thread<'_>) + Send + Sync>;

/// One of the threads inside a job.
pub(super) struct Thread<'a> {
    /// Which.
    pub(super) index: usize,
    /// Of how many.
    pub(super) count: usize,
    shared: &'a Shared,
}

impl Thread<'_> {
    /// Waits for all threads of the job.
    pub(super) fn barrier(&self) {
        if self.count > 1 {
            self.shared.barrier(self.count);
        }
    }
}

#[derive(Default)]
struct Shared {
    arrived: AtomicUsize,
    generation: AtomicUsize,
    /// A thread panicked: the others must not wait for it.
    failed: AtomicBool,
    jobs: Mutex<Jobs>,
    new_job: Condvar,
}

#[derive(Default)]
struct Jobs {
    number: usize,
    job: Option<Job>,
    /// Threads that take part in it.
    threads: usize,
    stop: bool,
}

impl Shared {
    fn barrier(&self, count: usize) {
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == count {
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut turns = 0;
        while self.generation.load(Ordering::Acquire) == generation {
            assert!(!self.failed.load(Ordering::Relaxed), "another thread of the CPU backend failed");
            turns += 1;
            if turns < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Runs the job as thread `index`, and meets the others at its end.
    fn work(&self, job: &Job, index: usize, count: usize) {
        let thread = Thread { index, count, shared: self };
        let done = catch_unwind(AssertUnwindSafe(|| {
            job(&thread);
            thread.barrier();
        }));
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
    }
}

/// The threads.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `count - 1` threads; the caller of [`Pool::run`] is the first.
    pub(super) fn new(count: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let spawn = |index: usize| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve(&shared, index))
        };
        Self { threads: (1..count).map(spawn).collect(), shared: Arc::clone(&shared) }
    }

    /// Runs a job on the first `threads` threads and returns when all of them are done.
    pub(super) fn run(&mut self, threads: usize, job: Job) -> Result<()> {
        let threads = threads.clamp(1, self.threads.len() + 1);
        if threads > 1 {
            let mut jobs = self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.number += 1;
            jobs.job = Some(Arc::clone(&job));
            jobs.threads = threads;
            drop(jobs);
            self.shared.new_job.notify_all();
        }
        self.shared.work(&job, 0, threads);
        if self.shared.failed.load(Ordering::Acquire) {
            bail!("a thread of the CPU backend failed; this is a bug, please report it with the recipe");
        }
        Ok(())
    }
}

fn serve(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        let (job, threads) = {
            let mut jobs = shared.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            while jobs.number == seen && !jobs.stop {
                jobs = shared.new_job.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
            if jobs.stop {
                return;
            }
            seen = jobs.number;
            (jobs.job.clone(), jobs.threads)
        };
        if let Some(job) = job
            && index < threads
        {
            shared.work(&job, index, threads);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.shared.new_job.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has been reported by `run`.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_sees_what_the_others_did_before_the_barrier() {
        let mut pool = Pool::new(3);
        for _ in 0..50 {
            let sum = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&sum);
            pool.run(
                3,
                Arc::new(move |thread| {
                    for round in 1..=20 {
                        seen.fetch_add(1, Ordering::Relaxed);
                        thread.barrier();
                        assert_eq!(seen.load(Ordering::Relaxed), 3 * round);
                        thread.barrier();
                    }
                }),
            )
            .unwrap();
            assert_eq!(sum.load(Ordering::Relaxed), 60);
        }
    }

    #[test]
    fn a_failing_thread_is_an_error_and_not_a_hang() {
        let mut pool = Pool::new(2);
        let result = pool.run(
            2,
            Arc::new(|thread| {
                assert_eq!(thread.index, 0, "planted");
                thread.barrier();
            }),
        );
        assert!(result.is_err());
    }
}
