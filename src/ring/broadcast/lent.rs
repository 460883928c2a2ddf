//! Items that a receiver lends: one, or a batch.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Deref;
use std::slice;

use super::receiver::Receiver;
use super::shared::{Cell, item};

/// An item, in its place in the ring. The place is given back when this is dropped. If it is
/// forgotten (`mem::forget`), the place is given back by the receiver's next call that gives one
/// back, or with the receiver.
pub struct Ref<'a, T> {
    receiver: &'a mut Receiver<T>,
    place: u64,
}

impl<'a, T> Ref<'a, T> {
    /// The receiver must have taken the place last.
    #[inline]
    pub(super) fn new(receiver: &'a mut Receiver<T>, place: u64) -> Self {
        Self { receiver, place }
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: (1) the receiver took the place, which was open and no hole; (2) it gives it back
        // when this is dropped, which the reference does not outlive.
        unsafe { self.receiver.shared.item(self.place) }
    }
}

impl<T> Drop for Ref<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.give_back();
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

/// Items in their places in the ring, to be iterated over by reference, as often as one likes. The
/// places are given back when this is dropped, whether they were looked at or not. If it is
/// forgotten (`mem::forget`), they are given back by the receiver's next call that gives one back,
/// or with the receiver.
pub struct Drain<'a, T> {
    receiver: &'a mut Receiver<T>,
    first: u64,
    count: usize,
}

impl<'a, T> Drain<'a, T> {
    /// The receiver must have taken the places last.
    #[inline]
    pub(super) fn new(receiver: &'a mut Receiver<T>, first: u64, count: usize) -> Self {
        Self {
            receiver,
            first,
            count,
        }
    }

    /// The items, in the order in which they were sent.
    #[inline]
    pub fn iter(&self) -> Iter<'_, T> {
        // The receiver took the places, which were open, and gives them back when this is dropped, which
        // the iterator does not outlive.
        let (run, wrapped) = self.receiver.shared.runs(self.first, self.count);
        Iter {
            run: run.iter(),
            wrapped: wrapped.iter(),
        }
    }

    /// The items as they lie in memory: those up to the end of the ring, and those that wrapped
    /// around.
    #[cfg(not(ringbolt_loom))]
    #[must_use]
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let (run, wrapped) = self.receiver.shared.runs(self.first, self.count);
        let items = |run: &[Cell<T>]| {
            // SAFETY: the receiver took the places, which hold items, and gives them back when this is
            // dropped; nobody writes to them before. A cell has the layout of its contents, and these that
            // of an item.
            unsafe { slice::from_raw_parts(run.as_ptr().cast::<T>(), run.len()) }
        };
        (items(run), items(wrapped))
    }

    /// How many there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none: only for a `max` of 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'d, T> IntoIterator for &'d Drain<'_, T> {
    type Item = &'d T;
    type IntoIter = Iter<'d, T>;

    #[inline]
    fn into_iter(self) -> Iter<'d, T> {
        self.iter()
    }
}

impl<T> Drop for Drain<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.give_back();
    }
}

impl<T: fmt::Debug> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// The items of a [`Drain`].
pub struct Iter<'d, T> {
    /// Slots whose items are open to the receiver, and stay so for `'d`: those up to the end of the
    /// ring's memory, and those behind.
    run: slice::Iter<'d, Cell<T>>,
    wrapped: slice::Iter<'d, Cell<T>>,
}

impl<'d, T> Iterator for Iter<'d, T> {
    type Item = &'d T;

    #[inline]
    fn next(&mut self) -> Option<&'d T> {
        let slot = match self.run.next() {
            Some(slot) => slot,
            None => {
                self.run = std::mem::take(&mut self.wrapped);
                self.run.next()?
            }
        };
        // SAFETY: (1) and (2) by construction.
        Some(unsafe { item(slot) })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.run.len() + self.wrapped.len();
        (left, Some(left))
    }

    #[inline]
    fn fold<A, F: FnMut(A, &'d T) -> A>(self, init: A, mut f: F) -> A {
        // SAFETY: (1) and (2) by construction.
        let mut f = |folded, slot| f(folded, unsafe { item(slot) });
        let folded = self.run.fold(init, &mut f);
        self.wrapped.fold(folded, f)
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self {
            run: self.run.clone(),
            wrapped: self.wrapped.clone(),
        }
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Iter")
            .field("left", &self.len())
            .finish_non_exhaustive()
    }
}
