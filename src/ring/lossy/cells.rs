//! The slots of a lossy ring: a number and the words of an item, side by side.

use std::marker::PhantomData;

use bytemuck::NoUninit;

use crate::error::Result;
use crate::ring::slots::{allocate, will_write};
use crate::ring::words;
use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// How far ahead of the sender its lines are asked for.
const WRITE_AHEAD_BYTES: usize = 256;

/// The slots.
pub(super) struct Cells<T> {
    /// For each slot its number, then the words of its item.
    words: Box<[AtomicU64]>,
    mask: u64,
    /// The words are no `T`: these are taken in and given out by value.
    items: PhantomData<fn(T) -> T>,
}

/// What a receiver found.
pub(super) enum Look<T> {
    /// The item.
    Item(T),
    /// It was not sent yet.
    Nothing,
    /// It was overwritten, or is right now, with the item of a place so many places further on.
    Overrun { ahead: u64 },
}

impl<T> Cells<T> {
    const STRIDE: usize = 1 + words::words_of::<T>();

    /// `capacity` slots (a power of two), of which the one of place `first` is written first.
    pub(super) fn new(capacity: usize, first: u64) -> Result<Self> {
        let count = capacity.saturating_mul(Self::STRIDE);
        let words = allocate(count, |_| AtomicU64::new(0))?;
        let mask = capacity as u64 - 1;
        let cells = Self {
            words,
            mask,
            items: PhantomData,
        };
        for place in 0..capacity as u64 {
            // As if each held an item of the round before, which nobody asks for.
            let place = first.wrapping_add(place);
            let before = place.wrapping_sub(capacity as u64);
            cells.at(place).0.store(holds(before), Ordering::Relaxed);
        }
        Ok(cells)
    }

    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// The number of a place's slot, and its words.
    #[inline]
    fn at(&self, place: u64) -> (&AtomicU64, &[AtomicU64]) {
        let start = (place & self.mask) as usize * Self::STRIDE;
        // SAFETY: the mask keeps the slot below the capacity, and each slot has so many words.
        let slot = unsafe { self.words.get_unchecked(start..start + Self::STRIDE) };
        // SAFETY: there is a number in each slot.
        unsafe { (slot.get_unchecked(0), slot.get_unchecked(1..)) }
    }

    /// Asks the processor for the line of a place that will be written soon after `place`.
    #[inline]
    pub(super) fn will_write(&self, place: u64) {
        let ahead = WRITE_AHEAD_BYTES / (Self::STRIDE * size_of::<u64>());
        will_write(self.at(place.wrapping_add(ahead as u64)).0);
    }

    /// Whether a place's slot holds its item, or is used for a later one.
    #[inline]
    pub(super) fn is_beyond(&self, place: u64) -> bool {
        // ORDERING: relaxed: whoever goes on because of it looks at the same number again.
        distance(self.at(place).0.load(Ordering::Relaxed), holds(place)) >= 0
    }
}

impl<T: NoUninit> Cells<T> {
    /// Overwrites a place's slot with its item. One thread at a time, place after place.
    #[inline]
    pub(super) fn write(&self, place: u64, item: &T) {
        let (number, words) = self.at(place);
        number.store(holds(place).wrapping_sub(1), Ordering::Relaxed);
        // ORDERING: pairs with the acquire fence in `look`: a receiver that reads one of the words
        // that follow then sees that the slot is being overwritten, or a later number.
        fence(Ordering::Release);
        words::store(words, item);
        // ORDERING: pairs with the acquire in `look`: whoever sees the number sees the words.
        number.store(holds(place), Ordering::Release);
    }

    /// Copies the item of a place, if its slot holds it all the while.
    #[inline]
    pub(super) fn look(&self, place: u64) -> Look<T> {
        let (number, words) = self.at(place);
        // ORDERING: pairs with the release in `write`: the words are those of this item, or later.
        let before = number.load(Ordering::Acquire);
        match distance(before, holds(place)) {
            0 => {}
            ..0 => return Look::Nothing,
            ahead => return overrun(ahead),
        }
        let item = words::load::<T>(words);
        // ORDERING: pairs with the release fence in `write`: if a word is of a later item, the
        // number is seen to have changed.
        fence(Ordering::Acquire);
        let after = number.load(Ordering::Relaxed);
        if after != before {
            return overrun(distance(after, holds(place)));
        }
        // SAFETY: the slot held this item before, and was not about to be overwritten when the last
        // word was read: all words are from its one `store`.
        Look::Item(unsafe { item.assume_init() })
    }
}

/// The number of a slot that holds the item of a place; one less while it is written.
#[inline]
fn holds(place: u64) -> u64 {
    place.wrapping_mul(2).wrapping_add(1)
}

/// How far one number is ahead of another. Numbers wrap; they never are half the way around apart.
#[inline]
fn distance(number: u64, other: u64) -> i64 {
    number.wrapping_sub(other) as i64
}

/// What a slot whose number is so far ahead means. Two numbers make a place, the odd one its last.
#[cold]
fn overrun<T>(distance: i64) -> Look<T> {
    let ahead = (distance as u64).div_ceil(2);
    Look::Overrun { ahead }
}
