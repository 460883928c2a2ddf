//! Records of a stream: as they are appended, and as they are read.

use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::log::{Position, SharedRecord};
use crate::store::entry::{Entry, KEY_BYTES_MAX, Kind, MESSAGE_BYTES_MAX, Stamp};
use crate::store::id::StreamId;
use crate::time::{time_of, unix_ns};

/// A record to be appended to a stream, and on what conditions.
///
/// ```
/// use ringbolt::store::NewRecord;
///
/// let record = NewRecord::new(b"shipped").key(b"order 17").if_next(3);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    payload: &'a [u8],
    count: u32,
    time: Option<SystemTime>,
    key: Option<&'a [u8]>,
    headers: Option<&'a Headers>,
    producer: Option<Producer>,
    message_id: Option<&'a [u8]>,
    if_next: Option<u64>,
    fence: Option<u64>,
}

/// Who appends, and which of its own records it is: what is sent twice is stored once.
///
/// As in Kafka's protocol: of the producers of a stream the highest epoch counts, a new epoch begins
/// with sequence number 0, and numbers go on after 2^31 - 1 at 0. A record that [takes n
/// offsets](NewRecord::count) takes n sequence numbers. The last five records of each producer are
/// remembered, so that many may be on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// The producer, as it calls itself.
    pub id: u64,
    /// Rises when the producer begins anew; one of a lower epoch is fenced off.
    pub epoch: u32,
    /// The number of the record among the producer's own in this stream, below 2^31.
    pub sequence: u32,
}

impl<'a> NewRecord<'a> {
    /// A record with this payload, on no condition.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self {
            payload,
            count: 1,
            time: None,
            key: None,
            headers: None,
            producer: None,
            message_id: None,
            if_next: None,
            fence: None,
        }
    }

    /// How many offsets it takes: one payload may stand for many records, compressed, say. At least 1.
    #[must_use]
    pub fn count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// The time that it has, which may be any. Reading from a time goes by the latest so far.
    #[must_use]
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Its key, of up to 65,535 bytes.
    #[must_use]
    pub fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// Its headers.
    #[must_use]
    pub fn headers(mut self, headers: &'a Headers) -> Self {
        self.headers = Some(headers);
        self
    }

    /// Which of a producer's records it is. One that was appended already is a
    /// [duplicate](crate::store::Appended::duplicate), one whose predecessors are missing is
    /// [out of order](ErrorKind::OutOfOrder).
    #[must_use]
    pub fn producer(mut self, producer: Producer) -> Self {
        self.producer = Some(producer);
        self
    }

    /// An id of 1 to 64 bytes. While the stream remembers a record with the same id, it is a
    /// [duplicate](crate::store::Appended::duplicate).
    #[must_use]
    pub fn message_id(mut self, id: &'a [u8]) -> Self {
        self.message_id = Some(id);
        self
    }

    /// Only if the stream's next offset is this one; else [`ErrorKind::Conflict`].
    #[must_use]
    pub fn if_next(mut self, offset: u64) -> Self {
        self.if_next = Some(offset);
        self
    }

    /// Only if the stream has no higher fencing token; else [`ErrorKind::Fenced`].
    #[must_use]
    pub fn fence(mut self, token: u64) -> Self {
        self.fence = Some(token);
        self
    }

    /// The entry that it is.
    pub(crate) fn entry(&self, stream: StreamId) -> Result<Entry<'a>> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        if self.count == 0 {
            return invalid("a record that takes no offset".into());
        }
        if let Some(key) = self.key.filter(|key| key.len() > KEY_BYTES_MAX) {
            return invalid(format!("a key of {} bytes", key.len()));
        }
        if let Some(id) = self
            .message_id
            .filter(|id| !(1..=MESSAGE_BYTES_MAX).contains(&id.len()))
        {
            return invalid(format!("a message id of {} bytes", id.len()));
        }
        if let Some(producer) = self
            .producer
            .filter(|producer| producer.sequence >> 31 != 0)
        {
            return invalid(format!("the sequence number {}", producer.sequence));
        }
        Ok(Entry {
            count: self.count,
            time_unix_ns: self.time.map(unix_ns),
            key: self.key,
            headers: self.headers.map(|headers| &*headers.bytes),
            producer: self.producer.map(|producer| Stamp {
                id: producer.id,
                epoch: producer.epoch,
                sequence: producer.sequence,
            }),
            message: self.message_id,
            if_next: self.if_next,
            if_fence: self.fence,
            ..Entry::new(Kind::Append, stream, self.payload)
        })
    }
}

impl<'a> From<&'a [u8]> for NewRecord<'a> {
    fn from(payload: &'a [u8]) -> Self {
        Self::new(payload)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for NewRecord<'a> {
    fn from(payload: &'a [u8; N]) -> Self {
        Self::new(payload)
    }
}

/// Headers of a record: names and values, in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// For each: length of the name (u16), of the value (u32), and both.
    bytes: Vec<u8>,
}

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one. Names may repeat.
    ///
    /// # Panics
    ///
    /// If the name has more than 65,535 bytes, or the value 4 GiB or more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        let name_bytes = u16::try_from(name.len()).expect("a header's name of up to 65,535 bytes");
        let value_bytes = u32::try_from(value.len()).expect("a header's value below 4 GiB");
        self.bytes.extend(name_bytes.to_le_bytes());
        self.bytes.extend(value_bytes.to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(value);
        self
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        headers(&self.bytes)
    }
}

fn headers(mut bytes: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let (&[n0, n1, v0, v1, v2, v3], rest) = bytes.split_first_chunk::<6>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes([n0, n1]).into())?;
        let value_bytes = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
        let (value, rest) = rest.split_at_checked(value_bytes)?;
        bytes = rest;
        Some((std::str::from_utf8(name).ok()?, value))
    })
}

/// A record of a stream, to keep: shared with the log's memory, or a copy.
#[derive(Clone)]
pub struct StreamRecord {
    record: SharedRecord,
    offset: u64,
}

impl StreamRecord {
    /// A record of the log that is known to be a stream's; `None` where it is none.
    pub(crate) fn new(record: SharedRecord, offset: u64) -> Option<Self> {
        let record = Self { record, offset };
        record.entry()?;
        Some(record)
    }

    fn entry(&self) -> Option<Entry<'_>> {
        let entry = Entry::parse(self.record.payload())?;
        match entry.kind {
            Kind::Append => Some(entry),
            Kind::Moved => Entry::parse(entry.payload).filter(|inner| inner.kind == Kind::Append),
            _ => None,
        }
    }

    fn parts(&self) -> Entry<'_> {
        self.entry().expect("it was one when it was made")
    }

    /// Its offset; the first one of those that it takes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many offsets it takes.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.parts().count
    }

    /// Its bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.parts().payload
    }

    /// The time that it was given, if any.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.parts().time_unix_ns.map(time_of)
    }

    /// Its key, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.parts().key
    }

    /// Its headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        headers(self.parts().headers.unwrap_or_default())
    }

    /// Where it lies in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        self.record.position()
    }
}

impl std::ops::Deref for StreamRecord {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.payload()
    }
}

impl std::fmt::Debug for StreamRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamRecord")
            .field("offset", &self.offset)
            .field("position", &self.position())
            .field("len", &self.payload().len())
            .finish()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_written() {
        let headers = Headers::new()
            .with("a", b"1")
            .with("", [])
            .with("a", "zwei");
        let read: Vec<_> = headers.iter().collect();
        assert_eq!(
            read,
            [("a", &b"1"[..]), ("", &b""[..]), ("a", &b"zwei"[..])]
        );
    }

    #[test]
    fn what_cannot_be_a_record_is_refused() {
        let long = vec![0; 65_536];
        let id = [0; 65];
        let sequence = Producer {
            id: 1,
            epoch: 1,
            sequence: 1 << 31,
        };
        let record = NewRecord::new(b"");
        for record in [
            record.count(0),
            record.key(&long),
            record.message_id(&id),
            record.message_id(b""),
            record.producer(sequence),
        ] {
            let error = record.entry(StreamId::NONE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}
