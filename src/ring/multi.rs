//! What rings with several senders, or several receivers, share: slots that say themselves in which
//! state they are, and the word that hands out places.
//!
//! ```text
//!   bits   63 .. 1                       0
//!         ┌───────────────────────────┬───────┐   the place that was committed last in this slot,
//!  stamp  │ place                     │ hole  │   and whether its claimer left it empty
//!         └───────────────────────────┴───────┘
//!   bits    63      62 .. 0
//!         ┌────────┬──────────────────────────┐   the next place to be claimed; once closed, it
//!  tail   │ closed │ place                    │   never changes again
//!         └────────┴──────────────────────────┘
//! ```
//!
//! Places are counted modulo 2^63.

use std::mem::MaybeUninit;

use crossbeam_utils::CachePadded;

use super::side::Side;
use super::slots::{CountOnDrop, Slots, drop_all};
use crate::error::Result;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering, spin_loop};
use crate::sync::cell::UnsafeCell;

const CLOSED: u64 = 1 << 63;

/// The number of a place, below 2^63.
pub(crate) type Place = u64;

/// The place so many behind another.
#[inline]
pub(crate) fn after(place: Place, count: u64) -> Place {
    place.wrapping_add(count) & !CLOSED
}

/// How many places lie from `earlier` to `later`.
#[inline]
pub(crate) fn distance(earlier: Place, later: Place) -> u64 {
    later.wrapping_sub(earlier) & !CLOSED
}

/// What a slot's stamp says of a place that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum State {
    Full = 0,
    Hole = 1,
}

/// A slot with its stamp. Only senders write to it.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    stamp: AtomicU64,
    item: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Slot<T> {
    /// A slot in which `place` was committed last.
    pub(crate) fn new(place: Place) -> Self {
        Self {
            stamp: AtomicU64::new(stamp(place, State::Hole)),
            item: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// How `place` was committed; `None` if it was not yet.
    #[inline]
    pub(crate) fn state(&self, place: Place) -> Option<State> {
        // ORDERING: pairs with the release in `commit`: the item is seen with the stamp.
        match self.stamp.load(Ordering::Acquire) ^ stamp(place, State::Full) {
            0 => Some(State::Full),
            1 => Some(State::Hole),
            _ => None,
        }
    }

    /// Hands the slot to the receivers.
    #[inline]
    pub(crate) fn commit(&self, place: Place, state: State) {
        // ORDERING: pairs with the acquire in `state`.
        self.stamp.store(stamp(place, state), Ordering::Release);
    }

    /// Builds an item in the slot.
    ///
    /// # Safety
    ///
    /// The slot is empty, and the caller's to fill.
    #[inline]
    pub(crate) unsafe fn write(&self, make: impl FnOnce() -> T) {
        self.item.with_mut(|item| {
            // SAFETY: by the caller's duty.
            unsafe { (*item).write(make()) };
        });
    }

    /// Moves the item out.
    ///
    /// # Safety
    ///
    /// The slot holds an item, which is the caller's, and which nobody reads again.
    #[inline]
    pub(crate) unsafe fn read(&self) -> T {
        // SAFETY: by the caller's duty.
        self.item.with(|item| unsafe { (*item).assume_init_read() })
    }
}

/// How many places from `first` on are committed in a way that is `wanted`, `most` at most.
#[inline]
pub(crate) fn committed<T>(
    slots: &Slots<Slot<T>>,
    first: Place,
    most: u64,
    mut wanted: impl FnMut(State) -> bool,
) -> u64 {
    let (run, wrapped) = slots.runs(first, most as usize);
    let mut count = 0;
    for run in [run, wrapped] {
        for slot in run {
            if !slot.state(after(first, count)).is_some_and(&mut wanted) {
                return count;
            }
            count += 1;
        }
    }
    count
}

/// Slots of which none is committed in the first lap, which begins at `first`.
pub(crate) fn first_lap<T>(capacity: usize, first: Place) -> Result<Slots<Slot<T>>> {
    Slots::new(capacity, |index| {
        let place = first_place(capacity, first, index);
        Slot::new(after(place, (capacity as u64).wrapping_neg()))
    })
}

/// The place that lies in a slot in the first lap.
pub(crate) fn first_place(capacity: usize, first: Place, index: usize) -> Place {
    let ahead = (index as u64).wrapping_sub(first) & (capacity as u64 - 1);
    after(first, ahead)
}

#[inline]
fn stamp(place: Place, state: State) -> u64 {
    place << 1 | state as u64
}

/// The word that hands out places to senders.
#[derive(Debug)]
pub(crate) struct Tail(CachePadded<AtomicU64>);

impl Tail {
    pub(crate) fn new(first: Place) -> Self {
        Self(CachePadded::new(AtomicU64::new(first & !CLOSED)))
    }

    /// The next place, and whether the ring is closed.
    #[inline]
    pub(crate) fn load(&self) -> (Place, bool) {
        // ORDERING: acquire, so that who finds it beyond a place that was sent before it began also
        // finds that place's stamp. No item is handed over by this word, and no model kills it; it
        // may stay, for what it costs nothing on the machines that this is for.
        let word = self.0.load(Ordering::Acquire);
        (word & !CLOSED, word & CLOSED != 0)
    }

    /// Claims `count` places from `first` on, if that is still the next one and the ring is open.
    #[inline]
    pub(crate) fn claim(&self, first: Place, count: u64) -> bool {
        // ORDERING: relaxed: the slots' stamps hand over what is in them; this only tells senders
        // apart.
        self.0
            .compare_exchange(
                first,
                after(first, count),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Closes; says whether it was open.
    pub(crate) fn close(&self) -> bool {
        // ORDERING: what the one who closes did before is seen with the closed word. The rings' own flag
        // says the same to receivers, so no model kills it; it may stay, for a ring is closed once.
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }
}

/// Room for some items, filled in place with [`Claim::push`] and sent together by
/// [`Claim::commit`]. Dropped without, it sends nothing, and drops what was pushed.
///
/// While it is held, receivers see nothing of what is sent behind it. If it is forgotten, that is
/// for good.
pub struct Claim<'a, T> {
    slots: &'a Slots<Slot<T>>,
    receivers: &'a Side,
    first: Place,
    room: usize,
    filled: usize,
}

impl<'a, T> Claim<'a, T> {
    /// A guard of places that the caller has claimed.
    #[inline]
    pub(crate) fn new(
        slots: &'a Slots<Slot<T>>,
        receivers: &'a Side,
        first: Place,
        room: usize,
    ) -> Self {
        Self {
            slots,
            receivers,
            first,
            room,
            filled: 0,
        }
    }

    /// How many more items can be pushed.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.room - self.filled
    }

    /// Pushes an item.
    ///
    /// # Panics
    ///
    /// When the claim is full.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.push_with(|| item);
    }

    /// Pushes what `make` gives, built in place. If it panics, the claim is as before.
    ///
    /// # Panics
    ///
    /// When the claim is full.
    #[inline]
    pub fn push_with(&mut self, make: impl FnOnce() -> T) {
        assert!(self.filled < self.room, "the claim is full");
        let place = after(self.first, self.filled as u64);
        // SAFETY: the place is claimed, and empty.
        unsafe { self.slots.at(place).write(make) };
        self.filled += 1;
    }

    /// Pushes items while there is room; returns how many.
    #[inline]
    pub fn fill(&mut self, items: impl IntoIterator<Item = T>) -> usize {
        let before = self.filled;
        let (run, wrapped) = self
            .slots
            .runs(after(self.first, before as u64), self.room());
        let mut items = items.into_iter();
        // The slots come first: an item that finds none stays where it is. What is filled is counted
        // at the end, or when an item panics.
        let mut filled = CountOnDrop::new(&mut self.filled);
        for run in [run, wrapped] {
            for (slot, item) in run.iter().zip(items.by_ref()) {
                // SAFETY: the place is claimed, and empty.
                unsafe { slot.write(|| item) };
                filled.count += 1;
            }
        }
        drop(filled);
        self.filled - before
    }

    /// Sends what was pushed; room that was not used is passed over.
    #[inline]
    pub fn commit(mut self) {
        let filled = std::mem::take(&mut self.filled);
        self.leave(filled);
        std::mem::forget(self);
    }

    /// Commits `full` places as such and leaves holes in the rest, and wakes who waits for any.
    #[inline]
    fn leave(&self, full: usize) {
        let (run, wrapped) = self.slots.runs(self.first, self.room);
        let mut n = 0;
        for run in [run, wrapped] {
            for slot in run {
                let state = if n < full { State::Full } else { State::Hole };
                slot.commit(after(self.first, n as u64), state);
                n += 1;
            }
        }
        self.receivers.notify(self.room);
    }
}

impl<T> Drop for Claim<'_, T> {
    fn drop(&mut self) {
        // Left in any case, even if an item's drop panics, but after the items are dropped.
        struct Leave<'c, 'a, T>(&'c Claim<'a, T>);
        impl<T> Drop for Leave<'_, '_, T> {
            fn drop(&mut self) {
                self.0.leave(0);
            }
        }
        let leave = Leave(self);
        let claim = leave.0;
        drop_all((0..claim.filled as u64).map(|n| {
            // SAFETY: it was pushed, is not sent, and is read once.
            unsafe { claim.slots.at(after(claim.first, n)).read() }
        }));
    }
}

/// How long a handle stays away from a word after losing it to another thread. Where losses follow
/// each other closely it stays away longer, so that one thread gets many things done while the word
/// is in its cache, instead of each of them one.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The place at which it lost last.
    lost_at: AtomicU64,
    /// The pause is two to this power.
    level: AtomicU32,
}

impl Pace {
    /// Losses that are fewer places apart are close.
    const CLOSE: u64 = 256;
    const LEVEL_MAX: u32 = 6;

    /// To be called when `place` was lost.
    #[cold]
    pub(crate) fn lost(&self, place: Place) {
        // ORDERING: relaxed: it only says how long to pause.
        let before = self.lost_at.swap(place, Ordering::Relaxed);
        let level = self.level.load(Ordering::Relaxed);
        let level = if distance(before, place) < Self::CLOSE {
            (level + 1).min(Self::LEVEL_MAX)
        } else {
            level.saturating_sub(1)
        };
        self.level.store(level, Ordering::Relaxed);
        let spins = if cfg!(ringbolt_loom) { 1 } else { 1 << level };
        for _ in 0..spins {
            spin_loop();
        }
    }
}
