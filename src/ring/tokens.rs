//! For tests and models: the smallest thing that several threads can wait for, without a ring.

use super::WaitStrategy;
use super::handle::Handle;
use super::side::Side;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Tokens that are given and taken by any number of threads. Each wakes one.
#[derive(Debug)]
pub struct Tokens {
    count: AtomicU64,
    side: Side,
}

impl Tokens {
    /// No tokens.
    #[must_use]
    pub fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            side: Side::new(WaitStrategy::SpinPark),
        }
    }

    /// Gives one.
    pub fn give(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.side.notify(1);
    }

    /// Takes one if there is one.
    pub fn try_take(&self) -> Option<()> {
        let take = |count: u64| count.checked_sub(1);
        let taken = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok().map(drop)
    }

    /// Takes one; blocks until there is one.
    pub fn take(&self) {
        let more = || self.is_ready();
        let taken = self.side.block(None, || self.try_take(), more);
        taken.expect("without a deadline there is an outcome");
    }

    /// The same, as a future.
    pub async fn take_async(&self) {
        self.side.wait(|| self.try_take(), || self.is_ready()).await;
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Handle for Tokens {
    fn side(&self) -> &Side {
        &self.side
    }

    fn is_ready(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }
}

impl Handle for &Tokens {
    fn side(&self) -> &Side {
        (**self).side()
    }

    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }
}
