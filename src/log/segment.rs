//! Segments: the header in the first block, frames, and the footer in the last block. Byte-exact
//! tables in `docs/format.md`.
//!
//! ```text
//! ┌──────────┬───────────────────────────────────────────────────────┬──────────┐
//! │ header   │ frames                                                │ footer   │
//! │ 1 block  │ whole blocks                                          │ 1 block  │
//! └──────────┴───────────────────────────────────────────────────────┴──────────┘
//! 0        block                                             len - block       len
//! ```
//!
//! A header names the segment before it and where that one ends. That is the chain: what cannot be
//! reached backwards through it from the highest ordinal is a ghost.

use crate::error::{Error, ErrorKind, Result};
use crate::log::frame::Seed;
use crate::log::position::{ORDINAL_MAX, Position, UNIT_BYTES};

/// The identity of a log, random, in every segment.
pub(crate) type LogId = [u8; 16];

/// The smallest segment.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// The largest segment: a frame's length has 30 bits.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// The smallest block that the format allows.
pub(crate) const BLOCK_BYTES_MIN: u64 = 1 << 12;
/// The largest block that the format allows.
pub(crate) const BLOCK_BYTES_MAX: u64 = 1 << 16;

const VERSION: u32 = 1;
/// An incompatible feature: the records are a store's entries.
pub(crate) const FEATURE_STORE: u64 = 1 << 0;
/// Where in the features of a store's log the version of its rules is: sixteen bits.
pub(crate) const STORE_RULES_SHIFT: u32 = 48;
/// The incompatible features that this version knows.
const INCOMPATIBLE_KNOWN: u64 = FEATURE_STORE | 0xFFFF << STORE_RULES_SHIFT;
const HEADER_MAGIC: [u8; 8] = *b"RBSEGMNT";
const FOOTER_MAGIC: [u8; 8] = *b"RBFOOTER";
/// Bytes of a header; the rest of its block is zero.
pub(crate) const HEADER_BYTES: usize = 128;
const FOOTER_BYTES: usize = 128;
const CRC_AT: usize = 124;
const TIME_ENTRY_BYTES: usize = 16;

/// What a segment's first block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) log_id: LogId,
    pub(crate) ordinal: u64,
    /// Rises with every commit point: an unclean opening, a truncation.
    pub(crate) epoch: u64,
    /// The segment before this one and the offset where its frames end; ordinal 0 stands for none.
    pub(crate) previous: Link,
    pub(crate) salt: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) block_bytes: u32,
    /// The log's start as known when the segment was made; the real one is not before it.
    pub(crate) log_start: Position,
    pub(crate) created_unix_ns: u64,
    /// Features that a reader may ignore.
    pub(crate) compatible: u64,
    /// Features that it may not; the same in all segments of a log.
    pub(crate) features: u64,
}

/// One step of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) ordinal: u64,
    pub(crate) end_bytes: u64,
}

impl Link {
    /// The link of a log's first segment.
    pub(crate) const NONE: Self = Self {
        ordinal: 0,
        end_bytes: 0,
    };

    /// Where the frames of the linked segment end.
    pub(crate) fn position(self) -> Position {
        Position::new(self.ordinal, self.end_bytes)
    }

    fn is_sound(self) -> bool {
        self.ordinal <= ORDINAL_MAX
            && self.end_bytes % UNIT_BYTES == 0
            && self.end_bytes <= SEGMENT_BYTES_MAX
    }
}

impl Header {
    pub(crate) fn seed(&self) -> Seed {
        Seed::new(self.salt)
    }

    /// Where frames may lie, in bytes of the file.
    pub(crate) fn frames(&self) -> std::ops::Range<u64> {
        frames_of(self.segment_bytes, self.block_bytes)
    }

    /// Writes the header into a zeroed block.
    pub(crate) fn write(&self, block: &mut [u8]) {
        block[0..8].copy_from_slice(&HEADER_MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        block[16..24].copy_from_slice(&self.compatible.to_le_bytes());
        block[24..32].copy_from_slice(&self.features.to_le_bytes());
        block[32..48].copy_from_slice(&self.log_id);
        block[48..56].copy_from_slice(&self.ordinal.to_le_bytes());
        block[56..64].copy_from_slice(&self.epoch.to_le_bytes());
        block[64..72].copy_from_slice(&self.previous.ordinal.to_le_bytes());
        block[72..80].copy_from_slice(&self.previous.end_bytes.to_le_bytes());
        block[80..88].copy_from_slice(&self.salt.to_le_bytes());
        block[88..96].copy_from_slice(&self.segment_bytes.to_le_bytes());
        block[96..100].copy_from_slice(&self.block_bytes.to_le_bytes());
        block[100..104].copy_from_slice(&self.block_bytes.to_le_bytes());
        block[104..112].copy_from_slice(&self.log_start.to_u64().to_le_bytes());
        block[112..120].copy_from_slice(&self.created_unix_ns.to_le_bytes());
        let crc = crc32c::crc32c(&block[..CRC_AT]);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header. `Ok(None)`: the bytes are no header of ours, or a torn one.
    pub(crate) fn parse(block: &[u8]) -> Result<Option<Self>> {
        let Some(head) = block.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        if head[0..8] != HEADER_MAGIC || crc32c::crc32c(&head[..CRC_AT]) != word(head, CRC_AT) {
            return Ok(None);
        }
        let version = word(head, 8);
        if version != VERSION {
            return Err(Error::new(
                ErrorKind::Version,
                format!("format version {version}, and this library knows {VERSION}"),
            )
            .remedy("open it with the version of Ringbolt that wrote it, or a newer one"));
        }
        let unknown = long(head, 24) & !INCOMPATIBLE_KNOWN;
        if unknown != 0 {
            return Err(Error::new(
                ErrorKind::UnknownFeature,
                format!("unknown incompatible feature flags {unknown:#x}"),
            )
            .remedy("open it with a newer version of Ringbolt"));
        }
        let header = Self {
            compatible: long(head, 16),
            features: long(head, 24),
            log_id: head[32..48].try_into().expect("sixteen bytes"),
            ordinal: long(head, 48),
            epoch: long(head, 56),
            previous: Link {
                ordinal: long(head, 64),
                end_bytes: long(head, 72),
            },
            salt: long(head, 80),
            segment_bytes: long(head, 88),
            block_bytes: word(head, 96),
            log_start: Position::from_u64(long(head, 104)),
            created_unix_ns: long(head, 112),
        };
        Ok(header.sound().then_some(header))
    }

    /// Whether the numbers can be true: nothing after this needs to check them again.
    fn sound(&self) -> bool {
        let block = u64::from(self.block_bytes);
        (1..=ORDINAL_MAX).contains(&self.ordinal)
            && self.previous.ordinal < self.ordinal
            && is_block(block)
            && (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            && self.segment_bytes % block == 0
            && self.previous.is_sound()
    }
}

fn is_block(bytes: u64) -> bool {
    bytes.is_power_of_two() && (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&bytes)
}

/// Where frames may lie in a segment of this size.
pub(crate) fn frames_of(segment_bytes: u64, block_bytes: u32) -> std::ops::Range<u64> {
    u64::from(block_bytes)..segment_bytes - u64::from(block_bytes)
}

/// What a sealed segment's last block says: enough not to read the segment when the log is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) log_id: LogId,
    pub(crate) ordinal: u64,
    pub(crate) epoch: u64,
    pub(crate) previous: Link,
    pub(crate) salt: u64,
    /// The offset where the frames end.
    pub(crate) end_bytes: u64,
    /// Records in this segment.
    pub(crate) records: u64,
    /// Bytes of their payloads.
    pub(crate) payload_bytes: u64,
    pub(crate) log_start: Position,
    /// Records committed before the end of this segment, since the log was made.
    pub(crate) records_total: u64,
    pub(crate) times: TimeIndex,
    /// Those of the header.
    pub(crate) features: u64,
}

impl Footer {
    /// Writes the footer into a zeroed block.
    pub(crate) fn write(&self, block: &mut [u8]) {
        let entries = self.times.to_store();
        block[0..8].copy_from_slice(&FOOTER_MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&(entries.len() as u32).to_le_bytes());
        block[16..32].copy_from_slice(&self.log_id);
        block[32..40].copy_from_slice(&self.ordinal.to_le_bytes());
        block[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        block[48..56].copy_from_slice(&self.previous.ordinal.to_le_bytes());
        block[56..64].copy_from_slice(&self.previous.end_bytes.to_le_bytes());
        block[64..72].copy_from_slice(&self.salt.to_le_bytes());
        block[72..80].copy_from_slice(&self.end_bytes.to_le_bytes());
        block[80..88].copy_from_slice(&self.records.to_le_bytes());
        block[88..96].copy_from_slice(&self.payload_bytes.to_le_bytes());
        block[96..104].copy_from_slice(&self.log_start.to_u64().to_le_bytes());
        block[104..112].copy_from_slice(&self.records_total.to_le_bytes());
        block[112..120].copy_from_slice(&self.features.to_le_bytes());
        let block_bytes = block.len() as u32;
        block[120..124].copy_from_slice(&block_bytes.to_le_bytes());
        for (entry, place) in entries
            .iter()
            .zip(block[FOOTER_BYTES..].chunks_exact_mut(16))
        {
            place[..8].copy_from_slice(&entry.position.to_u64().to_le_bytes());
            place[8..].copy_from_slice(&entry.time_unix_ns.to_le_bytes());
        }
        let crc = Self::crc(block, entries.len());
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    }

    fn crc(block: &[u8], entries: usize) -> u32 {
        let end = FOOTER_BYTES + entries * TIME_ENTRY_BYTES;
        crc32c::crc32c_append(crc32c::crc32c(&block[..CRC_AT]), &block[FOOTER_BYTES..end])
    }

    /// Reads a footer; `None` when the bytes are none, as in a segment that is not sealed. One of
    /// a newer version, or with features that this one does not know, is none, too: the header says
    /// so with an error.
    pub(crate) fn parse(block: &[u8]) -> Option<Self> {
        let head = block.first_chunk::<FOOTER_BYTES>()?;
        let entries = word(head, 12) as usize;
        if head[0..8] != FOOTER_MAGIC
            || word(head, 8) != VERSION
            || long(head, 112) & !INCOMPATIBLE_KNOWN != 0
            || word(head, 120) as usize != block.len()
            || entries > (block.len() - FOOTER_BYTES) / TIME_ENTRY_BYTES
            || Self::crc(block, entries) != word(head, CRC_AT)
        {
            return None;
        }
        let times = block[FOOTER_BYTES..FOOTER_BYTES + entries * TIME_ENTRY_BYTES]
            .chunks_exact(TIME_ENTRY_BYTES)
            .map(|entry| TimeEntry {
                position: Position::from_u64(long(entry, 0)),
                time_unix_ns: long(entry, 8),
            })
            .collect();
        let footer = Self {
            log_id: head[16..32].try_into().expect("sixteen bytes"),
            ordinal: long(head, 32),
            epoch: long(head, 40),
            previous: Link {
                ordinal: long(head, 48),
                end_bytes: long(head, 56),
            },
            salt: long(head, 64),
            end_bytes: long(head, 72),
            records: long(head, 80),
            payload_bytes: long(head, 88),
            log_start: Position::from_u64(long(head, 96)),
            records_total: long(head, 104),
            features: long(head, 112),
            times: TimeIndex::of(times),
        };
        footer.sound(block.len() as u64).then_some(footer)
    }

    /// Whether the numbers can be true, but for the segment's length, which no footer knows.
    fn sound(&self, block: u64) -> bool {
        (1..=ORDINAL_MAX).contains(&self.ordinal)
            && self.previous.ordinal < self.ordinal
            && self.previous.is_sound()
            && is_block(block)
            && (block..SEGMENT_BYTES_MAX).contains(&self.end_bytes)
            && self.end_bytes % UNIT_BYTES == 0
    }
}

/// At `position`, all records before it were committed at or before `time_unix_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) position: Position,
    pub(crate) time_unix_ns: u64,
}

/// A segment's sparse index by time: the checkpoints' times, thinned so that they fit a footer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TimeIndex {
    entries: Vec<TimeEntry>,
    /// Every how many-th checkpoint is kept.
    stride: u32,
    skipped: u32,
    /// The newest checkpoint, kept or not: no time after it may be less.
    newest: Option<TimeEntry>,
}

impl TimeIndex {
    /// As many as fit the smallest footer beside its fixed part, and the newest.
    const ENTRIES_MAX: usize = (BLOCK_BYTES_MIN as usize - FOOTER_BYTES) / TIME_ENTRY_BYTES - 1;

    fn of(entries: Vec<TimeEntry>) -> Self {
        Self {
            newest: entries.last().copied(),
            entries,
            stride: 1,
            skipped: 0,
        }
    }

    /// Adds a checkpoint. Positions rise; times never fall.
    pub(crate) fn push(&mut self, position: Position, time_unix_ns: u64) {
        let entry = TimeEntry {
            position,
            time_unix_ns,
        };
        self.newest = Some(entry);
        self.skipped += 1;
        if self.skipped < self.stride.max(1) {
            return;
        }
        self.skipped = 0;
        if self.entries.len() >= Self::ENTRIES_MAX {
            let mut keep = false;
            self.entries.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride = self.stride.max(1) * 2;
        }
        self.entries.push(entry);
    }

    /// The checkpoints that were kept.
    pub(crate) fn entries(&self) -> &[TimeEntry] {
        &self.entries
    }

    /// The time of the newest checkpoint.
    pub(crate) fn newest_unix_ns(&self) -> Option<u64> {
        self.newest.map(|entry| entry.time_unix_ns)
    }

    /// What a footer takes: the entries, the newest among them.
    fn to_store(&self) -> Vec<TimeEntry> {
        let mut entries = self.entries.clone();
        entries.truncate(Self::ENTRIES_MAX);
        entries.extend(self.newest.filter(|newest| entries.last() != Some(newest)));
        entries
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The file name of a segment.
pub(crate) fn file_name(ordinal: u64) -> String {
    format!("{ordinal:011}.seg")
}

/// The ordinal in a segment's file name.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() != 11 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits
        .parse()
        .ok()
        .filter(|ordinal| (1..=ORDINAL_MAX).contains(ordinal))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: usize = 4096;

    fn header() -> Header {
        Header {
            log_id: *b"0123456789abcdef",
            ordinal: 7,
            epoch: 2,
            previous: Link {
                ordinal: 6,
                end_bytes: 4104,
            },
            salt: 0x1122_3344_5566_7788,
            segment_bytes: SEGMENT_BYTES_MIN,
            block_bytes: BLOCK as u32,
            log_start: Position::new(5, 4096),
            created_unix_ns: 99,
            compatible: 0x80,
            features: FEATURE_STORE,
        }
    }

    fn footer(times: TimeIndex) -> Footer {
        let header = header();
        Footer {
            log_id: header.log_id,
            ordinal: header.ordinal,
            epoch: header.epoch,
            previous: header.previous,
            salt: header.salt,
            end_bytes: 8192,
            records: 3,
            payload_bytes: 33,
            log_start: header.log_start,
            records_total: 12,
            times,
            features: header.features,
        }
    }

    fn write(header: &Header) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        header.write(&mut block);
        block
    }

    fn times(count: u64) -> TimeIndex {
        let mut times = TimeIndex::default();
        for n in 1..=count {
            times.push(Position::new(7, 4096 + n * 8), 1000 + n);
        }
        times
    }

    #[test]
    fn the_format_is_what_it_was() {
        let block = write(&header());
        assert_eq!(block[..16], *b"RBSEGMNT\x01\0\0\0\x80\0\0\0");
        assert_eq!(
            block[16..48],
            *b"\x80\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x000123456789abcdef"
        );
        assert_eq!(block[48..56], 7u64.to_le_bytes());
        assert_eq!(block[72..80], 4104u64.to_le_bytes());
        assert_eq!(block[120..124], [0; 4]);
        assert!(block[128..].iter().all(|byte| *byte == 0));
        let mut block = vec![0; BLOCK];
        footer(times(1)).write(&mut block);
        assert_eq!(block[..16], *b"RBFOOTER\x01\0\0\0\x01\0\0\0");
        assert_eq!(block[72..80], 8192u64.to_le_bytes());
        assert_eq!(block[112..124], [1, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]);
        assert_eq!(block[136..144], 1001u64.to_le_bytes());
    }

    #[test]
    fn numbers_that_cannot_be_true_make_no_header() {
        type Break = fn(&mut Header);
        let breaks: [Break; 9] = [
            |h| h.ordinal = 0,
            |h| h.ordinal = ORDINAL_MAX + 1,
            |h| h.previous.ordinal = 7,
            |h| h.previous.end_bytes = 4100,
            |h| h.previous.end_bytes = SEGMENT_BYTES_MAX + 8,
            |h| h.segment_bytes = SEGMENT_BYTES_MIN - 4096,
            |h| h.segment_bytes += 512,
            |h| h.block_bytes = 512,
            |h| h.block_bytes = 12288,
        ];
        for (index, change) in breaks.iter().enumerate() {
            let mut header = header();
            change(&mut header);
            assert_eq!(Header::parse(&write(&header)).unwrap(), None, "{index}");
        }
        assert_eq!(Header::parse(&[0; 64]).unwrap(), None);
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_damage() {
        for (place, kind) in [(8, ErrorKind::Version), (24, ErrorKind::UnknownFeature)] {
            let mut block = write(&header());
            block[place] = 2;
            let crc = crc32c::crc32c(&block[..CRC_AT]);
            block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(Header::parse(&block).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn a_footer_is_read_as_written_with_its_block_and_no_other() {
        for count in [0, 1, 2, 247, 248, 249, 5000] {
            let written = footer(times(count));
            let mut block = vec![0; BLOCK];
            written.write(&mut block);
            let read = Footer::parse(&block).unwrap();
            assert_eq!(read.times.newest_unix_ns(), written.times.newest_unix_ns());
            assert_eq!((read.records_total, read.end_bytes), (12, 8192));
            let entries = read.times.entries();
            assert!(entries.is_sorted_by_key(|entry| entry.position));
            let mut larger = block.clone();
            larger.resize(2 * BLOCK, 0);
            assert_eq!(Footer::parse(&larger), None);
            block[60] ^= 1;
            assert_eq!(Footer::parse(&block), None);
        }
    }

    /// An index that came from a footer goes on: the segment was resumed.
    #[test]
    fn an_index_stays_small_and_keeps_its_ends() {
        let mut block = vec![0; BLOCK];
        footer(times(5000)).write(&mut block);
        let mut times = Footer::parse(&block).unwrap().times;
        for n in 5001..9000 {
            times.push(Position::new(7, 4096 + n * 8), 1000 + n);
        }
        assert!(times.entries().len() <= 248);
        assert_eq!(times.entries()[0].time_unix_ns, 1001);
        assert_eq!(times.newest_unix_ns(), Some(9999));
    }

    #[test]
    fn file_names_round_trip() {
        for ordinal in [1, 42, ORDINAL_MAX] {
            assert_eq!(parse_file_name(&file_name(ordinal)), Some(ordinal));
        }
        for name in [
            "00000000000.seg",
            "1.seg",
            "99999999999.seg",
            "0000000001a.seg",
            "00000000001.seg.tmp",
            "+0000000001.seg",
        ] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_header_is_read_as_written(
            ordinal in 1..=ORDINAL_MAX,
            epoch: u64,
            salt: u64,
            created_unix_ns: u64,
            place in 0..HEADER_BYTES,
            bit in 0..8u8,
        ) {
            let header = Header {
                ordinal,
                epoch,
                previous: Link { ordinal: ordinal - 1, end_bytes: 4096 },
                salt,
                created_unix_ns,
                ..header()
            };
            let mut block = write(&header);
            prop_assert_eq!(Header::parse(&block).unwrap(), Some(header));
            block[place] ^= 1 << bit;
            prop_assert_eq!(Header::parse(&block).unwrap(), None);
        }

        #[test]
        fn noise_is_read_without_harm(mut noise in prop::collection::vec(any::<u8>(), BLOCK)) {
            noise[..8].copy_from_slice(&FOOTER_MAGIC);
            noise[8..12].copy_from_slice(&VERSION.to_le_bytes());
            prop_assert_eq!(Footer::parse(&noise), None);
        }
    }
}
