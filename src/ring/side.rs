//! One side of a ring: where its threads and tasks wait for the other side.
//!
//! Senders wait for room, receivers for items; each has a [`Side`] of its own. Whoever changes what
//! the other side may wait for calls [`Side::notify`] afterwards: while nobody sleeps, that is one
//! load of a line that rarely changes, and no fence (see [`barrier`]). Whoever finds nothing
//! registers, pays for the fence on behalf of both, looks once more, and only then sleeps.
//!
//! A wake-up is never lost between siblings: one that was woken and leaves without having taken
//! anything (its time was up, its future was dropped), or took something while more is there, wakes
//! the next. Those who need few places at once are woken before those who need many: when the first
//! of all cannot get on, nobody can. So a claim for many may wait for as long as others claim few.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::ring::WaitStrategy;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, spin_loop};
use crate::sync::park::{Parker, spin_until, yield_now};
use crate::sync::waiters::{Key, Waiters};
use crate::sys::barrier;

/// How long a wait that sleeps in the end spins at first: between these two, more when spinning
/// paid lately, less when it did not.
const SPIN_MIN: Duration = Duration::from_micros(2);
const SPIN_MAX: Duration = Duration::from_micros(50);

/// Looks of a spinning strategy before it looks at the clock, or yields.
const LOOKS: u32 = 64;

/// Pauses between two looks of one who spins before it sleeps, at most.
const PAUSES_MAX: u32 = 2;
const PAUSES_MAX_OF_SENDERS: u32 = 64;

/// How long a sleep may last where the kernel refuses its part of the fence.
const SLEEP_UNFENCED: Duration = Duration::from_millis(1);

/// The side. Public in name only: the module is private, and so is all that it can do.
#[derive(Debug)]
pub struct Side {
    /// On lines of its own: the other side looks at it after each of its changes.
    waiters: CachePadded<Waiters>,
    strategy: WaitStrategy,
    /// Pauses between two looks of one who spins before it sleeps, at most.
    pauses_max: u32,
    /// How long the next wait spins, in nanoseconds.
    spin_ns: AtomicU32,
    /// How often somebody had to wait, and how often that led to sleep.
    waits: AtomicU64,
    sleeps: AtomicU64,
}

/// How often a side had to wait for the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waits {
    /// Calls and futures that did not get on at once.
    pub waits: u64,
    /// Those of them that went to sleep.
    pub sleeps: u64,
}

impl Waits {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            waits: self.waits + other.waits,
            sleeps: self.sleeps + other.sleeps,
        }
    }
}

impl Side {
    /// A side whose threads look soon: receivers, for whom an item should not lie long.
    pub(crate) fn new(strategy: WaitStrategy) -> Self {
        Self::with_pauses(strategy, PAUSES_MAX)
    }

    /// A side whose threads look rarely: senders, for whom more room is better than some at once, and
    /// whose looks disturb the receiver that makes it.
    pub(crate) fn of_senders(strategy: WaitStrategy) -> Self {
        Self::with_pauses(strategy, PAUSES_MAX_OF_SENDERS)
    }

    fn with_pauses(strategy: WaitStrategy, pauses_max: u32) -> Self {
        let waiters = Waiters::behind_light_fence(barrier::prepare());
        Self {
            waiters: CachePadded::new(waiters),
            strategy,
            pauses_max,
            spin_ns: AtomicU32::new(SPIN_MAX.as_nanos() as u32),
            waits: AtomicU64::new(0),
            sleeps: AtomicU64::new(0),
        }
    }

    pub(crate) fn waits(&self) -> Waits {
        Waits {
            waits: self.waits.load(Ordering::Relaxed),
            sleeps: self.sleeps.load(Ordering::Relaxed),
        }
    }

    /// Wakes up to `count` of those who sleep here. To be called after the change.
    #[inline]
    pub(crate) fn notify(&self, count: usize) {
        // ORDERING: pairs with the heavy one in `register`: either a sleeper that registered is
        // seen here, or it sees the change when it looks again.
        barrier::lightest();
        if self.waiters.any_fenced() {
            self.waiters.wake_first(count);
        }
    }

    /// Wakes all who sleep here and need no more than `reached` gives, which is only asked while
    /// somebody sleeps. To be called after the change.
    #[inline]
    pub(crate) fn notify_reached(&self, reached: impl FnOnce() -> u64) {
        // ORDERING: as in `notify`.
        barrier::lightest();
        if self.waiters.any_fenced() {
            self.waiters.wake_fenced(reached());
        }
    }

    /// Wakes all who sleep here: each of them may get on. To be called after the change.
    #[inline]
    pub(crate) fn notify_each(&self) {
        // ORDERING: as in `notify`.
        barrier::lightest();
        self.notify_each_fenced();
    }

    /// [`Side::notify_each`] for a caller that has just passed a light barrier itself.
    #[inline]
    pub(crate) fn notify_each_fenced(&self) {
        if self.waiters.any_fenced() {
            self.waiters.wake_all();
        }
    }

    /// Wakes everybody: the ring was closed.
    pub(crate) fn notify_all(&self) {
        barrier::light();
        self.waiters.wake_all();
    }

    /// Registers `waker` to be called once, at the next change. The caller must look once more
    /// afterwards; `false` when it must also look again soon, by itself.
    pub(crate) fn register(&self, waker: Waker) -> (Key, bool) {
        self.register_for(1, waker)
    }

    /// The same for one who needs `need` places at once.
    fn register_for(&self, need: u64, waker: Waker) -> (Key, bool) {
        let key = self.waiters.register(need, waker);
        // ORDERING: the heavy one pairs with the light one in `notify`.
        (key, barrier::heavy())
    }

    /// [`Side::register`] for one who registers in several places, and passes the heavy barrier
    /// behind the last.
    pub(crate) fn enlist(&self, waker: Waker) -> Key {
        self.waiters.register(1, waker)
    }

    /// Takes a registration back; says whether it still stood. If not, a wake-up was spent on it.
    pub(crate) fn remove(&self, key: Key) -> bool {
        self.waiters.remove(key)
    }

    /// Blocks until `attempt` gives a value, or until `deadline` (then `None`). `more` tells
    /// whether a sibling would get on as well.
    pub(crate) fn block<R>(
        &self,
        deadline: Option<Instant>,
        attempt: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Option<R> {
        self.block_for(1, deadline, attempt, more)
    }

    /// The same for one who needs `need` places at once.
    #[cold]
    pub(crate) fn block_for<R>(
        &self,
        need: u64,
        deadline: Option<Instant>,
        attempt: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Option<R> {
        self.block_by(deadline, attempt, |attempt| {
            self.sleep(need, deadline, attempt, more)
        })
    }

    /// [`Side::block`] for one who sleeps elsewhere: `sleep` goes on once spinning did not help.
    pub(crate) fn block_by<R, A: FnMut() -> Option<R>>(
        &self,
        deadline: Option<Instant>,
        mut attempt: A,
        sleep: impl FnOnce(A) -> Option<R>,
    ) -> Option<R> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        match self.strategy {
            WaitStrategy::Spin => spin(deadline, attempt, spin_loop),
            WaitStrategy::SpinYield => spin(deadline, attempt, yield_now),
            WaitStrategy::SpinPark => self.spin_a_while(deadline, &mut attempt).or_else(|| {
                self.sleeps.fetch_add(1, Ordering::Relaxed);
                sleep(attempt)
            }),
        }
    }

    /// Spins for as long as it paid lately.
    fn spin_a_while<R>(
        &self,
        deadline: Option<Instant>,
        attempt: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        if cfg!(ringbolt_loom) {
            return None;
        }
        let spin_ns = self.spin_ns.load(Ordering::Relaxed);
        let limit = Duration::from_nanos(spin_ns.into());
        let value = spin_until(limit, deadline, self.pauses_max, attempt);
        let next = match value {
            Some(_) => spin_ns.saturating_mul(2).min(SPIN_MAX.as_nanos() as u32),
            None => (spin_ns / 2).max(SPIN_MIN.as_nanos() as u32),
        };
        if next != spin_ns {
            self.spin_ns.store(next, Ordering::Relaxed);
        }
        value
    }

    fn sleep<R>(
        &self,
        need: u64,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> Option<R> {
        let parker = Parker::new();
        loop {
            let (key, fenced) = self.register_for(need, parker.waker());
            let value = attempt();
            if value.is_none() {
                parker.park(if fenced { deadline } else { soon(deadline) });
            }
            let spent = !self.remove(key);
            let value = value.or_else(&mut attempt);
            let late = value.is_none() && deadline.is_some_and(|at| Instant::now() >= at);
            if value.is_some() || late {
                if (late && spent) || more() {
                    self.notify(1);
                }
                return value;
            }
        }
    }

    /// Awaits that `attempt` gives a value. Dropping the future loses nothing.
    pub(crate) async fn wait<R>(
        &self,
        attempt: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> R {
        self.wait_for(1, attempt, more).await
    }

    /// The same for one who needs `need` places at once.
    pub(crate) async fn wait_for<R>(
        &self,
        need: u64,
        mut attempt: impl FnMut() -> Option<R>,
        more: impl Fn() -> bool,
    ) -> R {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let mut place = Place {
            side: self,
            need,
            key: None,
        };
        poll_fn(|cx| place.poll(cx, &mut attempt, &more)).await
    }
}

/// A task's place among those who wait; goes with its future.
struct Place<'a> {
    side: &'a Side,
    need: u64,
    key: Option<Key>,
}

impl Place<'_> {
    fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: &mut impl FnMut() -> Option<R>,
        more: &impl Fn() -> bool,
    ) -> Poll<R> {
        let side = self.side;
        let before = self.key.take();
        let stood = before.is_some_and(|key| side.remove(key));
        let mut value = attempt();
        if value.is_none() {
            let (key, fenced) = side.register_for(self.need, cx.waker().clone());
            self.key = Some(key);
            if !fenced {
                cx.waker().wake_by_ref();
            }
            value = attempt();
        }
        let Some(value) = value else {
            return Poll::Pending;
        };
        let waited = before.is_some() && !stood || self.key.is_some();
        if let Some(key) = self.key.take() {
            side.remove(key);
        }
        if waited && more() {
            side.notify(1);
        }
        Poll::Ready(value)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            if !self.side.remove(key) {
                // The wake-up that was spent on this task is for somebody else.
                self.side.notify(1);
            }
        }
    }
}

/// Asks again and again; `between` runs between two tries.
fn spin<R>(
    deadline: Option<Instant>,
    mut attempt: impl FnMut() -> Option<R>,
    between: impl Fn(),
) -> Option<R> {
    loop {
        for _ in 0..LOOKS {
            if let Some(value) = attempt() {
                return Some(value);
            }
            spin_loop();
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return None;
        }
        between();
    }
}

/// When to look again where the kernel refuses its part of the fence.
pub(crate) fn soon(deadline: Option<Instant>) -> Option<Instant> {
    let soon = Instant::now() + SLEEP_UNFENCED;
    Some(deadline.map_or(soon, |at| at.min(soon)))
}
