//! The tail: where records enter the log. One word to claim space, images to fill it.
//!
//! A producer claims by one `fetch_add` on the [claim word](word), writes its frame into the image
//! of the generation that it *got back*, and releases the frame's commit word. The producer that
//! trips over a segment's end pads the rest; anyone who finds the segment exhausted may install the
//! next one, if the persister made it ready.
//!
//! Progress: a claim is lock-free (installing and large claims compare and swap). It is granted,
//! or [refused](Refusal) with the reason, at once; waiting is built above. A claim that is held
//! stops all that is behind it from becoming durable: that part is blocking, by design.
//!
//! Why a claimer may use its slot's image without a reference count: its claim is not committed,
//! so the persister's frontier cannot pass it, so the image is neither retired nor its slot reused.

pub(crate) mod claim;
pub(crate) mod image;
pub(crate) mod pinned;
pub(crate) mod word;

use std::io;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::log::frame;
use crate::log::position::{Position, UNIT_BYTES};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;
use crate::sys::mem::WipedOnFork;
use claim::Claimed;
use image::Image;
use word::{ADD_UNITS_MAX, CLOSED, FROZEN, GENERATION_MASK, POISONED, Word};

/// The most generations that are in memory at a time; a power of two.
pub(crate) const SLOTS: usize = if cfg!(ringbolt_loom) { 4 } else { 64 };

/// Claiming, for all producers of one log.
pub(crate) struct Tail {
    word: WipedOnFork,
    /// Claims are granted while the word is below this one: the bound on bytes not yet on disk.
    limit: CachePadded<AtomicU64>,
    /// Where the word stood when it was frozen last: a claimer that slept may still add to it, and
    /// that grants nothing.
    frozen: AtomicU64,
    slots: Box<[Slot]>,
    /// Where frames begin and end in every segment of this opening, in units.
    first_units: u64,
    end_units: u64,
}

/// A generation's place in memory.
struct Slot {
    /// The generation that the slot is ready for; 0 at first, which is no generation.
    ready: AtomicU64,
    /// The ordinal of that generation's segment.
    ordinal: AtomicU64,
    image: UnsafeCell<Option<Arc<Image>>>,
}

// SAFETY: a slot's image is written by the persister alone, before it releases `ready` for the new
// generation and after the last claim of the old one was committed; claimers read it only between
// their claim and its commit (see the module's head).
unsafe impl Sync for Tail {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Tail {}

/// Why a claim was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too much is not yet on disk.
    Bound,
    /// The segment is used up and the next is not ready.
    NotReady,
    /// A truncation is under way.
    Frozen,
    /// The log was closed.
    Closed,
    /// The log failed.
    Poisoned,
    /// This process is a forked child.
    Forked,
}

/// Where the tail stood at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TailAt {
    /// The generation's low bits.
    pub(crate) generation: u64,
    /// In bytes; the segment's end where claims ran past it.
    pub(crate) offset: u64,
}

impl Tail {
    /// A tail that is not open yet: [`Tail::ready`] a generation, then [`Tail::restart`].
    /// `first` and `end` say where frames lie in a segment, in bytes.
    pub(crate) fn new(first: u64, end: u64) -> io::Result<Self> {
        let slot = || Slot {
            ready: AtomicU64::new(0),
            ordinal: AtomicU64::new(0),
            image: UnsafeCell::new(None),
        };
        Ok(Self {
            word: WipedOnFork::new(Word::new(0, 0).0 | FROZEN)?,
            limit: CachePadded::new(AtomicU64::new(0)),
            frozen: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| slot()).collect(),
            first_units: first / UNIT_BYTES,
            end_units: end / UNIT_BYTES,
        })
    }

    /// Claims `len` bytes for a frame (any length up to what a segment holds).
    #[inline]
    ///
    /// `padded` is called with the padding's place when this claim padded the end of a segment:
    /// whoever waits for what lies before or behind may go on.
    pub(crate) fn claim(
        &self,
        len: usize,
        padded: impl Fn(Position),
    ) -> Result<Claimed<'_>, Refusal> {
        let units = (frame::aligned(len) as u64) / UNIT_BYTES;
        debug_assert!(units <= self.end_units - self.first_units);
        loop {
            // ORDERING: acquire, so that a word of a new generation comes with its slot.
            let word = Word(self.word.get().load(Ordering::Acquire));
            if !word.is_open() {
                return Err(refusal(word));
            }
            if word.offset_units() >= self.end_units {
                self.install_after(word)?;
                continue;
            }
            // ORDERING: relaxed: a stale limit only refuses too much or grants a little more; the
            // waiter that follows a refusal looks again after it announced itself.
            if !word.within(Word(self.limit.load(Ordering::Relaxed))) {
                return Err(Refusal::Bound);
            }
            let got = if units <= ADD_UNITS_MAX {
                // ORDERING: acquire, for the slot of the generation that comes back.
                Word(self.word.get().fetch_add(units, Ordering::Acquire))
            } else {
                let to = (word.offset_units() + units).min(self.end_units + 1);
                let next = word.0 - word.offset_units() + to;
                let swapped = self.word.get().compare_exchange_weak(
                    word.0,
                    next,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                );
                match swapped {
                    Ok(_) => word,
                    Err(_) => continue,
                }
            };
            // From here on only what came back counts: the thread may have slept since it looked.
            let from = got.offset_units();
            if !got.is_open() || from >= self.end_units {
                continue;
            }
            if from + units <= self.end_units {
                return Ok(self.claimed(got, from, units));
            }
            // Tripped over the end: the rest is this thread's to pad.
            let rest = self.claimed(got, from, self.end_units - from);
            let at = rest.position();
            rest.pad();
            padded(at);
        }
    }

    /// Claims for the persister, which decides by what is claimed so far: `take` gets the offset
    /// in bytes and the room behind it, and says how many bytes it wants (a multiple of 8).
    /// Neither limit nor freezing stop it; `None` if it wants nothing or nothing is left.
    pub(crate) fn claim_control(
        &self,
        take: impl Fn(TailAt, u64) -> Option<u64>,
    ) -> Option<Claimed<'_>> {
        // ORDERING: acquire here and in the swap, for the slot. No model kills them: the caller made
        // all slots ready itself. They may stay, since who else calls this need not be proved then.
        let mut word = Word(self.word.get().load(Ordering::Acquire));
        loop {
            let from = word.offset_units();
            if !word.is_live() || word.has(CLOSED | POISONED | FROZEN) || from >= self.end_units {
                return None;
            }
            let room = (self.end_units - from) * UNIT_BYTES;
            let units = take(self.at(word), room)? / UNIT_BYTES;
            debug_assert!(units > 0 && units * UNIT_BYTES <= room);
            match self.word.get().compare_exchange_weak(
                word.0,
                word.0 + units,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(self.claimed(word, from, units)),
                Err(now) => word = Word(now),
            }
        }
    }

    /// A range of a generation that the persister owns without a claim: behind the tail of a log
    /// that was closed or frozen nobody else writes.
    pub(crate) fn behind_end(&self, generation: u64, offset: u64, len: u64) -> Claimed<'_> {
        debug_assert!(!Word(self.word.get().load(Ordering::Relaxed)).is_open());
        self.claimed(
            Word::new(generation, 0),
            offset / UNIT_BYTES,
            len / UNIT_BYTES,
        )
    }

    fn claimed(&self, got: Word, from_units: u64, units: u64) -> Claimed<'_> {
        let slot = &self.slots[got.generation() as usize % SLOTS];
        debug_assert_eq!(
            slot.ready.load(Ordering::Relaxed) & GENERATION_MASK,
            got.generation()
        );
        let image = slot.image.with(|image| {
            // SAFETY: the claim is granted and not committed, so the persister does not touch
            // this slot (see the module's head); it was written before the word that we acquired.
            let image: &Option<Arc<Image>> = unsafe { &*image };
            let image: &Image = image.as_ref().expect("a granted claim has an image");
            image
        });
        Claimed::new(
            image,
            (from_units * UNIT_BYTES) as usize,
            (units * UNIT_BYTES) as usize,
        )
    }

    /// Moves an open, exhausted tail on to the next generation, if that is ready.
    pub(crate) fn install_next(&self) {
        let word = Word(self.word.get().load(Ordering::Acquire));
        if word.is_open() && word.offset_units() >= self.end_units {
            // Not ready, or somebody else did it: the caller looks at the tail again.
            let _ = self.install_after(word);
        }
    }

    /// Moves from an exhausted generation to the next, if that is ready.
    #[cold]
    fn install_after(&self, word: Word) -> Result<(), Refusal> {
        let next = (word.generation() + 1) & GENERATION_MASK;
        let slot = &self.slots[next as usize % SLOTS];
        // ORDERING: pairs with the release in `ready`: the image is there.
        let ready = slot.ready.load(Ordering::Acquire);
        if ready == 0 || ready & GENERATION_MASK != next {
            return Err(Refusal::NotReady);
        }
        // ORDERING: release, so that who acquires the word sees the slot as we do. A failure
        // means that somebody overshot or installed meanwhile: the caller looks again.
        let _ = self.word.get().compare_exchange(
            word.0,
            Word::new(next, self.first_units).0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        Ok(())
    }

    /// Makes `generation` (counted from 1) installable. Persister only; the slot's earlier
    /// generation must be retired.
    pub(crate) fn ready(&self, generation: u64, image: Arc<Image>) {
        let slot = &self.slots[generation as usize % SLOTS];
        // Between the two generations the slot has none: see `ordinal`.
        // ORDERING: the release of the ordinal behind it covers this one, too; no model kills it. It
        // may stay: it is off the hot path.
        slot.ready.store(0, Ordering::Release);
        slot.ordinal.store(image.ordinal(), Ordering::Release);
        slot.image.with_mut(|place| {
            // SAFETY: no claim of the slot's earlier generation is open: it was durable in full,
            // or never installed, before the persister retired it.
            unsafe { *place = Some(image) };
        });
        // ORDERING: pairs with the acquire in `install_after`.
        slot.ready.store(generation, Ordering::Release);
    }

    /// Opens the tail at an offset of a ready generation, thawing it if it was frozen. Persister
    /// only; while the tail is not open.
    pub(crate) fn restart(&self, generation: u64, offset: u64) {
        // A failure or a close that came meanwhile stays.
        let mut now = self.word.get().load(Ordering::Relaxed);
        loop {
            let keep = now & (CLOSED | POISONED);
            let next = Word::new(generation, offset / UNIT_BYTES).0 | keep;
            // ORDERING: release, so that claimers see the slot. A swap, not a store: a claimer
            // that slept may add to the word at any time, and then belongs to what it got back.
            match self.word.get().compare_exchange_weak(
                now,
                next,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }

    /// Sets the bound: claims are granted up to here.
    pub(crate) fn set_limit(&self, generation: u64, offset: u64) {
        self.limit.store(
            Word::new(generation, offset / UNIT_BYTES).0,
            Ordering::Relaxed,
        );
    }

    /// Stops claims for a truncation; says where the tail then stands.
    pub(crate) fn freeze(&self) -> TailAt {
        let mut word = self.word.get().load(Ordering::Acquire);
        loop {
            // ORDERING: relaxed: released with the word, to whoever finds that frozen.
            self.frozen.store(word, Ordering::Relaxed);
            match self.word.get().compare_exchange_weak(
                word,
                word | FROZEN,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return self.at(Word(word)),
                Err(now) => word = now,
            }
        }
    }

    /// Stops claims for good; says where the tail then stands.
    pub(crate) fn close(&self) -> TailAt {
        // ORDERING: it hands nothing over, and what it returns is in the word itself: no model kills
        // it. It may stay: it happens once.
        self.at(Word(self.word.get().fetch_or(CLOSED, Ordering::AcqRel)))
    }

    /// Stops claims for good: the log failed.
    pub(crate) fn poison(&self) {
        // ORDERING: as in `close`: the failure itself is published by its own cell.
        self.word.get().fetch_or(POISONED, Ordering::AcqRel);
    }

    /// Where the tail stands.
    pub(crate) fn now(&self) -> TailAt {
        let word = Word(self.word.get().load(Ordering::Acquire));
        if word.is_live() && word.has(FROZEN) {
            // ORDERING: relaxed: it came with the word. Should the tail have been thawed and frozen
            // again meanwhile, this is where it stood then.
            return self.at(Word(self.frozen.load(Ordering::Relaxed)));
        }
        self.at(word)
    }

    /// Why nothing is granted, if so.
    pub(crate) fn shut(&self) -> Option<Refusal> {
        let word = Word(self.word.get().load(Ordering::Acquire));
        (!word.is_open()).then(|| refusal(word))
    }

    /// The ordinal of the generation's segment; `None` when it is not in its slot (any more).
    pub(crate) fn ordinal(&self, generation: u64) -> Option<u64> {
        let slot = &self.slots[generation as usize % SLOTS];
        // ORDERING: acquire, pairing with `ready`'s two releases; unchanged around the ordinal, the
        // generation is the one that the ordinal belongs to. The second look is ordered by the look at
        // the ordinal already: its own acquire, which no model kills, costs nothing.
        let ready = slot.ready.load(Ordering::Acquire);
        let ordinal = slot.ordinal.load(Ordering::Acquire);
        let unchanged = slot.ready.load(Ordering::Acquire) == ready;
        (ready != 0 && unchanged && ready & GENERATION_MASK == generation).then_some(ordinal)
    }

    /// Where frames begin and end in every segment, in bytes.
    pub(crate) fn limits(&self) -> (u64, u64) {
        (self.first_units * UNIT_BYTES, self.end_units * UNIT_BYTES)
    }

    fn at(&self, word: Word) -> TailAt {
        TailAt {
            generation: word.generation(),
            offset: word.offset_units().min(self.end_units) * UNIT_BYTES,
        }
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("at", &self.now()).finish()
    }
}

#[cold]
fn refusal(word: Word) -> Refusal {
    if !word.is_live() {
        Refusal::Forked
    } else if word.has(POISONED) {
        Refusal::Poisoned
    } else if word.has(CLOSED) {
        Refusal::Closed
    } else {
        Refusal::Frozen
    }
}
