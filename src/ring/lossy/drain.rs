//! Receiving many.

use super::{NoUninit, Receiver};

/// Items that are there, as an iterator. See [`Receiver::try_drain`].
pub struct Drain<'a, T> {
    receiver: &'a mut Receiver<T>,
    /// The first item, which was found by the call.
    first: Option<T>,
    left: usize,
}

impl<'a, T> Drain<'a, T> {
    #[inline]
    pub(super) fn new(receiver: &'a mut Receiver<T>, first: T, left: usize) -> Self {
        Self {
            receiver,
            first: Some(first),
            left,
        }
    }
}

impl<T: NoUninit + Send> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let item = self.first.take().or_else(|| self.receiver.peek_item());
        match item {
            Some(_) => self.receiver.pass(),
            // Nothing more, or overrun: the next call tells.
            None => self.left = 0,
        }
        item
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let known = usize::from(self.first.is_some()).min(self.left);
        (known, Some(self.left))
    }
}

impl<T: NoUninit + Send> std::iter::FusedIterator for Drain<'_, T> {}
