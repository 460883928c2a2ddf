//! How a thread waits that only has `try_` calls: the same loop for every queue.
//!
//! Where there is a processor for each thread it spins with the processor's pause hint. Where there
//! are more threads than processors it spins for some turns, then yields. It gives up when another
//! thread of the run has failed, and when nothing moves for a long time, so that a queue that loses
//! an item is reported instead of waited for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Turns before a crowded thread yields.
const SPINS: u32 = 32;
/// Turns between two looks at the clock.
const LOOK: u32 = 1 << 14;
/// How long nothing may move.
const STALL: Duration = Duration::from_secs(20);

/// What the threads of one run know of each other.
#[derive(Debug)]
pub struct Gate {
    /// More threads than processors.
    crowded: bool,
    producing: AtomicUsize,
    failed: AtomicBool,
}

/// Why a run ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken(pub String);

impl Gate {
    pub fn new(crowded: bool, producers: usize) -> Self {
        Self {
            crowded,
            producing: AtomicUsize::new(producers),
            failed: AtomicBool::new(false),
        }
    }

    /// A producer has put its last item.
    pub fn leave(&self) {
        // ORDERING: pairs with `finished`: whoever sees zero sees all items.
        self.producing.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether all producers have put their last item.
    #[inline]
    pub fn finished(&self) -> bool {
        self.producing.load(Ordering::Acquire) == 0
    }

    /// Begins a wait.
    #[inline(always)]
    pub fn idle(&self) -> Idle<'_> {
        Idle {
            gate: self,
            turns: 0,
            since: None,
        }
    }
}

/// One wait.
#[derive(Debug)]
pub struct Idle<'g> {
    gate: &'g Gate,
    turns: u32,
    since: Option<Instant>,
}

impl Idle<'_> {
    /// One turn of the loop.
    #[inline]
    pub fn turn(&mut self) -> Result<(), Broken> {
        self.turns += 1;
        if self.gate.crowded && self.turns > SPINS {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
        if self.turns.is_multiple_of(LOOK) {
            return self.look();
        }
        Ok(())
    }

    #[cold]
    fn look(&mut self) -> Result<(), Broken> {
        if self.gate.failed.load(Ordering::Relaxed) {
            return Err(Broken("another thread of the run failed".into()));
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() > STALL {
            self.gate.failed.store(true, Ordering::Relaxed);
            return Err(Broken(format!("nothing moved for {} s", STALL.as_secs())));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ends_the_others() {
        let gate = Gate::new(true, 1);
        assert!(!gate.finished());
        gate.leave();
        assert!(gate.finished());
        gate.failed.store(true, Ordering::Relaxed);
        let mut idle = gate.idle();
        assert!((0..=LOOK).any(|_| idle.turn().is_err()));
    }
}
