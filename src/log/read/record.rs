//! One record: lent by a reader, or shared beyond it.

use std::fmt;
use std::ops::Deref;
use std::time::SystemTime;

use bytes::Bytes;

use crate::log::position::Position;
use crate::log::read::cursor::Taken;
use crate::log::read::reader::Reader;
use crate::time::time_of;

/// A record that a [`Reader`] lends: its bytes where they lie, in memory or in the file's mapping.
///
/// While it lives, the memory that it lies in stays. To keep a record for longer,
/// [share](Record::share) it.
pub struct Record<'a> {
    lender: Lender<'a>,
    taken: Taken,
}

enum Lender<'a> {
    /// The record alone is lent: with it goes the pin.
    Reader(&'a mut Reader),
    /// One of a batch, which has the pin.
    Batch(&'a Reader),
}

impl<'a> Record<'a> {
    #[inline]
    pub(super) fn alone(reader: &'a mut Reader, taken: Taken) -> Self {
        Self {
            lender: Lender::Reader(reader),
            taken,
        }
    }

    #[inline]
    pub(super) fn of_batch(reader: &'a Reader, taken: Taken) -> Self {
        Self {
            lender: Lender::Batch(reader),
            taken,
        }
    }

    #[inline]
    fn reader(&self) -> &Reader {
        match &self.lender {
            Lender::Reader(reader) => reader,
            Lender::Batch(reader) => reader,
        }
    }

    /// The record's bytes.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.reader().cursor.payload(&self.taken)
    }

    /// Where the record lies.
    #[inline]
    #[must_use]
    pub fn position(&self) -> Position {
        self.taken.position
    }

    /// The time that the record was given, if any.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.taken.time_unix_ns.map(time_of)
    }

    /// The record to keep: it outlives the reader, and may be cloned and sent.
    ///
    /// A small record is copied. A larger one keeps the memory in which it lies, within the
    /// reader's [budget](crate::ReadOptions::shared_bytes); beyond that it is copied, too. One that
    /// lies in a segment's mapping takes nothing of the budget, but keeps the segment's file open.
    #[must_use]
    pub fn share(&self) -> SharedRecord {
        let reader = self.reader();
        SharedRecord {
            bytes: reader.cursor.share(&self.taken, &reader.sharing),
            position: self.taken.position,
            time_unix_ns: self.taken.time_unix_ns,
        }
    }
}

impl Drop for Record<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Lender::Reader(reader) = &mut self.lender {
            reader.cursor.pause();
        }
    }
}

impl Deref for Record<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.payload()
    }
}

impl AsRef<[u8]> for Record<'_> {
    fn as_ref(&self) -> &[u8] {
        self.payload()
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("position", &self.taken.position)
            .field("len", &self.payload().len())
            .finish()
    }
}

/// A record to keep: shared with the log's memory, or a copy. Cheap to clone.
#[derive(Clone)]
pub struct SharedRecord {
    bytes: Bytes,
    position: Position,
    time_unix_ns: Option<u64>,
}

impl SharedRecord {
    pub(crate) fn new(bytes: Bytes, position: Position, time_unix_ns: Option<u64>) -> Self {
        Self {
            bytes,
            position,
            time_unix_ns,
        }
    }

    /// The record's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the record lies.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The time that the record was given, if any.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.time_unix_ns.map(time_of)
    }

    /// The bytes as [`Bytes`], without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for SharedRecord {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for SharedRecord {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SharedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRecord")
            .field("position", &self.position)
            .field("len", &self.bytes.len())
            .finish()
    }
}
