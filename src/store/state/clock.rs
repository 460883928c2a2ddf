//! The store's time: what its log says of it, so that the same is old for every pass.
//!
//! Every now and then the store writes the time into its log. What was written before such a mark is as
//! old as the mark, or older. A mark between two others goes once it says little that these do not, for
//! its age: so a year takes about a thousand.

use std::collections::VecDeque;

use crate::log::Position;

/// A mark goes when the ones beside it are nearer to each other than its age by this.
const PRECISION: u64 = 64;
/// The marks are thinned when so many came.
const THIN_EVERY: usize = 64;

/// The store's time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    /// What was written before the position was written at this time or earlier; both rise.
    marks: VecDeque<(Position, u64)>,
    /// How many marks came since they were thinned.
    since_thinned: usize,
}

impl Clock {
    pub(crate) fn of(marks: VecDeque<(Position, u64)>, since_thinned: usize) -> Self {
        Self {
            marks,
            since_thinned,
        }
    }

    pub(crate) fn parts(&self) -> (&VecDeque<(Position, u64)>, usize) {
        (&self.marks, self.since_thinned)
    }

    /// The last mark's time, in nanoseconds since 1970; 0 for none.
    pub(crate) fn now(&self) -> u64 {
        self.marks.back().map_or(0, |(_, time)| *time)
    }

    /// A mark; it never goes back.
    pub(crate) fn mark(&mut self, at: Position, time_unix_ns: u64) {
        let now = self.now().max(time_unix_ns);
        self.marks.push_back((at, now));
        self.since_thinned += 1;
        if self.since_thinned >= THIN_EVERY {
            self.since_thinned = 0;
            self.thin(now);
        }
    }

    fn thin(&mut self, now: u64) {
        let mut kept: VecDeque<(Position, u64)> = VecDeque::with_capacity(self.marks.len());
        for (n, mark) in self.marks.iter().enumerate() {
            let around = kept.back().zip(self.marks.get(n + 1));
            let spare = around.is_some_and(|(before, behind)| {
                (behind.1 - before.1).saturating_mul(PRECISION) <= now - mark.1
            });
            if !spare {
                kept.push_back(*mark);
            }
        }
        self.marks = kept;
    }

    /// What was written before this position is older than `age`, in nanoseconds.
    pub(crate) fn cutoff(&self, age: u64) -> Position {
        let now = self.now();
        let old = |(_, time): &(Position, u64)| time.saturating_add(age) <= now;
        self.before(self.marks.partition_point(old))
    }

    /// When the next of what was written is older than `age`, if a mark says so.
    pub(crate) fn next_cutoff(&self, age: u64) -> Option<u64> {
        let now = self.now();
        let old = |(_, time): &(Position, u64)| time.saturating_add(age) <= now;
        let next = self.marks.get(self.marks.partition_point(old))?;
        next.1.checked_add(age)
    }

    /// What was written before this position was written before the time.
    pub(crate) fn written_before(&self, time_unix_ns: u64) -> Position {
        let earlier = |(_, time): &(Position, u64)| *time < time_unix_ns;
        self.before(self.marks.partition_point(earlier))
    }

    fn before(&self, behind: usize) -> Position {
        let mark = behind.checked_sub(1).and_then(|last| self.marks.get(last));
        mark.map_or(Position::MIN, |(at, _)| *at)
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(n: u64) -> Position {
        Position::new(1, n * 8)
    }

    #[test]
    fn what_is_older_than_an_age_was_written_before_a_mark_that_is() {
        let mut clock = Clock::default();
        assert_eq!((clock.now(), clock.cutoff(0)), (0, Position::MIN));
        for n in 1..=10 {
            clock.mark(at(n), n * SECOND);
        }
        assert_eq!(clock.cutoff(3 * SECOND), at(7));
        assert_eq!(clock.cutoff(10 * SECOND), Position::MIN);
        assert_eq!(clock.cutoff(u64::MAX), Position::MIN);
        assert_eq!(clock.next_cutoff(3 * SECOND), Some(11 * SECOND));
        assert_eq!(clock.next_cutoff(u64::MAX), None);
        assert_eq!(clock.written_before(4 * SECOND), at(3));
        // Time that goes back stands still.
        clock.mark(at(11), SECOND);
        assert_eq!(clock.now(), 10 * SECOND);
        assert_eq!(clock.cutoff(0), at(11));
    }

    #[test]
    fn many_marks_are_few_and_each_age_is_told_to_a_part_of_it() {
        let mut clock = Clock::default();
        let last = 400_000;
        for n in 1..=last {
            clock.mark(at(n), n * SECOND);
        }
        let (marks, _) = clock.parts();
        assert!(marks.len() < 1_000, "{}", marks.len());
        for age in [1, 10, 1_000, 100_000, 390_000] {
            let cutoff = clock.cutoff(age * SECOND).offset_bytes() / 8;
            let exact = last - age;
            assert!(
                cutoff <= exact && exact - cutoff <= age / 32 + 1,
                "{age}: {cutoff}"
            );
        }
    }
}
