//! Frames: how records, padding and checkpoints lie in a segment. Byte-exact tables in
//! `docs/format.md`.
//!
//! ```text
//!  0        4        8        12   13      14       16
//! ┌────────┬────────┬────────┬────┬───────┬────────┬──────────┬──────────────┬─────────┐
//! │ commit │ crc32c │ stream │kind│ flags │ zero   │ [time 8] │ body         │ zeroes  │
//! └────────┴────────┴────────┴────┴───────┴────────┴──────────┴──────────────┴─────────┘
//!  commit: bits 30..31 state, bits 0..29 length in bytes from `commit` to the end of the body
//! ```
//!
//! A frame begins at a multiple of 8 and takes its length rounded up to 8. The CRC covers the
//! segment's salt, the position, the commit word and everything from byte 8 to the length, so that
//! neither a recycled segment's frames nor misplaced ones pass. Padding has only its first 8 bytes
//! (commit and CRC); what it spans is zero.
//!
//! The module parses once: what [`parse`] returns needs no further checks.

use crate::log::position::{Position, UNIT_BYTES};

/// Bytes of the base header.
pub(crate) const HEADER_BYTES: usize = 16;
/// Bytes of the shortest padding.
pub(crate) const PAD_BYTES_MIN: usize = 8;
/// Bytes of a checkpoint frame.
pub(crate) const CHECKPOINT_BYTES: usize = HEADER_BYTES + 72;
/// Bytes before each record of a batch: its length, and its distance from the frame.
pub(crate) const BATCH_RECORD_BYTES: usize = 8;
/// Bytes of a batch's count.
pub(crate) const BATCH_COUNT_BYTES: usize = 8;

const STATE_SHIFT: u32 = 30;
const LEN_MASK: u32 = (1 << STATE_SHIFT) - 1;
const STATE_FRAME: u32 = 1;
const STATE_PAD: u32 = 2;

const KIND_RECORD: u8 = 0;
const KIND_CHECKPOINT: u8 = 1;

const FLAG_BATCH: u8 = 1 << 0;
const FLAG_TIME: u8 = 1 << 1;
const FLAGS_KNOWN: u8 = FLAG_BATCH | FLAG_TIME;

/// What every checkpoint begins with, after the base header: "RBCHKPT1".
pub(crate) const CHECKPOINT_MAGIC: u64 = u64::from_le_bytes(*b"RBCHKPT1");

const _: () = assert!(HEADER_BYTES % UNIT_BYTES as usize == 0);
const _: () = assert!(CHECKPOINT_BYTES % UNIT_BYTES as usize == 0);
// A checkpoint and the begin of its padding fit one sector (see `open::reopen`).
const _: () = assert!(CHECKPOINT_BYTES + PAD_BYTES_MIN <= 512);

/// The seed of a segment's CRCs, from its salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(salt: u64) -> Self {
        Self(crc32c::crc32c(&salt.to_le_bytes()))
    }

    /// The CRC of a frame at `at`: of its position, its commit word, and `rest`, its bytes from 8 on.
    #[inline]
    fn crc(self, at: Position, commit: u32, rest: &[u8]) -> u32 {
        let mut place = [0; 12];
        place[..8].copy_from_slice(&at.to_u64().to_le_bytes());
        place[8..].copy_from_slice(&commit.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &place), rest)
    }
}

/// A frame's length rounded up to where the next one begins.
#[inline]
pub(crate) const fn aligned(len_bytes: usize) -> usize {
    (len_bytes + 7) & !7
}

/// The commit word of a frame of `len_bytes`.
#[inline]
pub(crate) const fn commit_frame(len_bytes: usize) -> u32 {
    STATE_FRAME << STATE_SHIFT | len_bytes as u32
}

/// The commit word of padding of `len_bytes`, a multiple of 8.
#[inline]
pub(crate) const fn commit_pad(len_bytes: usize) -> u32 {
    STATE_PAD << STATE_SHIFT | len_bytes as u32
}

/// The bytes that a committed frame takes, from its commit word alone; `None` for an empty word.
#[inline]
pub(crate) const fn committed_bytes(commit: u32) -> Option<usize> {
    if commit == 0 {
        None
    } else {
        Some(aligned((commit & LEN_MASK) as usize))
    }
}

/// The records and payload bytes of a committed frame that is known to be sound, without a check.
/// `head` is its first 32 bytes, or all if it is shorter.
#[inline]
pub(crate) fn count(head: &[u8]) -> (u64, u64) {
    let commit = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let len = (commit & LEN_MASK) as usize;
    if commit >> STATE_SHIFT != STATE_FRAME || head[12] != KIND_RECORD {
        return (0, 0);
    }
    let header = HEADER_BYTES + if head[13] & FLAG_TIME != 0 { 8 } else { 0 };
    let body = (len - header) as u64;
    if head[13] & FLAG_BATCH == 0 {
        return (1, body);
    }
    let count = &head[header..header + 4];
    (
        u64::from(u32::from_le_bytes([count[0], count[1], count[2], count[3]])),
        body,
    )
}

/// How many bytes must be at hand to tell whether a frame begins with `head`, its first 16 bytes or
/// all that is left of the segment. Garbage is mostly told here, before its claimed length is read.
pub(crate) fn needed_bytes(head: &[u8]) -> Result<usize, NoFrame> {
    let Some(&[c0, c1, c2, c3, ..]) = head.first_chunk::<PAD_BYTES_MIN>() else {
        return Err(NoFrame::Bad);
    };
    let commit = u32::from_le_bytes([c0, c1, c2, c3]);
    let len = (commit & LEN_MASK) as usize;
    match (commit >> STATE_SHIFT, head.first_chunk::<HEADER_BYTES>()) {
        (0, _) if commit == 0 => Err(NoFrame::Empty),
        (STATE_PAD, _) => Ok(PAD_BYTES_MIN),
        (STATE_FRAME, Some(head)) if len >= HEADER_BYTES => match head[12] {
            KIND_RECORD if head[13] & !FLAGS_KNOWN == 0 => Ok(len),
            KIND_CHECKPOINT if len == CHECKPOINT_BYTES => Ok(len),
            _ => Err(NoFrame::Bad),
        },
        _ => Err(NoFrame::Bad),
    }
}

/// What a writer puts into a frame besides its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shape {
    pub(crate) batch: bool,
    pub(crate) time_unix_ns: Option<u64>,
}

impl Shape {
    /// Bytes from the frame's begin to the begin of its body.
    #[inline]
    pub(crate) const fn header_bytes(self) -> usize {
        HEADER_BYTES + if self.time_unix_ns.is_some() { 8 } else { 0 }
    }
}

/// Where in a frame the part begins that its writer owns: behind the commit word, which other
/// threads look at while the frame is filled.
pub(crate) const OWNED_FROM: usize = 4;

/// Writes the header of a record's or batch's frame whose body is in place already, and returns
/// the commit word, which the caller stores last. `owned` is the frame from [`OWNED_FROM`] to the
/// end of its body.
#[inline]
pub(crate) fn finish_record(seed: Seed, at: Position, owned: &mut [u8], shape: Shape) -> u32 {
    let mut flags = 0;
    if shape.batch {
        flags |= FLAG_BATCH;
    }
    if let Some(time) = shape.time_unix_ns {
        flags |= FLAG_TIME;
        let place = HEADER_BYTES - OWNED_FROM;
        owned[place..place + 8].copy_from_slice(&time.to_le_bytes());
    }
    finish(seed, at, owned, KIND_RECORD, flags)
}

#[inline]
fn finish(seed: Seed, at: Position, owned: &mut [u8], kind: u8, flags: u8) -> u32 {
    let commit = commit_frame(OWNED_FROM + owned.len());
    let (crc_place, rest) = owned.split_at_mut(4);
    // Stream 0: streams belong to the store, above the log.
    rest[..8].copy_from_slice(&[0, 0, 0, 0, kind, flags, 0, 0]);
    crc_place.copy_from_slice(&seed.crc(at, commit, rest).to_le_bytes());
    commit
}

/// The first 8 bytes of padding: its CRC goes to bytes 4 to 8, the commit word is returned.
#[inline]
pub(crate) fn finish_pad(seed: Seed, at: Position, len_bytes: usize) -> (u32, [u8; 4]) {
    let commit = commit_pad(len_bytes);
    (commit, seed.crc(at, commit, &[]).to_le_bytes())
}

/// A checkpoint: what was durable, and when, as of the submission that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) log_id: [u8; 16],
    /// Everything before this was on disk when the checkpoint was written.
    pub(crate) watermark: Position,
    /// The log begins here; what lies before was trimmed.
    pub(crate) log_start: Position,
    /// The wall clock's time, in nanoseconds since 1970, never less than the checkpoint's before.
    pub(crate) time_unix_ns: u64,
    /// Records committed before this checkpoint, since the log was made.
    pub(crate) records: u64,
    /// Whether this is the last word of a writer that closed the log.
    pub(crate) clean: bool,
}

/// Writes a checkpoint's frame, from [`OWNED_FROM`] on, and returns its commit word.
pub(crate) fn write_checkpoint(
    seed: Seed,
    at: Position,
    owned: &mut [u8; CHECKPOINT_BYTES - OWNED_FROM],
    checkpoint: &Checkpoint,
) -> u32 {
    let body = &mut owned[HEADER_BYTES - OWNED_FROM..];
    body[..8].copy_from_slice(&CHECKPOINT_MAGIC.to_le_bytes());
    body[8..24].copy_from_slice(&checkpoint.log_id);
    body[24..32].copy_from_slice(&at.to_u64().to_le_bytes());
    body[32..40].copy_from_slice(&checkpoint.watermark.to_u64().to_le_bytes());
    body[40..48].copy_from_slice(&checkpoint.log_start.to_u64().to_le_bytes());
    body[48..56].copy_from_slice(&checkpoint.time_unix_ns.to_le_bytes());
    body[56..64].copy_from_slice(&checkpoint.records.to_le_bytes());
    body[64..72].copy_from_slice(&u64::from(checkpoint.clean).to_le_bytes());
    finish(seed, at, owned, KIND_CHECKPOINT, 0)
}

/// A frame that was read, its CRC checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// One record.
    Record {
        payload: &'a [u8],
        time_unix_ns: Option<u64>,
    },
    /// Several records that stand or fall together; see [`BatchRecords`].
    Batch {
        records: BatchRecords<'a>,
        time_unix_ns: Option<u64>,
    },
    /// A checkpoint.
    Checkpoint(Checkpoint),
    /// Nothing: padding, or an abandoned claim.
    Pad,
}

impl Frame<'_> {
    /// Gives each record, with its own position; the frame lies at `at`.
    pub(crate) fn each_record(&self, at: Position, give: &mut dyn FnMut(Position, &[u8])) {
        match self {
            Self::Record { payload, .. } => give(at, payload),
            Self::Batch { records, .. } => {
                for (distance, payload) in *records {
                    give(at.plus(distance as u64), payload);
                }
            }
            Self::Checkpoint(_) | Self::Pad => {}
        }
    }
}

/// Why there is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// The commit word is zero: nothing was committed here.
    Empty,
    /// The frame is longer than the bytes at hand; so many are needed, if it is one at all.
    Short { needed_bytes: usize },
    /// The bytes are no frame of this segment at this position.
    Bad,
}

/// Whether a CRC must be recomputed, or is known to be right: our own memory, or verified before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Verify(Seed),
    Trust,
}

/// Reads the frame at the begin of `bytes`, which lies at `at`. Returns it with the bytes it takes.
#[inline]
pub(crate) fn parse(
    check: Check,
    at: Position,
    bytes: &[u8],
) -> Result<(Frame<'_>, usize), NoFrame> {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(NoFrame::Short {
            needed_bytes: PAD_BYTES_MIN,
        });
    };
    let [c0, c1, c2, c3, crc @ ..] = *head;
    let commit = u32::from_le_bytes([c0, c1, c2, c3]);
    let crc = u32::from_le_bytes(crc);
    let len = (commit & LEN_MASK) as usize;
    match commit >> STATE_SHIFT {
        STATE_PAD => {
            if len < PAD_BYTES_MIN || len % UNIT_BYTES as usize != 0 {
                return Err(NoFrame::Bad);
            }
            if let Check::Verify(seed) = check {
                if seed.crc(at, commit, &[]) != crc {
                    return Err(NoFrame::Bad);
                }
            }
            Ok((Frame::Pad, len))
        }
        STATE_FRAME => {
            if len < HEADER_BYTES {
                return Err(NoFrame::Bad);
            }
            let Some(rest) = rest.get(..len - 8) else {
                return Err(NoFrame::Short { needed_bytes: len });
            };
            if let Check::Verify(seed) = check {
                if seed.crc(at, commit, rest) != crc {
                    return Err(NoFrame::Bad);
                }
            }
            let frame = body(at, rest).ok_or(NoFrame::Bad)?;
            Ok((frame, aligned(len)))
        }
        _ if commit == 0 => Err(NoFrame::Empty),
        _ => Err(NoFrame::Bad),
    }
}

/// Reads what follows the first 8 bytes of a frame.
#[inline]
fn body(at: Position, rest: &[u8]) -> Option<Frame<'_>> {
    let (&[_, _, _, _, kind, flags, _, _], body) = rest.split_first_chunk::<8>()?;
    match kind {
        KIND_RECORD if flags & !FLAGS_KNOWN == 0 => {
            let (time_unix_ns, body, header) = if flags & FLAG_TIME != 0 {
                let (time, body) = body.split_first_chunk::<8>()?;
                (Some(u64::from_le_bytes(*time)), body, HEADER_BYTES + 8)
            } else {
                (None, body, HEADER_BYTES)
            };
            if flags & FLAG_BATCH == 0 {
                return Some(Frame::Record {
                    payload: body,
                    time_unix_ns,
                });
            }
            let records = BatchRecords::parse(header, body)?;
            Some(Frame::Batch {
                records,
                time_unix_ns,
            })
        }
        KIND_CHECKPOINT => checkpoint(at, body).map(Frame::Checkpoint),
        _ => None,
    }
}

fn checkpoint(at: Position, body: &[u8]) -> Option<Checkpoint> {
    let body: &[u8; CHECKPOINT_BYTES - HEADER_BYTES] = body.try_into().ok()?;
    let number = |offset: usize| {
        u64::from_le_bytes(body[offset..offset + 8].try_into().expect("eight bytes"))
    };
    if number(0) != CHECKPOINT_MAGIC || number(24) != at.to_u64() {
        return None;
    }
    Some(Checkpoint {
        log_id: body[8..24].try_into().expect("sixteen bytes"),
        watermark: Position::from_u64(number(32)),
        log_start: Position::from_u64(number(40)),
        time_unix_ns: number(48),
        records: number(56),
        clean: number(64) & 1 != 0,
    })
}

/// The records of a batch. The structure was checked when it was parsed.
///
/// ```text
///  0           4       8      12         16
/// ┌───────────┬───────┬──────┬──────────┬─────────┬────────┬──────┬──
/// │ count     │ zero  │ len  │ distance │ payload │ zeroes │ len  │ …
/// └───────────┴───────┴──────┴──────────┴─────────┴────────┴──────┴──
///  distance: bytes from the frame's begin to this `len`, which is the record's own position
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchRecords<'a> {
    body: &'a [u8],
    header_bytes: usize,
    /// Where in `body` the next record begins.
    next: usize,
    left: u32,
}

impl<'a> BatchRecords<'a> {
    fn parse(header_bytes: usize, body: &'a [u8]) -> Option<Self> {
        let (&[a, b, c, d, ..], _) = body.split_first_chunk::<BATCH_COUNT_BYTES>()?;
        let left = u32::from_le_bytes([a, b, c, d]);
        let records = Self {
            body,
            header_bytes,
            next: BATCH_COUNT_BYTES,
            left,
        };
        let mut walk = records;
        for _ in 0..left {
            walk.step()?;
        }
        // The last record is not padded: its frame is.
        (walk.next == aligned(body.len()) && left > 0).then_some(records)
    }

    /// The records that are left.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// Bytes of the batch's body, which count as its payload.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    fn step(&mut self) -> Option<(usize, &'a [u8])> {
        let head = self
            .body
            .get(self.next..)?
            .first_chunk::<BATCH_RECORD_BYTES>()?;
        let [l0, l1, l2, l3, d0, d1, d2, d3] = *head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let distance = u32::from_le_bytes([d0, d1, d2, d3]) as usize;
        if distance != self.header_bytes + self.next {
            return None;
        }
        let begin = self.next + BATCH_RECORD_BYTES;
        let payload = self.body.get(begin..begin.checked_add(len)?)?;
        self.next = begin + aligned(len);
        self.left = self.left.checked_sub(1)?;
        Some((distance, payload))
    }
}

impl<'a> Iterator for BatchRecords<'a> {
    /// The distance from the frame's begin in bytes, and the payload.
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 { None } else { self.step() }
    }
}

/// The bytes of a batch's body.
pub(crate) fn batch_body_bytes(payloads: &[impl AsRef<[u8]>]) -> usize {
    let mut len = BATCH_COUNT_BYTES;
    for payload in payloads {
        len = aligned(len) + BATCH_RECORD_BYTES + payload.as_ref().len();
    }
    len
}

/// Writes a batch's body, whose header takes `header_bytes`, into `body`.
///
/// # Panics
///
/// If the payloads are not those that [`batch_body_bytes`] measured: their type is the caller's,
/// and what does not fill the body exactly would be a frame that nobody can read.
pub(crate) fn write_batch(header_bytes: usize, body: &mut [u8], payloads: &[impl AsRef<[u8]>]) {
    body[..4].copy_from_slice(&(payloads.len() as u32).to_le_bytes());
    let mut next = BATCH_COUNT_BYTES;
    for payload in payloads {
        let payload = payload.as_ref();
        next = aligned(next);
        body[next..next + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        let distance = (header_bytes + next) as u32;
        body[next + 4..next + 8].copy_from_slice(&distance.to_le_bytes());
        next += BATCH_RECORD_BYTES;
        body[next..next + payload.len()].copy_from_slice(payload);
        next += payload.len();
    }
    assert_eq!(
        next,
        body.len(),
        "a payload changed its length while its batch was appended"
    );
}

/// Of a batch's record that begins at `at`, where `bytes` begin, too: where its payload lies. The
/// batch was parsed before, so that its structure is known to be sound.
#[inline]
pub(crate) fn batch_record(at: u64, bytes: &[u8]) -> std::ops::Range<u64> {
    let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let begin = at + BATCH_RECORD_BYTES as u64;
    begin..begin + u64::from(len)
}

/// Of a position that may be a batch's record: the bytes back to its frame, if it is one.
pub(crate) fn batch_distance(bytes: &[u8]) -> Option<usize> {
    let [_, _, _, _, distance @ ..] = *bytes.first_chunk::<BATCH_RECORD_BYTES>()?;
    let distance = u32::from_le_bytes(distance) as usize;
    (distance >= HEADER_BYTES && distance % UNIT_BYTES as usize == 0).then_some(distance)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEED: Seed = Seed(7);

    fn at() -> Position {
        Position::new(3, 4096)
    }

    /// A whole frame of `payload` at [`at`], as it lies in the file.
    fn record(payload: &[u8], time_unix_ns: Option<u64>) -> Vec<u8> {
        let shape = Shape {
            batch: false,
            time_unix_ns,
        };
        let mut frame = vec![0; aligned(shape.header_bytes() + payload.len())];
        let len = shape.header_bytes() + payload.len();
        frame[shape.header_bytes()..len].copy_from_slice(payload);
        commit(&mut frame, len, |owned| {
            finish_record(SEED, at(), owned, shape)
        })
    }

    fn batch(payloads: &[Vec<u8>]) -> Vec<u8> {
        let shape = Shape {
            batch: true,
            time_unix_ns: None,
        };
        let len = shape.header_bytes() + batch_body_bytes(payloads);
        let mut frame = vec![0; aligned(len)];
        let header = shape.header_bytes();
        write_batch(header, &mut frame[header..len], payloads);
        commit(&mut frame, len, |owned| {
            finish_record(SEED, at(), owned, shape)
        })
    }

    fn commit(frame: &mut Vec<u8>, len: usize, finish: impl FnOnce(&mut [u8]) -> u32) -> Vec<u8> {
        let word = finish(&mut frame[OWNED_FROM..len]);
        frame[..4].copy_from_slice(&word.to_le_bytes());
        std::mem::take(frame)
    }

    fn checkpoint(checkpoint: &Checkpoint) -> Vec<u8> {
        let mut frame = vec![0; CHECKPOINT_BYTES];
        commit(&mut frame, CHECKPOINT_BYTES, |owned| {
            write_checkpoint(SEED, at(), owned.try_into().unwrap(), checkpoint)
        })
    }

    fn read(bytes: &[u8]) -> Result<(Frame<'_>, usize), NoFrame> {
        parse(Check::Verify(SEED), at(), bytes)
    }

    fn sample() -> Checkpoint {
        Checkpoint {
            log_id: [9; 16],
            watermark: Position::new(3, 64),
            log_start: Position::new(1, 8),
            time_unix_ns: 55,
            records: 12,
            clean: true,
        }
    }

    /// The bytes of each kind of frame, so that no change of the format goes unnoticed.
    #[test]
    fn the_format_is_what_it_was() {
        let bytes = record(b"hello", None);
        assert_eq!(bytes[..4], (1u32 << 30 | 21).to_le_bytes());
        assert_eq!(bytes[8..24], *b"\0\0\0\0\0\0\0\0hello\0\0\0");
        let bytes = record(b"", Some(0x0102));
        assert_eq!(bytes[..4], (1u32 << 30 | 24).to_le_bytes());
        assert_eq!(bytes[8..], *b"\0\0\0\0\0\x02\0\0\x02\x01\0\0\0\0\0\0");
        let bytes = batch(&[b"a".to_vec(), b"bc".to_vec()]);
        assert_eq!(
            bytes[8..],
            *b"\0\0\0\0\0\x01\0\0\
               \x02\0\0\0\0\0\0\0\
               \x01\0\0\0\x18\0\0\0a\0\0\0\0\0\0\0\
               \x02\0\0\0\x28\0\0\0bc\0\0\0\0\0\0"
        );
        let bytes = checkpoint(&sample());
        assert_eq!(bytes.len(), 88);
        assert_eq!(bytes[12], 1);
        assert_eq!(bytes[16..24], *b"RBCHKPT1");
        let (word, crc) = finish_pad(SEED, at(), 4096);
        assert_eq!(word, 2 << 30 | 4096);
        let mut pad = word.to_le_bytes().to_vec();
        pad.extend(crc);
        assert_eq!(read(&pad), Ok((Frame::Pad, 4096)));
        // The CRC of a record, from its parts.
        let bytes = record(b"hello", None);
        let seed = crc32c::crc32c(&0x55u64.to_le_bytes());
        let mut covered = at().to_u64().to_le_bytes().to_vec();
        covered.extend(&bytes[..4]);
        covered.extend(&bytes[8..21]);
        let crc = Seed::new(0x55).crc(at(), commit_frame(21), &bytes[8..21]);
        assert_eq!(crc, crc32c::crc32c_append(seed, &covered));
    }

    #[test]
    fn a_checkpoint_is_read_as_written() {
        let bytes = checkpoint(&sample());
        assert_eq!(read(&bytes), Ok((Frame::Checkpoint(sample()), 88)));
        // Nowhere else, not with another salt, and not where it says it is not.
        let elsewhere = at().plus(8);
        let check = Check::Verify(SEED);
        assert_eq!(parse(check, elsewhere, &bytes), Err(NoFrame::Bad));
        assert_eq!(parse(Check::Trust, elsewhere, &bytes), Err(NoFrame::Bad));
        let other = Check::Verify(Seed(8));
        assert_eq!(parse(other, at(), &bytes), Err(NoFrame::Bad));
    }

    #[test]
    fn a_batch_whose_parts_do_not_fit_is_none() {
        let sound = batch(&[b"one".to_vec(), b"three".to_vec()]);
        // Trusted, so that the structure alone decides: count, length, distance.
        for (place, value) in [(16, 3), (16, 1), (16, 0), (24, 9), (24, 255), (28, 16)] {
            let mut bytes = sound.clone();
            bytes[place] = value;
            assert_eq!(
                parse(Check::Trust, at(), &bytes),
                Err(NoFrame::Bad),
                "{place}"
            );
        }
    }

    #[test]
    fn what_is_no_commit_word_is_no_frame() {
        assert_eq!(read(&[0; 16]), Err(NoFrame::Empty));
        for word in [3u32 << 30 | 16, 5, 1 << 30 | 8, 2 << 30 | 12, 2 << 30] {
            let mut bytes = [0; 64];
            bytes[..4].copy_from_slice(&word.to_le_bytes());
            assert_eq!(read(&bytes), Err(NoFrame::Bad), "{word:#x}");
            assert!(!matches!(needed_bytes(&bytes[..16]), Ok(17..)));
        }
        assert!(matches!(
            read(&[1; 4]),
            Err(NoFrame::Short { needed_bytes: 8 })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_record_is_read_as_written(
            payload in prop::collection::vec(any::<u8>(), 0..600),
            time in any::<Option<u64>>(),
            behind in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut bytes = record(&payload, time);
            let len = bytes.len();
            prop_assert_eq!(count(&bytes[..len.min(32)]), (1, payload.len() as u64));
            bytes.extend(behind);
            let whole = if time.is_some() { 24 } else { 16 } + payload.len();
            prop_assert_eq!(needed_bytes(&bytes[..16]), Ok(whole));
            let expected = Frame::Record { payload: &payload, time_unix_ns: time };
            prop_assert_eq!(read(&bytes), Ok((expected, len)));
            let short = Err(NoFrame::Short { needed_bytes: whole });
            prop_assert_eq!(read(&bytes[..whole - 1]), short);
        }

        #[test]
        fn a_batch_is_read_as_written(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..20),
        ) {
            let bytes = batch(&payloads);
            let Ok((Frame::Batch { records, .. }, len)) = read(&bytes) else {
                return Err(TestCaseError::fail("no batch"));
            };
            prop_assert_eq!(len, bytes.len());
            let body = records.body_bytes() as u64;
            prop_assert_eq!(count(&bytes[..len.min(32)]), (payloads.len() as u64, body));
            let read: Vec<_> = records.map(|(_, payload)| payload.to_vec()).collect();
            prop_assert_eq!(&read, &payloads);
            for (distance, payload) in records {
                prop_assert_eq!(batch_distance(&bytes[distance..]), Some(distance));
                let range = batch_record(distance as u64, &bytes[distance..]);
                prop_assert_eq!(&bytes[range.start as usize..range.end as usize], payload);
            }
        }

        /// The CRC finds every flipped bit of what it covers.
        #[test]
        fn a_flipped_bit_is_found(
            payload in prop::collection::vec(any::<u8>(), 0..200),
            place in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let mut bytes = record(&payload, None);
            let place = place.index(16 + payload.len());
            bytes[place] ^= 1 << bit;
            prop_assert!(read(&bytes).is_err());
        }

        /// Any bytes whatever: no panic, and nothing beyond them is asked for without reason.
        #[test]
        fn noise_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for check in [Check::Verify(SEED), Check::Trust] {
                if let Ok((Frame::Batch { records, .. }, _)) = parse(check, at(), &bytes) {
                    prop_assert_eq!(records.count(), records.left() as usize);
                }
            }
            let _ = needed_bytes(&bytes);
        }
    }
}
