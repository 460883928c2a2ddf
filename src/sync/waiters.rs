//! Who waits for a number to be reached: threads, tasks and callbacks, all as [`Waker`]s.
//!
//! A watermark (a plain atomic elsewhere) rises; a waiter registers the value that it needs,
//! checks the watermark once more, and only then sleeps. Whoever raises the watermark calls
//! [`Waiters::wake`] with the new value afterwards. One of the two sees the other.
//!
//! Progress: `wake` is one fence and one load while nobody waits for so little; otherwise both
//! sides take a lock for as long as a tree operation takes. Wakers run outside the lock, and their
//! panics are contained.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Poll, Waker};
use std::time::Instant;

use super::atomic::{AtomicU64, Ordering, fence};
use super::lock::Mutex;
use super::park::Parker;

/// The registry of those who wait for one watermark.
#[derive(Debug)]
pub(crate) struct Waiters {
    /// The smallest value anybody waits for; [`nobody`](Waiters::nobody) while nobody does.
    least: AtomicU64,
    /// `u64::MAX`; one less where whoever wakes must pass a fence before he believes that nobody
    /// waits, and so gets off the fast path.
    nobody: u64,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    wakers: BTreeMap<Key, Waker>,
    next_id: u64,
}

/// One registration: the value that is needed, and a number that tells equals apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    needed: u64,
    id: u64,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self::with_nobody(u64::MAX)
    }

    /// Waiters whose wakers pass only a compiler's fence before they ask whether anybody waits. Unless
    /// it is `enough`, they pass a real one when they ask.
    pub(crate) fn behind_light_fence(enough: bool) -> Self {
        Self::with_nobody(if enough { u64::MAX } else { u64::MAX - 1 })
    }

    fn with_nobody(nobody: u64) -> Self {
        Self {
            least: AtomicU64::new(nobody),
            nobody,
            list: Mutex::new(List::default()),
        }
    }

    /// What `least` is to be.
    fn least_of(&self, list: &List) -> u64 {
        let first = list.wakers.first_key_value();
        first.map_or(self.nobody, |(key, _)| key.needed)
    }

    /// Registers `waker` for the moment when the watermark reaches `needed`. The caller must look
    /// at the watermark again afterwards: it may have risen in between.
    pub(crate) fn register(&self, needed: u64, waker: Waker) -> Key {
        let key = {
            let mut list = self.list.lock();
            let key = Key {
                // The largest numbers stand for "nobody".
                needed: needed.min(u64::MAX - 2),
                id: list.next_id,
            };
            list.next_id += 1;
            list.wakers.insert(key, waker);
            self.least.store(self.least_of(&list), Ordering::Relaxed);
            key
        };
        // ORDERING: announce, then re-check. Pairs with the fence in `wake`: either the raiser
        // sees this registration in `least`, or the caller's re-check sees the raised watermark.
        fence(Ordering::SeqCst);
        key
    }

    /// Replaces the waker of a registration that still stands; says whether it did.
    pub(crate) fn update(&self, key: Key, waker: &Waker) -> bool {
        let mut list = self.list.lock();
        match list.wakers.get_mut(&key) {
            Some(present) => {
                present.clone_from(waker);
                true
            }
            None => false,
        }
    }

    /// Takes a registration back; says whether it still stood. Nothing happens if it was woken
    /// already.
    pub(crate) fn remove(&self, key: Key) -> bool {
        let mut list = self.list.lock();
        let stood = list.wakers.remove(&key).is_some();
        if stood {
            self.least.store(self.least_of(&list), Ordering::Relaxed);
        }
        stood
    }

    /// Whether anybody waits, for whatever value. To be asked after a sequentially consistent fence
    /// behind what they may wait for, or the [light one](Waiters::behind_light_fence).
    #[inline]
    pub(crate) fn any_fenced(&self) -> bool {
        self.least.load(Ordering::Relaxed) != u64::MAX && self.any_after_all()
    }

    #[cold]
    fn any_after_all(&self) -> bool {
        if self.nobody != u64::MAX {
            // ORDERING: pairs with the fence in `register`. In the models the light fence is enough, so
            // that none comes here: `wake` has the same, and a model that needs it.
            fence(Ordering::SeqCst);
        }
        self.least.load(Ordering::Relaxed) != self.nobody
    }

    /// Wakes up to `count` of those who need least, first come, first served; says how many.
    #[cold]
    pub(crate) fn wake_first(&self, count: usize) -> usize {
        for woken in 0..count {
            let waker = {
                let mut list = self.list.lock();
                let Some((_, waker)) = list.wakers.pop_first() else {
                    return woken;
                };
                self.least.store(self.least_of(&list), Ordering::Relaxed);
                waker
            };
            wake_contained(waker);
        }
        count
    }

    /// Wakes everybody who needs no more than `reached`. To be called after the watermark rose.
    #[inline]
    pub(crate) fn wake(&self, reached: u64) {
        // ORDERING: pairs with the fence in `register`.
        fence(Ordering::SeqCst);
        self.wake_fenced(reached);
    }

    /// [`Waiters::wake`] for a caller that has just fenced (sequentially consistent) itself.
    #[inline]
    pub(crate) fn wake_fenced(&self, reached: u64) {
        if self.least.load(Ordering::Relaxed) <= reached {
            self.wake_slow(reached);
        }
    }

    /// Wakes everybody: the log failed, closed, or changed beneath them.
    pub(crate) fn wake_all(&self) {
        // ORDERING: the lock that `wake_slow` takes in any case orders this against `register`; no
        // model kills the fence. It may stay: this is how a log ends.
        // Nobody registers for the largest numbers, which stand for "nobody".
        fence(Ordering::SeqCst);
        self.wake_slow(u64::MAX - 2);
    }

    #[cold]
    fn wake_slow(&self, reached: u64) {
        let covered = {
            let mut list = self.list.lock();
            let rest = list.wakers.split_off(&Key {
                needed: reached.saturating_add(1),
                id: 0,
            });
            let covered = std::mem::replace(&mut list.wakers, rest);
            self.least.store(self.least_of(&list), Ordering::Relaxed);
            covered
        };
        covered.into_values().for_each(wake_contained);
    }

    /// Blocks the calling thread until `ready` gives a value, or until `deadline` (then `None`).
    ///
    /// `ready` is asked first, and again after each wake-up that `needed` brings.
    pub(crate) fn wait<T>(
        &self,
        needed: u64,
        deadline: Option<Instant>,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        if let Some(value) = ready() {
            return Some(value);
        }
        let parker = Parker::new();
        loop {
            let key = self.register(needed, parker.waker());
            if let Some(value) = ready() {
                self.remove(key);
                return Some(value);
            }
            if !parker.park(deadline) {
                self.remove(key);
                return ready();
            }
            if let Some(value) = ready() {
                self.remove(key);
                return Some(value);
            }
            self.remove(key);
        }
    }

    /// Awaits that `ready` gives a value, asking again whenever `needed` is reached.
    pub(crate) async fn wait_async<T>(
        &self,
        needed: u64,
        mut ready: impl FnMut() -> Option<T>,
    ) -> T {
        let mut wait = Registration {
            waiters: self,
            key: None,
        };
        poll_fn(move |cx| {
            if let Some(value) = ready() {
                return Poll::Ready(value);
            }
            if !wait.key.is_some_and(|key| self.update(key, cx.waker())) {
                wait.key = Some(self.register(needed, cx.waker().clone()));
            }
            ready().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// A registration that goes with its future.
struct Registration<'a> {
    waiters: &'a Waiters,
    key: Option<Key>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.waiters.remove(key);
        }
    }
}

/// A waker is the embedder's code: its panic must not end whoever wakes.
pub(crate) fn wake_contained(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::Waiters;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the light fence is enough or not, who waits is seen, and nobody else.
    #[test]
    fn nobody_is_told_from_somebody_with_either_fence() {
        for enough in [true, false] {
            let waiters = Waiters::behind_light_fence(enough);
            let calls = Arc::new(Calls::default());
            let waker = Waker::from(Arc::clone(&calls));
            assert!(!waiters.any_fenced());
            assert_eq!(waiters.wake_first(3), 0);
            let greedy = waiters.register(u64::MAX, waker.clone());
            let modest = waiters.register(1, waker.clone());
            assert!(waiters.any_fenced());
            waiters.wake_fenced(1);
            assert_eq!(calls.0.load(Ordering::Relaxed), 1);
            assert!(!waiters.remove(modest));
            assert!(waiters.any_fenced());
            waiters.wake_all();
            assert_eq!(calls.0.load(Ordering::Relaxed), 2);
            assert!(!waiters.remove(greedy));
            assert!(!waiters.any_fenced());
            let key = waiters.register(1, waker);
            assert!(waiters.any_fenced());
            assert!(waiters.remove(key));
            assert!(!waiters.any_fenced());
        }
    }
}
