//! Putting the calling thread to sleep until a [`Waker`] of its own is called.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use super::atomic::{AtomicBool, Ordering};

#[cfg(ringbolt_loom)]
use loom::thread::{self, Thread};
#[cfg(not(ringbolt_loom))]
use std::thread::{self, Thread};

/// Wakes one thread. A wake-up before the sleep is not lost: the sleep then returns at once.
#[derive(Debug)]
pub(crate) struct Parker {
    woken: AtomicBool,
    thread: Thread,
}

impl Parker {
    /// A parker for the calling thread. Only this thread may call [`Parker::park`].
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            woken: AtomicBool::new(false),
            thread: thread::current(),
        })
    }

    /// This parker as a waker.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Sleeps until woken or until `deadline`; says whether it was woken.
    pub(crate) fn park(&self, deadline: Option<Instant>) -> bool {
        loop {
            // ORDERING: pairs with the release in `wake_by_ref`: what the waker did before it
            // woke this thread is seen after the sleep.
            if self.woken.swap(false, Ordering::Acquire) {
                return true;
            }
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let now = Instant::now();
                    if now >= deadline {
                        return false;
                    }
                    #[cfg(not(ringbolt_loom))]
                    thread::park_timeout(deadline - now);
                    #[cfg(ringbolt_loom)]
                    thread::park();
                }
            }
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: pairs with the acquire in `park`.
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}
