//! Entries: what a store writes into its log, one in each record. Byte-exact tables in
//! `docs/format.md`.
//!
//! ```text
//!  0    1      2       4        8                16
//! ┌────┬──────┬───────┬────────┬────────────────┬────────────────┬─────────┐
//! │kind│ zero │ flags │ count  │ stream         │ fields …       │ payload │
//! └────┴──────┴───────┴────────┴────────────────┴────────────────┴─────────┘
//!  flags: which fields there are, in the order of their bits
//!  count: how many offsets a record takes; 1 for what is no record
//! ```
//!
//! A record alone is an entry that stands for itself. The records of one of the log's batches are
//! entries that are judged together, and applied together or not at all.
//!
//! The module parses once: what [`Entry::parse`] returns has the fields that its kind needs, and
//! no others.

use crate::store::id::StreamId;

/// Bytes before an entry's fields.
pub(crate) const HEAD_BYTES: usize = 16;

/// What an entry does. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A record of a stream.
    Append = 1,
    /// Makes a stream: its name is the key, its configuration the payload.
    Create = 2,
    /// Removes a stream.
    Delete = 3,
    /// Replaces a stream's configuration.
    Configure = 4,
    /// Moves a stream's first offset forward, beyond its end too.
    Trim = 5,
    /// Cuts a stream off, from an offset on.
    Truncate = 6,
    /// Removes a single record of a stream.
    Erase = 7,
    /// Raises a stream's fencing token.
    Fence = 8,
    /// Sets a group's cursor in a stream: the group is the key, the metadata the payload.
    Seek = 9,
    /// Adds acknowledged ranges to a cursor: pairs of offsets in the payload.
    Acknowledge = 10,
    /// Removes a cursor.
    Forget = 11,
    /// Sets a key of the table.
    Put = 12,
    /// Removes a key of the table.
    Remove = 13,
    /// Does nothing but carry conditions.
    Require = 14,
    /// A record of a stream that was written again further on; its entry is the payload.
    Moved = 15,
    /// Nothing that is wanted lies in a segment any more, whose ordinal is the offset.
    Release = 16,
    /// Tells the time.
    Tick = 17,
    /// Removes records of a stream that have newer ones of the same key: between pairs of offsets, and how
    /// many bytes they have. Up to the entry's offset, that is all of them.
    Compact = 18,
}

// The bits of `flags`.
const TIME: u16 = 1 << 0;
const KEY: u16 = 1 << 1;
const HEADERS: u16 = 1 << 2;
const PRODUCER: u16 = 1 << 3;
const MESSAGE: u16 = 1 << 4;
const IF_NEXT: u16 = 1 << 5;
const IF_FENCE: u16 = 1 << 6;
const IF_VERSION: u16 = 1 << 7;
const REFER: u16 = 1 << 8;
const OFFSET: u16 = 1 << 9;
const INCARNATION: u16 = 1 << 10;
const POSITION: u16 = 1 << 11;
const HOLD: u16 = 1 << 12;

const CONDITIONS: u16 = IF_NEXT | IF_FENCE;

/// A producer's mark on a batch of records: which of its own it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) id: u64,
    pub(crate) epoch: u32,
    /// The number of the first record; below 2^31, where it wraps to 0.
    pub(crate) sequence: u32,
}

/// A place in a table's value that becomes the offset of another item of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refer {
    /// The item, counted from 0.
    pub(crate) item: u32,
    /// Where in the value, in bytes: eight of them, little-endian.
    pub(crate) at: u32,
}

/// An entry. Offsets are a stream's; `None` stands for a field that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    pub(crate) stream: StreamId,
    /// How many offsets the record takes.
    pub(crate) count: u32,
    pub(crate) time_unix_ns: Option<u64>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) headers: Option<&'a [u8]>,
    pub(crate) producer: Option<Stamp>,
    pub(crate) message: Option<&'a [u8]>,
    pub(crate) if_next: Option<u64>,
    pub(crate) if_fence: Option<u64>,
    pub(crate) if_version: Option<u64>,
    pub(crate) refer: Option<Refer>,
    pub(crate) offset: Option<u64>,
    /// The incarnation that the stream must have.
    pub(crate) incarnation: Option<u64>,
    /// Where a moved record lay.
    pub(crate) position: Option<u64>,
    /// Of a cursor: whether retention waits for it.
    pub(crate) hold: bool,
    pub(crate) payload: &'a [u8],
}

/// The longest key, in bytes: a name, a group, a record's or the table's key.
pub(crate) const KEY_BYTES_MAX: usize = u16::MAX as usize;
/// The longest message id, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64;

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Append,
            2 => Self::Create,
            3 => Self::Delete,
            4 => Self::Configure,
            5 => Self::Trim,
            6 => Self::Truncate,
            7 => Self::Erase,
            8 => Self::Fence,
            9 => Self::Seek,
            10 => Self::Acknowledge,
            11 => Self::Forget,
            12 => Self::Put,
            13 => Self::Remove,
            14 => Self::Require,
            15 => Self::Moved,
            16 => Self::Release,
            17 => Self::Tick,
            18 => Self::Compact,
            _ => return None,
        })
    }

    /// Whether it takes away what others of the same batch may rest on.
    pub(crate) const fn cuts(self) -> bool {
        matches!(self, Self::Delete | Self::Trim | Self::Truncate)
    }

    /// Whether the store writes it by itself: nobody asks what became of it.
    pub(crate) const fn is_own(self) -> bool {
        matches!(
            self,
            Self::Moved | Self::Release | Self::Tick | Self::Compact
        )
    }

    /// Of how many bytes the payload is a list.
    const fn unit(self) -> usize {
        match self {
            Self::Acknowledge => 16,
            Self::Compact => 24,
            _ => 1,
        }
    }

    /// The fields that an entry of this kind must have, and those that it may have besides.
    const fn fields(self) -> (u16, u16) {
        match self {
            Self::Append => (0, TIME | KEY | HEADERS | PRODUCER | MESSAGE | CONDITIONS),
            Self::Create => (KEY, OFFSET),
            Self::Delete | Self::Configure => (0, CONDITIONS),
            Self::Trim | Self::Fence => (OFFSET, CONDITIONS),
            Self::Truncate | Self::Erase => (OFFSET | INCARNATION, CONDITIONS),
            Self::Seek => (KEY | OFFSET, HOLD | CONDITIONS),
            Self::Acknowledge | Self::Forget => (KEY, 0),
            Self::Put => (KEY, IF_VERSION | REFER),
            Self::Remove => (KEY, IF_VERSION),
            Self::Require => (0, KEY | IF_VERSION | CONDITIONS),
            Self::Moved => (OFFSET | POSITION, 0),
            Self::Release => (OFFSET, 0),
            Self::Tick => (TIME, 0),
            Self::Compact => (OFFSET | INCARNATION, 0),
        }
    }
}

impl<'a> Entry<'a> {
    /// An entry without fields.
    pub(crate) fn new(kind: Kind, stream: StreamId, payload: &'a [u8]) -> Self {
        Self {
            kind,
            stream,
            count: 1,
            time_unix_ns: None,
            key: None,
            headers: None,
            producer: None,
            message: None,
            if_next: None,
            if_fence: None,
            if_version: None,
            refer: None,
            offset: None,
            incarnation: None,
            position: None,
            hold: false,
            payload,
        }
    }

    /// Whether it is a record without fields.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.kind == Kind::Append && self.flags() == 0
    }

    /// Bytes that the entry takes.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        let flags = self.flags();
        let mut bytes = HEAD_BYTES + self.payload.len();
        if flags == 0 {
            return bytes;
        }
        let has = |bit: u16, bytes: usize| if flags & bit != 0 { bytes } else { 0 };
        bytes += has(TIME, 8);
        bytes += self.key.map_or(0, |key| 2 + key.len());
        bytes += self.headers.map_or(0, |headers| 4 + headers.len());
        bytes += has(PRODUCER, 16);
        bytes += self.message.map_or(0, |message| 1 + message.len());
        bytes += has(IF_NEXT, 8) + has(IF_FENCE, 8) + has(IF_VERSION, 8);
        bytes + has(REFER, 8) + has(OFFSET, 8) + has(INCARNATION, 8) + has(POSITION, 8)
    }

    #[inline]
    fn flags(&self) -> u16 {
        let has = |there: bool, bit: u16| if there { bit } else { 0 };
        has(self.time_unix_ns.is_some(), TIME)
            | has(self.key.is_some(), KEY)
            | has(self.headers.is_some(), HEADERS)
            | has(self.producer.is_some(), PRODUCER)
            | has(self.message.is_some(), MESSAGE)
            | has(self.if_next.is_some(), IF_NEXT)
            | has(self.if_fence.is_some(), IF_FENCE)
            | has(self.if_version.is_some(), IF_VERSION)
            | has(self.refer.is_some(), REFER)
            | has(self.offset.is_some(), OFFSET)
            | has(self.incarnation.is_some(), INCARNATION)
            | has(self.position.is_some(), POSITION)
            | has(self.hold, HOLD)
    }

    /// Writes the entry into `bytes`, which has exactly the length of [`Entry::bytes`].
    ///
    /// # Panics
    ///
    /// When the length is another one: a bug of the caller's.
    #[inline]
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let flags = self.flags();
        bytes[0] = self.kind as u8;
        bytes[1] = 0;
        bytes[2..4].copy_from_slice(&flags.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.stream.to_u64().to_le_bytes());
        let rest = if flags == 0 {
            &mut bytes[HEAD_BYTES..]
        } else {
            let mut out = Out(&mut bytes[HEAD_BYTES..]);
            self.write_fields(&mut out);
            out.0
        };
        rest.copy_from_slice(self.payload);
    }

    fn write_fields(&self, out: &mut Out<'_>) {
        if let Some(time) = self.time_unix_ns {
            out.put(&time.to_le_bytes());
        }
        if let Some(key) = self.key {
            out.put(&(key.len() as u16).to_le_bytes());
            out.put(key);
        }
        if let Some(headers) = self.headers {
            out.put(&(headers.len() as u32).to_le_bytes());
            out.put(headers);
        }
        if let Some(stamp) = self.producer {
            out.put(&stamp.id.to_le_bytes());
            out.put(&stamp.epoch.to_le_bytes());
            out.put(&stamp.sequence.to_le_bytes());
        }
        if let Some(message) = self.message {
            out.put(&[message.len() as u8]);
            out.put(message);
        }
        for number in [self.if_next, self.if_fence, self.if_version]
            .into_iter()
            .flatten()
        {
            out.put(&number.to_le_bytes());
        }
        if let Some(refer) = self.refer {
            out.put(&refer.item.to_le_bytes());
            out.put(&refer.at.to_le_bytes());
        }
        for number in [self.offset, self.incarnation, self.position]
            .into_iter()
            .flatten()
        {
            out.put(&number.to_le_bytes());
        }
    }

    /// Stream, count and payload of a record that has no fields, as most have; `None` for any other
    /// entry.
    #[inline]
    pub(crate) fn parse_plain(bytes: &[u8]) -> Option<(StreamId, u32, &[u8])> {
        let (head, payload) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [kind, zero, f0, f1, c0, c1, c2, c3, stream @ ..] = *head;
        let count = u32::from_le_bytes([c0, c1, c2, c3]);
        if [kind, zero, f0, f1] != [Kind::Append as u8, 0, 0, 0] || count == 0 {
            return None;
        }
        let stream = StreamId::from_u64(u64::from_le_bytes(stream));
        Some((stream, count, payload))
    }

    /// Reads an entry; `None` for bytes that are none.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = In(bytes);
        let [kind, zero] = rest.take()?;
        let (kind, flags) = (Kind::of(kind)?, u16::from_le_bytes(rest.take()?));
        let (needed, allowed) = kind.fields();
        if zero != 0 || flags & needed != needed || flags & !(needed | allowed) != 0 {
            return None;
        }
        let has = |bit: u16| flags & bit != 0;
        let count = rest.word()?;
        let stream = StreamId::from_u64(rest.long()?);
        let mut entry = Self::new(kind, stream, &[]);
        entry.count = count;
        entry.hold = has(HOLD);
        entry.time_unix_ns = rest.long_if(has(TIME))?;
        if has(KEY) {
            let len = u16::from_le_bytes(rest.take()?);
            entry.key = Some(rest.bytes(len.into())?);
        }
        if has(HEADERS) {
            let len = rest.word()?;
            entry.headers = Some(rest.bytes(len as usize)?);
        }
        if has(PRODUCER) {
            entry.producer = Some(Stamp {
                id: rest.long()?,
                epoch: rest.word()?,
                sequence: rest.word()?,
            });
        }
        if has(MESSAGE) {
            let [len] = rest.take()?;
            entry.message = Some(rest.bytes(len.into())?);
        }
        entry.if_next = rest.long_if(has(IF_NEXT))?;
        entry.if_fence = rest.long_if(has(IF_FENCE))?;
        entry.if_version = rest.long_if(has(IF_VERSION))?;
        if has(REFER) {
            entry.refer = Some(Refer {
                item: rest.word()?,
                at: rest.word()?,
            });
        }
        entry.offset = rest.long_if(has(OFFSET))?;
        entry.incarnation = rest.long_if(has(INCARNATION))?;
        entry.position = rest.long_if(has(POSITION))?;
        entry.payload = rest.0;
        entry.is_sound().then_some(entry)
    }

    /// What the fields alone do not say.
    fn is_sound(&self) -> bool {
        let refers = |refer: Refer| refer.at as usize + 8 <= self.payload.len();
        let message = |id: &[u8]| (1..=MESSAGE_BYTES_MAX).contains(&id.len());
        self.count > 0
            && (self.count == 1 || self.kind == Kind::Append)
            && self.refer.is_none_or(refers)
            && self.message.is_none_or(message)
            && self.producer.is_none_or(|stamp| stamp.sequence >> 31 == 0)
            && self.payload.len() % self.kind.unit() == 0
    }
}

/// Bytes to be written, what is left of them.
struct Out<'a>(&'a mut [u8]);

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (place, rest) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        self.0 = rest;
    }
}

/// Bytes to be read, what is left of them.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A number where there is one; `None` where the bytes end.
    fn long_if(&mut self, there: bool) -> Option<Option<u64>> {
        if there {
            self.long().map(Some)
        } else {
            Some(None)
        }
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(entry: &Entry<'_>) -> Vec<u8> {
        let mut bytes = vec![0xAA; entry.bytes()];
        entry.write(&mut bytes);
        bytes
    }

    /// Every field that a kind may have.
    fn full(kind: Kind) -> Entry<'static> {
        let (needed, allowed) = kind.fields();
        let has = |bit: u16| (needed | allowed) & bit != 0;
        let long = |bit: u16, number: u64| has(bit).then_some(number);
        Entry {
            count: if kind == Kind::Append { 3 } else { 1 },
            time_unix_ns: long(TIME, 11),
            key: has(KEY).then_some(b"key"),
            headers: has(HEADERS).then_some(b"headers"),
            producer: has(PRODUCER).then_some(Stamp {
                id: 12,
                epoch: 13,
                sequence: 14,
            }),
            message: has(MESSAGE).then_some(b"message"),
            if_next: long(IF_NEXT, 15),
            if_fence: long(IF_FENCE, 16),
            if_version: long(IF_VERSION, 17),
            refer: has(REFER).then_some(Refer { item: 1, at: 8 }),
            offset: long(OFFSET, 18),
            incarnation: long(INCARNATION, 19),
            position: long(POSITION, 20),
            hold: has(HOLD),
            ..Entry::new(
                kind,
                StreamId::new(5, 6),
                b"48 bytes, that is, 6 times 8 or 3 times 16 of ..",
            )
        }
    }

    fn kinds() -> impl Iterator<Item = Kind> {
        (0..=u8::MAX).filter_map(Kind::of)
    }

    #[test]
    fn every_kind_is_read_as_written_with_all_its_fields_and_with_none_too_few() {
        assert_eq!(kinds().count(), 18);
        for kind in kinds() {
            let entry = full(kind);
            let bytes = written(&entry);
            assert_eq!(Entry::parse(&bytes), Some(entry), "{kind:?}");
            for len in 0..bytes.len() - entry.payload.len() {
                assert_eq!(Entry::parse(&bytes[..len]), None, "{kind:?}, {len} bytes");
            }
            // A field that it needs is not there, or one that it may not have is.
            let (needed, allowed) = kind.fields();
            for bit in (0..16).map(|bit| 1 << bit) {
                if needed & bit != 0 || (needed | allowed) & bit == 0 {
                    let mut bytes = bytes.clone();
                    let flags = u16::from_le_bytes([bytes[2], bytes[3]]) ^ bit;
                    bytes[2..4].copy_from_slice(&flags.to_le_bytes());
                    assert_eq!(Entry::parse(&bytes), None, "{kind:?}, flag {bit:#x}");
                }
            }
        }
    }

    /// The bytes of some entries, so that no change of the format goes unnoticed.
    #[test]
    fn the_format_is_what_it_was() {
        let entry = Entry::new(Kind::Append, StreamId::new(0x0102, 3), b"hi");
        let bytes = written(&entry);
        assert_eq!(
            bytes, b"\x01\0\0\0\x01\0\0\0\x02\x01\0\0\x03\0\0\0hi",
            "a plain record"
        );
        assert_eq!(
            Entry::parse_plain(&bytes),
            Some((StreamId::new(0x0102, 3), 1, &b"hi"[..]))
        );
        assert_eq!(
            written(&full(Kind::Append)),
            b"\x01\0\x7f\0\x03\0\0\0\x05\0\0\0\x06\0\0\0\
              \x0b\0\0\0\0\0\0\0\
              \x03\0key\
              \x07\0\0\0headers\
              \x0c\0\0\0\0\0\0\0\x0d\0\0\0\x0e\0\0\0\
              \x07message\
              \x0f\0\0\0\0\0\0\0\
              \x10\0\0\0\0\0\0\0\
              48 bytes, that is, 6 times 8 or 3 times 16 of .."
        );
        assert_eq!(Entry::parse_plain(&written(&full(Kind::Append))), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Any bytes whatever: no panic, and what is read can be written again.
        #[test]
        fn noise_is_read_without_harm(
            kind in 0..20u8,
            flags in any::<u16>(),
            rest in prop::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut bytes = vec![kind, 0];
            bytes.extend(flags.to_le_bytes());
            bytes.extend(rest);
            if let Some(entry) = Entry::parse(&bytes) {
                prop_assert_eq!(written(&entry), bytes);
            }
        }
    }
}
