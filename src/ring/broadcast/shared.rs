//! What all handles of a broadcast ring share: the memory of its items, and where its threads wait.

use std::mem::{MaybeUninit, needs_drop};
use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use super::station::{SharedTopology, Station, StationRef, Topology};
use crate::error::Result;
use crate::ring::side::Side;
use crate::ring::slots::{Slots, drop_all};
use crate::ring::{RingOptions, RingStats};
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;
use crate::sync::lock::Mutex;
use crate::sys::barrier;

/// Bits of a stamp, below the number of its place: the slot holds an item (which is to be dropped
/// in the end); receivers skip the place.
const ITEM: u64 = 1;
const SKIP: u64 = 2;
const FLAGS: u64 = ITEM | SKIP;
const FLAG_BITS: u32 = FLAGS.count_ones();

/// What all handles share.
pub(super) struct Shared<T> {
    // Read by all, rarely written.
    pub(super) slots: Slots<UnsafeCell<MaybeUninit<T>>>,
    /// Of a ring with many senders: which places are published.
    stamps: OnceLock<Stamps>,
    pub(super) first: u64,
    closed: AtomicBool,
    /// Whether any place was ever abandoned.
    holed: AtomicBool,
    /// Whether receivers that were made to follow others follow the senders by now.
    has_orphans: AtomicBool,
    senders_left: AtomicU32,
    receivers_left: AtomicU32,
    /// Of a ring with one sender: before which place it has dropped the items of the round before.
    /// Written when it goes.
    pub(super) cleared: AtomicU64,
    pub(super) topology: SharedTopology,
    /// Those who wait for receivers to pass: the senders, and receivers that were made to follow others.
    pub(super) senders: Side,
    followers: Side,
    /// Those who wait for items to be sent: the other receivers.
    receivers: Side,
    /// The first place that is not published (one sender) or not claimed (many senders).
    pub(super) tail: CachePadded<AtomicU64>,
}

// SAFETY: a place is written by the one who claimed it, while no receiver may look at it; once it is
// published it is only read, by all receivers at once, until all of them have passed it. Items come
// from one thread, are lent to many at once, and are dropped by another: `T: Send + Sync`.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

/// Of each place of a ring with many senders whether it is published: the number of the place that
/// its slot was published for last, and the two flags.
#[derive(Debug)]
pub(super) struct Stamps(Slots<AtomicU64>);

/// What a place's stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unpublished,
    Item,
    Hole,
}

impl<T> Shared<T> {
    pub(super) fn new(options: &RingOptions) -> Result<Self> {
        let slots = Slots::new(options.capacity()?, |_| {
            UnsafeCell::new(MaybeUninit::uninit())
        })?;
        let side = || Side::new(options.wait);
        Ok(Self {
            slots,
            stamps: OnceLock::new(),
            first: options.first,
            closed: AtomicBool::new(false),
            holed: AtomicBool::new(false),
            has_orphans: AtomicBool::new(false),
            senders_left: AtomicU32::new(1),
            // The builder counts until it is done.
            receivers_left: AtomicU32::new(1),
            cleared: AtomicU64::new(options.first),
            topology: Mutex::new(Topology::default()),
            senders: Side::of_senders(options.wait),
            receivers: side(),
            followers: side(),
            tail: CachePadded::new(AtomicU64::new(options.first)),
        })
    }

    /// Makes it a ring for many senders.
    pub(super) fn stamp(&self) -> Result<()> {
        let stamps = Stamps::new(self.capacity(), self.first)?;
        self.stamps
            .set(stamps)
            .expect("a ring's builder is used once");
        Ok(())
    }

    /// The stamps of a ring with many senders.
    #[inline]
    pub(super) fn stamps(&self) -> Option<&Stamps> {
        self.stamps.get()
    }

    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.slots.capacity()
    }

    /// The slots of `count` places from `first` on, in two runs.
    #[inline]
    pub(super) fn runs(&self, first: u64, count: usize) -> (&[Cell<T>], &[Cell<T>]) {
        self.slots.runs(first, count)
    }

    /// Says that the places from this one on will be written.
    #[inline]
    pub(super) fn will_write(&self, place: u64) {
        self.slots.will_write(place);
    }

    /// Builds an item in a place. What was there before is not dropped.
    ///
    /// # Safety
    ///
    /// The caller has claimed the place, and it is not published.
    #[inline]
    pub(super) unsafe fn write(&self, place: u64, make: impl FnOnce() -> T) {
        self.slots.at(place).with_mut(|slot| {
            // SAFETY: by the caller's duty.
            unsafe { (*slot).write(make()) };
        });
    }

    /// The item of a place.
    ///
    /// # Safety
    ///
    /// 1. The place holds an item, and the caller was let at it: it is published, or the caller's.
    /// 2. The caller's station does not pass the place while the reference lives.
    #[inline]
    pub(super) unsafe fn item(&self, place: u64) -> &T {
        // SAFETY: by the caller's 1 and 2.
        unsafe { item(self.slots.at(place)) }
    }

    /// Moves the item of a place out.
    ///
    /// # Safety
    ///
    /// 1. The slot holds an item, and the place that it was published for, if any, was passed by all.
    /// 2. The caller has claimed the slot's next place, or has the ring to itself; nobody reads or
    ///    drops the item again.
    #[inline]
    pub(super) unsafe fn take(&self, place: u64) -> T {
        self.slots.at(place).with_mut(|slot| {
            // SAFETY: by the caller's 1 and 2.
            unsafe { (*slot).assume_init_read() }
        })
    }

    /// Wakes whoever may get on now that a receiver has passed some places.
    #[inline]
    pub(super) fn passed(&self, station: &Station) {
        // ORDERING: pairs with the heavy one in `Side::register_for`: either the sleeper sees the new
        // place when it looks again, or it is seen here, and before it whom to tell.
        barrier::light();
        // All that wait there: the first sender in line may need more than there is for the second.
        if station.is_followed() {
            self.followers.notify_each_fenced();
        } else {
            self.senders.notify_each_fenced();
        }
    }

    /// Wakes whoever may get on now that something was published.
    #[inline]
    pub(super) fn published(&self) {
        // ORDERING: as in `passed`.
        barrier::light();
        self.receivers.notify_each_fenced();
        if self.has_orphans.load(Ordering::Relaxed) {
            self.followers.notify_each_fenced();
        }
    }

    /// Where a receiver waits, for as long as it lives.
    pub(super) fn side_of(&self, station: &Station) -> &Side {
        if station.is_follower() {
            &self.followers
        } else {
            &self.receivers
        }
    }

    /// Marks that followers, too, must look for abandoned places. To be followed by the release of such
    /// a place's stamp.
    pub(super) fn mark_holed(&self) {
        // ORDERING: relaxed: whoever comes to the place has seen its stamp, and this before it.
        self.holed.store(true, Ordering::Relaxed);
    }

    /// Whether any place may have to be skipped.
    #[inline]
    pub(super) fn is_holed(&self) -> bool {
        self.holed.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether the ring is closed. What was sent before it was closed is seen afterwards.
    #[inline]
    pub(super) fn is_closed_acquire(&self) -> bool {
        // ORDERING: pairs with the release in `close`.
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        // ORDERING: pairs with the acquire in `is_closed_acquire`. No model kills the release: the light
        // barrier that follows whatever was sent is a fence in the models, and not elsewhere.
        self.closed.store(true, Ordering::Release);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.senders.notify_all();
        self.receivers.notify_all();
        self.followers.notify_all();
    }

    /// A receiver, or what counts as one, is there.
    pub(super) fn receiver_came(&self) {
        self.receivers_left.fetch_add(1, Ordering::Relaxed);
    }

    /// A receiver, or what counted as one, is gone. The last one closes the ring; says whether it
    /// did.
    pub(super) fn receiver_went(&self) -> bool {
        let was_last = self.receivers_left.fetch_sub(1, Ordering::Relaxed) == 1;
        if was_last {
            self.close();
        }
        was_last
    }

    /// A receiver is gone: those who follow it follow what it followed, from now on.
    pub(super) fn leave(&self, station: &StationRef) {
        let mut topology = self.topology.lock();
        let has_orphans = topology.leave(station);
        self.has_orphans.store(has_orphans, Ordering::Relaxed);
        drop(topology);
        // Whoever slept looks again, and registers behind the change if that is in vain: those whom it
        // waits for now know by then that they are to tell it, see `passed`.
        if !self.receiver_went() {
            self.wake_all();
        }
    }

    pub(super) fn sender_came(&self) {
        self.senders_left.fetch_add(1, Ordering::Relaxed);
    }

    /// A sender is gone. The last one closes the ring.
    pub(super) fn sender_went(&self) {
        // ORDERING: what each sender claimed before it went is seen by the last, and by whoever sees
        // that one's `close`. No model kills it. It may stay, for a sender goes once.
        if self.senders_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    /// The first place that the slowest receiver is not done with; the tail when there is none.
    fn slowest(&self) -> u64 {
        let leaves = self.topology.lock().leaves();
        let tail = self.tail.load(Ordering::Relaxed);
        let done = leaves.iter().filter_map(|leaf| leaf.seen());
        done.min_by_key(|done| done.wrapping_sub(tail) as i64)
            .unwrap_or(tail)
    }

    /// Places from `head` on that are published, or claimed: two moments, so bounded.
    pub(super) fn len_from(&self, head: u64) -> usize {
        let len = self.tail.load(Ordering::Relaxed).wrapping_sub(head);
        len.min(self.capacity()) as usize
    }

    /// Items that the slowest receiver has not passed.
    pub(super) fn len(&self) -> usize {
        self.len_from(self.slowest())
    }

    /// Others that wait are woken by whom they wait for.
    pub(super) fn has_room(&self) -> bool {
        false
    }

    pub(super) fn stats(&self) -> RingStats {
        let head = self.slowest();
        RingStats {
            capacity: self.capacity() as usize,
            len: self.len_from(head),
            sent: (self.tail.load(Ordering::Relaxed)).wrapping_sub(self.first),
            received: head.wrapping_sub(self.first),
            senders: self.senders.waits(),
            receivers: self.receivers.waits().plus(self.followers.waits()),
        }
    }
}

/// A slot.
pub(super) type Cell<T> = UnsafeCell<MaybeUninit<T>>;

/// The item in a slot.
///
/// # Safety
///
/// That of [`Shared::item`], whose slot it is.
#[inline]
pub(super) unsafe fn item<T>(slot: &Cell<T>) -> &T {
    // SAFETY: by the caller's duty; nobody writes as long as the reference lives.
    slot.with(|slot| unsafe { (*slot).assume_init_ref() })
}

impl Stamps {
    fn new(capacity: u64, first: u64) -> Result<Self> {
        // As if the round before had been abandoned.
        let before = |index: usize| {
            let offset = (index as u64).wrapping_sub(first) & (capacity - 1);
            let place = first.wrapping_add(offset).wrapping_sub(capacity);
            AtomicU64::new((place << FLAG_BITS) | SKIP)
        };
        Ok(Self(Slots::new(capacity as usize, before)?))
    }

    /// Whether a place is published, and with what.
    #[inline]
    pub(super) fn state(&self, place: u64) -> State {
        // ORDERING: pairs with the release in `publish`.
        let stamp = self.0.at(place).load(Ordering::Acquire);
        if stamp & !FLAGS != place << FLAG_BITS {
            State::Unpublished
        } else if stamp & SKIP != 0 {
            State::Hole
        } else {
            State::Item
        }
    }

    /// Whether the slot of a place that the caller has claimed holds an item of an earlier round. If
    /// so, it is the caller's to take from now on.
    #[inline]
    pub(super) fn take_old(&self, place: u64) -> bool {
        let stamp = self.0.at(place);
        // ORDERING: relaxed, both: what was published for the round before was passed by all
        // receivers, which the claim has seen; until the place is published nobody else looks at
        // more than the number.
        let old = stamp.load(Ordering::Relaxed);
        let held = old & ITEM != 0;
        if held {
            stamp.store(old & !ITEM, Ordering::Relaxed);
        }
        held
    }

    /// Publishes `filled` places from `first` on as holding items, and those behind them, up to `room`
    /// in all, as to be skipped. Receivers see all of them, or none.
    #[inline]
    pub(super) fn publish(&self, first: u64, filled: usize, room: usize) {
        let stamp_of = |offset: usize| {
            let place = first.wrapping_add(offset as u64);
            let flags = match offset < filled {
                true => ITEM,
                // An item of an earlier round may still be inside.
                false => SKIP | (self.0.at(place).load(Ordering::Relaxed) & ITEM),
            };
            (self.0.at(place), (place << FLAG_BITS) | flags)
        };
        // ORDERING: relaxed: nobody looks behind the first place before that one is published.
        for offset in 1..room {
            let (stamp, value) = stamp_of(offset);
            stamp.store(value, Ordering::Relaxed);
        }
        if room > 0 {
            let (stamp, value) = stamp_of(0);
            // ORDERING: pairs with the acquire in `state`: the items of all places, and the
            // stamps behind this one, are seen with it.
            stamp.store(value, Ordering::Release);
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if !needs_drop::<T>() {
            return;
        }
        let capacity = self.capacity();
        let tail = self.tail.load(Ordering::Relaxed);
        // One sender: what was published, but for what the sender has dropped of the last round.
        let kept = capacity.wrapping_sub((self.cleared.load(Ordering::Relaxed)).wrapping_sub(tail));
        let count = tail.wrapping_sub(self.first).min(kept);
        let published = tail.wrapping_sub(count);
        let live = (0..capacity).filter_map(|index| match self.stamps.get() {
            // SAFETY: (1) the stamp says so; (2) the ring is this thread's, and the stamp is cleared.
            Some(stamps) => (stamps.take_old(index)).then(|| unsafe { self.take(index) }),
            // SAFETY: (1) by the count; (2) the ring is this thread's, each index comes once.
            None => (index < count).then(|| unsafe { self.take(published.wrapping_add(index)) }),
        });
        drop_all(live);
    }
}
