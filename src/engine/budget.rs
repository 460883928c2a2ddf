//! The buffer budget: a bound on the memory of all logs on an engine together.
//!
//! A count and a limit. Whoever wants memory takes its share first and gives it back when the memory
//! is gone; nobody waits here. Lock-free; refused when it would exceed the limit.

use std::sync::Arc;

use crate::sync::atomic::{AtomicU64, Ordering};

/// So many bytes may be taken, and so many are.
pub(crate) struct Budget {
    limit_bytes: u64,
    taken_bytes: AtomicU64,
}

/// What one log took of the budget; goes back when it is dropped.
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            taken_bytes: AtomicU64::new(0),
        })
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes.load(Ordering::Relaxed)
    }

    /// Takes a share, if there is so much left.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let share = Share {
            budget: Arc::clone(self),
            bytes: AtomicU64::new(0),
        };
        share.grow(bytes).then_some(share)
    }
}

impl Share {
    /// Takes more, if there is so much left.
    pub(crate) fn grow(&self, bytes: u64) -> bool {
        // ORDERING: relaxed, here and below: the numbers guard no memory, they only count it.
        let grown = |taken: u64| {
            let sum = taken.checked_add(bytes)?;
            (sum <= self.budget.limit_bytes).then_some(sum)
        };
        let taken = &self.budget.taken_bytes;
        let has = taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .is_ok();
        if has {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        has
    }

    /// Gives back what is beyond `bytes`.
    pub(crate) fn shrink_to(&self, bytes: u64) {
        let before = self.bytes.fetch_min(bytes, Ordering::Relaxed);
        let back = before.saturating_sub(bytes);
        self.budget.taken_bytes.fetch_sub(back, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_within_the_limit_and_go_back() {
        let budget = Budget::new(10);
        let one = budget.take(6).unwrap();
        assert!(budget.take(5).is_none(), "it would exceed the limit");
        let other = budget.take(4).unwrap();
        assert_eq!(budget.taken_bytes(), 10);
        assert!(!one.grow(1) && one.grow(0));
        other.shrink_to(1);
        other.shrink_to(3);
        assert_eq!(budget.taken_bytes(), 7);
        assert!(one.grow(3) && !one.grow(u64::MAX));
        drop(one);
        assert_eq!(budget.taken_bytes(), 1);
        other.shrink_to(0);
        drop(other);
        assert_eq!(budget.taken_bytes(), 0);
    }

    #[test]
    fn threads_that_take_at_once_never_exceed_the_limit() {
        let budget = Budget::new(100);
        std::thread::scope(|scope| {
            for bytes in 1..5 {
                let budget = &budget;
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        let share = budget.take(30 * bytes);
                        assert!(budget.taken_bytes() <= 100);
                        drop(share);
                    }
                });
            }
        });
        assert_eq!(budget.taken_bytes(), 0);
    }
}
