//! Several records lent together, under one pin.

use std::fmt;

use crate::log::position::Position;
use crate::log::read::reader::Reader;
use crate::log::read::record::Record;

/// Records that a [`Reader`] lends together. All of them were there when it was made; they lie in
/// one segment, and cost one pin.
pub struct Batch<'a> {
    reader: &'a mut Reader,
}

impl<'a> Batch<'a> {
    pub(super) fn new(reader: &'a mut Reader) -> Self {
        Self { reader }
    }

    /// How many records; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reader.batch.len()
    }

    /// Whether there is no record; never so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reader.batch.is_empty()
    }

    /// The record at an index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        let taken = self.reader.batch.get(index)?.clone();
        Some(Record::of_batch(self.reader, taken))
    }

    /// The records, in the log's order.
    #[must_use]
    pub fn iter(&self) -> BatchIter<'_> {
        BatchIter {
            reader: self.reader,
            next: 0,
        }
    }

    /// The position behind the batch: the next record's.
    #[must_use]
    pub fn end(&self) -> Position {
        self.reader.position()
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.reader.cursor.pause();
    }
}

impl<'b> IntoIterator for &'b Batch<'_> {
    type Item = Record<'b>;
    type IntoIter = BatchIter<'b>;

    fn into_iter(self) -> BatchIter<'b> {
        self.iter()
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Iterates over the records of a [`Batch`].
#[derive(Debug, Clone)]
pub struct BatchIter<'b> {
    reader: &'b Reader,
    next: usize,
}

impl<'b> Iterator for BatchIter<'b> {
    type Item = Record<'b>;

    #[inline]
    fn next(&mut self) -> Option<Record<'b>> {
        let taken = self.reader.batch.get(self.next)?.clone();
        self.next += 1;
        Some(Record::of_batch(self.reader, taken))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.reader.batch.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for BatchIter<'_> {}
