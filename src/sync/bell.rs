//! A wish to be woken once a number is reached, by whichever of many threads reaches it.
//!
//! One sleeper, many ringers. The sleeper arms the bell, looks once more for work, and only then
//! sleeps. A ringer does its work, fences, and asks whether it rings: that is one load of a line
//! that rarely changes.
//!
//! Progress: everything is wait-free.

use super::atomic::{AtomicU64, Ordering, fence};

/// The wish: a number, or `u64::MAX` for none.
#[derive(Debug)]
pub(crate) struct Bell(AtomicU64);

impl Bell {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Asks for a ring at `number` or beyond. Look for work once more afterwards.
    pub(crate) fn arm(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
        // ORDERING: pairs with the ringer's fence: either it sees the wish, or the sleeper's second
        // look sees its work.
        fence(Ordering::SeqCst);
    }

    /// Takes the wish back.
    pub(crate) fn disarm(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether the caller, whose work reached `number`, must wake the sleeper: one ringer of many.
    /// To be asked after a sequentially consistent fence behind the work.
    #[inline]
    pub(crate) fn rings_fenced(&self, number: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= number
            && self.0.swap(u64::MAX, Ordering::Relaxed) != u64::MAX
    }
}
