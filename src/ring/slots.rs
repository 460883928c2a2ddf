//! The memory of a ring: a power of two of slots, which are reached by the number of a place.

use crate::error::{Error, ErrorKind, Result};

const LINE_BYTES: usize = 64;

/// Slots, each of which a place's number names modulo their count.
#[derive(Debug)]
pub(crate) struct Slots<S> {
    slots: Box<[S]>,
}

impl<S> Slots<S> {
    /// `capacity` slots, a power of two; `make` gets each one's index.
    pub(crate) fn new(capacity: usize, make: impl FnMut(usize) -> S) -> Result<Self> {
        debug_assert!(capacity.is_power_of_two());
        let slots = allocate(capacity, make)?;
        Ok(Self { slots })
    }

    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    #[inline]
    pub(crate) fn index(&self, place: u64) -> usize {
        (place & (self.slots.len() as u64 - 1)) as usize
    }

    /// The slot of a place.
    #[inline]
    pub(crate) fn at(&self, place: u64) -> &S {
        let index = self.index(place);
        // SAFETY: the mask keeps the index below the length, which is a power of two, not zero.
        unsafe { self.slots.get_unchecked(index) }
    }

    /// The slots of `count` places from `first` on, in two runs; `count` is at most the capacity.
    #[inline]
    pub(crate) fn runs(&self, first: u64, count: usize) -> (&[S], &[S]) {
        let start = self.index(first);
        let to_end = count.min(self.slots.len() - start);
        (
            &self.slots[start..start + to_end],
            &self.slots[..count - to_end],
        )
    }

    /// How many places it pays to look ahead for one that goes along them: some lines.
    #[inline]
    pub(crate) fn ahead(&self) -> u64 {
        const LINES: usize = 8;
        let ahead = if cfg!(ringbolt_loom) {
            2
        } else {
            LINES * LINE_BYTES / size_of::<S>().max(1)
        };
        (ahead.max(1) as u64).min(self.capacity())
    }

    /// Says that the places from this one on will be written: asks the processor for a line some
    /// way ahead, once for each line.
    #[inline]
    pub(crate) fn will_write(&self, place: u64) {
        const AHEAD_BYTES: usize = 256;
        let size = size_of::<S>().max(1);
        let in_a_line = LINE_BYTES / size;
        if in_a_line.is_power_of_two() && place & (in_a_line as u64 - 1) != 0 {
            return;
        }
        will_write(self.at(place.wrapping_add((AHEAD_BYTES / size) as u64)));
    }
}

/// Memory for `count` of something; `make` gets each one's index.
pub(crate) fn allocate<S>(count: usize, make: impl FnMut(usize) -> S) -> Result<Box<[S]>> {
    let mut slots = Vec::new();
    slots.try_reserve_exact(count).map_err(|_| {
        let bytes = count as u128 * size_of::<S>() as u128;
        Error::new(
            ErrorKind::OverBudget,
            format!("there is no memory for a ring of {bytes} bytes"),
        )
    })?;
    slots.extend((0..count).map(make));
    Ok(slots.into_boxed_slice())
}

/// Asks the processor for a line that will be written soon: the store itself would wait for the
/// other side's copy of it.
#[inline]
pub(crate) fn will_write<S>(slot: &S) {
    #[cfg(all(target_arch = "x86_64", not(ringbolt_loom)))]
    {
        // SAFETY: a prefetch is a hint: it touches neither memory nor flags, whatever the address.
        // (The intrinsic would fetch the line for reading only, unless the whole crate is built for
        // processors that are known to have this instruction; the others ignore it.)
        unsafe {
            core::arch::asm!(
                "prefetchw [{slot}]",
                slot = in(reg) slot,
                options(nostack, preserves_flags, readonly)
            );
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(ringbolt_loom))))]
    let _ = slot;
}

/// Drops all items of an iterator, also those behind one whose drop panics.
pub(crate) fn drop_all<I: Iterator>(items: I) {
    struct Rest<R: Iterator>(R);
    impl<R: Iterator> Drop for Rest<R> {
        fn drop(&mut self) {
            self.0.by_ref().for_each(drop);
        }
    }
    if std::mem::needs_drop::<I::Item>() {
        Rest(items).0.by_ref().for_each(drop);
    }
}

/// Counts apart, and adds the count to a total when it goes, also if that is because of a panic: many
/// that are counted so are one copy.
pub(crate) struct CountOnDrop<'a> {
    pub(crate) count: usize,
    total: &'a mut usize,
}

impl<'a> CountOnDrop<'a> {
    #[inline]
    pub(crate) fn new(total: &'a mut usize) -> Self {
        Self { count: 0, total }
    }
}

impl Drop for CountOnDrop<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.total += self.count;
    }
}
