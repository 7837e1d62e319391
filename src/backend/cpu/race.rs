//! One thread or all of them, for programs so brief that waiting for each other can take longer than the work.
//!
//! On a busy machine a thread is kept from running for longer than such a program takes, and all others wait for it at every
//! barrier. Nobody can know that beforehand; so from time to time both ways run a few times, and the quicker one goes on.
//! Results do not depend on it.

use super::schedule::Schedule;
use std::sync::Arc;
use std::time::Duration;

/// Jobs from one race to the next.
const JOBS: usize = 4;
/// The share of a job that each way gets in a race.
const SHARE: usize = 32;
/// How often each has to run at the least, so that waking the threads counts little.
const LEAST: usize = 32;

/// The ways to run a program.
pub(super) struct Ways {
    all: Arc<Schedule>,
    alone: Option<Arc<Schedule>>,
    alone_is_quicker: bool,
    jobs: usize,
}

impl Ways {
    /// With all threads that are useful, and for brief programs with one.
    pub(super) fn new(all: Schedule, alone: Option<Schedule>) -> Self {
        Self { all: Arc::new(all), alone: alone.map(Arc::new), alone_is_quicker: false, jobs: 0 }
    }

    /// The way that was quicker when last looked at.
    pub(super) fn quicker(&self) -> &Arc<Schedule> {
        match &self.alone {
            Some(alone) if self.alone_is_quicker => alone,
            _ => &self.all,
        }
    }

    /// Both ways, and how often each shall run, if a job of so many times is to begin with a race.
    pub(super) fn race(&mut self, times: usize) -> Option<([Arc<Schedule>; 2], usize)> {
        let alone = self.alone.as_ref()?;
        let each = times / SHARE;
        if each < LEAST {
            return None;
        }
        self.jobs += 1;
        (self.jobs % JOBS == 1).then(|| ([Arc::clone(&self.all), Arc::clone(alone)], each))
    }

    /// Learns how long both ways took.
    pub(super) fn learn(&mut self, [all, alone]: [Duration; 2]) {
        self.alone_is_quicker = alone < all;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(threads: &[usize]) -> Ways {
        let mut schedules =
            threads.iter().map(|&threads| Schedule { threads, segments: vec![], hands_on: false });
        Ways::new(schedules.next().unwrap(), schedules.next())
    }

    #[test]
    fn the_quicker_way_goes_on_until_the_next_race() {
        let (short, long) = (Duration::from_micros(30), Duration::from_micros(90));
        let mut ways = ways(&[2, 1]);
        assert!(ways.race(LEAST * SHARE - 1).is_none(), "too few times to tell");
        assert_eq!(ways.quicker().threads, 2);
        for (all, alone, threads) in [(long, short, 1), (short, long, 2), (short, short, 2)] {
            let ([first, second], each) = ways.race(LEAST * SHARE).unwrap();
            assert_eq!((first.threads, second.threads, each), (2, 1, LEAST));
            ways.learn([all, alone]);
            assert_eq!(ways.quicker().threads, threads);
            assert!((1..JOBS).all(|_| ways.race(LEAST * SHARE).is_none()));
        }
    }

    #[test]
    fn there_is_no_race_where_there_is_one_way() {
        let mut ways = ways(&[2]);
        assert!((0..2 * JOBS).all(|_| ways.race(LEAST * SHARE).is_none()));
        assert_eq!(ways.quicker().threads, 2);
    }
}
