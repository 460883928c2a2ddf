//! Putting the calling thread to sleep until a [`Waker`] of its own is called.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::atomic::{AtomicBool, AtomicU64, Ordering, spin_loop};

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
            // woke this thread is seen after the sleep. No model kills the two: wakers are taken from
            // under a lock, and the sleeper looks again under the same. They may stay, so that a
            // parker keeps its word without one.
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

/// Lets another thread run.
pub(crate) fn yield_now() {
    thread::yield_now();
}

/// How many pauses lie between two looks at the clock: a look costs as much as several.
const PAUSES_PER_LOOK: u32 = 32;

/// Asks `ready` again and again until it gives a value, for at most `limit` and not beyond
/// `deadline`. Between two tries it pauses once, then twice as often each time, up to `pauses_max`.
pub(crate) fn spin_until<T>(
    limit: Duration,
    deadline: Option<Instant>,
    pauses_max: u32,
    mut ready: impl FnMut() -> Option<T>,
) -> Option<T> {
    let mut pauses = 1;
    let until = Instant::now().checked_add(limit);
    let until = deadline.map_or(until, |deadline| {
        Some(until.map_or(deadline, |until| until.min(deadline)))
    });
    loop {
        let mut paused = 0;
        while paused < PAUSES_PER_LOOK {
            if let Some(value) = ready() {
                return Some(value);
            }
            (0..pauses).for_each(|_| spin_loop());
            paused += pauses;
            pauses = (2 * pauses).min(pauses_max);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        // Where there are more threads than processors, one of them may have what this waits for.
        thread::yield_now();
    }
}

/// A place for one spinning thread of many that wait for the same thing, and how long it may spin.
/// The others sleep at once: one wake-up fewer is worth a processor's time, many are not.
#[derive(Debug)]
pub(crate) struct SpinPlace {
    taken: AtomicBool,
    /// Nanoseconds; 0 while nobody should spin.
    limit_ns: AtomicU64,
}

impl SpinPlace {
    pub(crate) fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            limit_ns: AtomicU64::new(0),
        }
    }

    /// Says how long a wait is worth spinning for.
    pub(crate) fn set_limit(&self, limit: Duration) {
        self.limit_ns
            .store(limit.as_nanos() as u64, Ordering::Relaxed);
    }

    /// [`spin_until`] for as long as is worth it, if no other thread does.
    pub(crate) fn spin_until<T>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let limit = Duration::from_nanos(self.limit_ns.load(Ordering::Relaxed));
        // ORDERING: relaxed: it guards nothing but the processor's time.
        if limit.is_zero() || self.taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        let value = spin_until(limit, deadline, 1, ready);
        self.taken.store(false, Ordering::Relaxed);
        value
    }
}
