//! Bytes from a disk, as frames, headers and footers: whatever they are, parsing returns, stays
//! within them, and what it returned can be written again.

use super::Source;
use crate::log::Position;
use crate::log::frame::{
    self, CHECKPOINT_BYTES, Check, Checkpoint, Frame, NoFrame, OWNED_FROM, PAD_BYTES_MIN, Seed,
    Shape,
};
use crate::log::segment::{BLOCK_BYTES_MAX, Footer, Header};

/// At most so many bits of a frame are flipped in turn, spread over its length.
const FLIPS_MAX: usize = 64;

/// The block that headers and footers are written into.
const BLOCK_BYTES: usize = 4096;

/// Reads `data` as a case for the parsers: the first byte says for which.
pub fn frame(data: &[u8]) {
    let mut source = Source(data);
    match source.byte() % 4 {
        0 => foreign_frames(&mut source),
        1 => written_frames(&mut source),
        2 => header(&mut source),
        _ => footer(&mut source),
    }
}

/// Any bytes, walked as a segment is walked.
fn foreign_frames(source: &mut Source<'_>) {
    let seed = Seed::new(source.u64());
    let mut at = Position::from_u64(source.u64());
    let mut bytes = source.rest();
    loop {
        let verified = frame::parse(Check::Verify(seed), at, bytes);
        // Without its CRC nearly nothing is a frame; trusted, the structure alone must hold.
        let trusted = frame::parse(Check::Trust, at, bytes);
        if verified.is_ok() {
            assert_eq!(verified, trusted, "a CRC that is right changes nothing");
        }
        let taken = match trusted {
            Ok((read, taken)) => {
                within(bytes, &read, taken);
                rewritten(seed, at, &read);
                taken
            }
            Err(NoFrame::Short { needed_bytes }) => {
                assert!(needed_bytes > bytes.len());
                return;
            }
            Err(NoFrame::Empty | NoFrame::Bad) => PAD_BYTES_MIN,
        };
        let Some(rest) = bytes.get(taken..) else {
            return;
        };
        bytes = rest;
        at = Position::from_u64(at.to_u64().wrapping_add(taken as u64 / 8));
    }
}

/// Everything that was lent lies in the frame, and the frame in the bytes.
fn within(bytes: &[u8], read: &Frame<'_>, taken: usize) {
    assert!(taken >= PAD_BYTES_MIN && taken % 8 == 0);
    if *read != Frame::Pad {
        // The zeroes up to the next frame need not be there.
        assert!(taken <= frame::aligned(bytes.len()));
    }
    let inside = |part: &[u8]| {
        let (part, whole) = (part.as_ptr_range(), bytes.as_ptr_range());
        assert!(whole.start <= part.start && part.end <= whole.end);
    };
    match read {
        Frame::Record { payload, .. } => inside(payload),
        Frame::Batch { records, .. } => {
            let mut last = 0;
            for (distance, payload) in *records {
                inside(payload);
                assert!(
                    distance > last && distance < taken,
                    "records follow each other"
                );
                last = distance;
                assert_eq!(
                    frame::batch_distance(&bytes[distance..]),
                    Some(distance),
                    "a record leads back to its frame"
                );
            }
            assert_eq!((*records).count(), records.left() as usize);
        }
        Frame::Checkpoint(_) | Frame::Pad => {}
    }
}

/// What was read can be written, and then reads as the same.
fn rewritten(seed: Seed, at: Position, read: &Frame<'_>) {
    match *read {
        Frame::Record {
            payload,
            time_unix_ns,
        } => {
            let written = write_record(seed, at, payload, time_unix_ns);
            assert_eq!(
                frame::parse(Check::Verify(seed), at, &written),
                Ok((*read, written.len()))
            );
        }
        Frame::Batch {
            records,
            time_unix_ns,
        } => {
            let payloads: Vec<&[u8]> = records.map(|(_, payload)| payload).collect();
            let written = write_batch(seed, at, &payloads, time_unix_ns);
            let parsed = frame::parse(Check::Verify(seed), at, &written);
            let Ok((
                Frame::Batch {
                    records: again,
                    time_unix_ns: time,
                },
                taken,
            )) = parsed
            else {
                panic!("a batch that was written reads as {parsed:?}");
            };
            assert_eq!((time, taken), (time_unix_ns, written.len()));
            assert!(again.eq(records), "the same records in the same places");
        }
        Frame::Checkpoint(checkpoint) => {
            let written = write_checkpoint(seed, at, &checkpoint);
            assert_eq!(
                frame::parse(Check::Verify(seed), at, &written),
                Ok((*read, written.len()))
            );
        }
        Frame::Pad => {}
    }
}

/// Frames of our own, one behind the other: all are read back, and none survives damage.
fn written_frames(source: &mut Source<'_>) {
    let salt = source.u64();
    let seed = Seed::new(salt);
    let ordinal = source.u64() >> 28;
    let mut at = Position::new(ordinal, u64::from(source.u16()) * 8);
    let mut frames = 0;
    while !source.is_empty() && frames < 64 {
        frames += 1;
        let written = write_any(source, seed, at);
        let parsed = frame::parse(Check::Verify(seed), at, &written);
        let Ok((read, taken)) = parsed else {
            panic!("a frame that was written reads as {parsed:?}");
        };
        within(&written, &read, taken);
        assert!(written.len() <= taken);
        assert_eq!(
            frame::parse(Check::Trust, at, &written),
            Ok((read, taken)),
            "trusted or verified, it is the same frame"
        );
        assert_eq!(frame::count(&written), counted(&read));
        damaged(seed, salt, at, &written, &read);
        at = at.plus(taken as u64);
    }
}

/// The records in a frame, and the bytes that count as theirs.
fn counted(read: &Frame<'_>) -> (u64, u64) {
    match read {
        Frame::Record { payload, .. } => (1, payload.len() as u64),
        Frame::Batch { records, .. } => {
            let payloads: Vec<&[u8]> = records.map(|(_, payload)| payload).collect();
            let body_bytes = frame::batch_body_bytes(&payloads);
            (payloads.len() as u64, body_bytes as u64)
        }
        Frame::Checkpoint(_) | Frame::Pad => (0, 0),
    }
}

/// One frame, of the kind that the source asks for: its bytes up to where the next one begins;
/// only the first eight of padding.
fn write_any(source: &mut Source<'_>, seed: Seed, at: Position) -> Vec<u8> {
    let choice = source.byte();
    let time_unix_ns = (choice & 4 != 0).then(|| source.u64());
    match choice & 3 {
        0 => {
            let len = usize::from(source.u16()) % 2048;
            write_record(seed, at, source.bytes(len), time_unix_ns)
        }
        1 => {
            let count = usize::from(source.byte()) % 32 + 1;
            let payloads: Vec<&[u8]> = (0..count)
                .map(|_| {
                    let len = usize::from(source.byte());
                    source.bytes(len)
                })
                .collect();
            write_batch(seed, at, &payloads, time_unix_ns)
        }
        2 => {
            let checkpoint = Checkpoint {
                log_id: [source.byte(); 16],
                watermark: Position::from_u64(source.u64()),
                log_start: Position::from_u64(source.u64()),
                time_unix_ns: source.u64(),
                records: source.u64(),
                clean: source.byte() & 1 != 0,
            };
            write_checkpoint(seed, at, &checkpoint)
        }
        _ => {
            let len = (usize::from(source.u16()) + 1) * 8;
            let (commit, crc) = frame::finish_pad(seed, at, len);
            [commit.to_le_bytes(), crc].concat()
        }
    }
}

/// A frame with one bit flipped, of another segment, or moved, is none.
fn damaged(seed: Seed, salt: u64, at: Position, written: &[u8], read: &Frame<'_>) {
    let flip = |number: u64| number ^ 1 << (salt % 64);
    let elsewhere = Position::from_u64(flip(at.to_u64()));
    assert!(frame::parse(Check::Verify(seed), elsewhere, written).is_err());
    let recycled = Seed::new(flip(salt));
    assert!(frame::parse(Check::Verify(recycled), at, written).is_err());

    // The zeroes that round the frame up belong to no CRC.
    let commit = u32::from_le_bytes([written[0], written[1], written[2], written[3]]);
    let len = (commit & ((1 << 30) - 1)) as usize;
    let bits = len.min(written.len()) * 8;
    let mut broken = written.to_vec();
    for i in 0..bits.min(FLIPS_MAX) {
        let bit = i * bits / bits.min(FLIPS_MAX);
        broken[bit / 8] ^= 1 << (bit % 8);
        let parsed = frame::parse(Check::Verify(seed), at, &broken);
        if bit < 30 && *read != Frame::Pad {
            // Another length asks for the CRC of other bytes, which may be right by chance.
            assert_ne!(parsed.ok().map(|(read, _)| read), Some(*read));
        } else {
            assert!(parsed.is_err(), "bit {bit} was flipped unnoticed");
        }
        broken[bit / 8] ^= 1 << (bit % 8);
    }
}

fn write_record(seed: Seed, at: Position, payload: &[u8], time_unix_ns: Option<u64>) -> Vec<u8> {
    let shape = Shape {
        batch: false,
        time_unix_ns,
    };
    let mut bytes = vec![0; shape.header_bytes()];
    bytes.extend_from_slice(payload);
    finish_record(seed, at, bytes, shape)
}

fn write_batch(seed: Seed, at: Position, payloads: &[&[u8]], time_unix_ns: Option<u64>) -> Vec<u8> {
    let shape = Shape {
        batch: true,
        time_unix_ns,
    };
    let header = shape.header_bytes();
    let mut bytes = vec![0; header + frame::batch_body_bytes(payloads)];
    frame::write_batch(header, &mut bytes[header..], payloads);
    finish_record(seed, at, bytes, shape)
}

/// Completes a frame whose body is in place, and rounds it up to where the next one begins.
fn finish_record(seed: Seed, at: Position, mut bytes: Vec<u8>, shape: Shape) -> Vec<u8> {
    let commit = frame::finish_record(seed, at, &mut bytes[OWNED_FROM..], shape);
    bytes[..4].copy_from_slice(&commit.to_le_bytes());
    bytes.resize(frame::aligned(bytes.len()), 0);
    bytes
}

fn write_checkpoint(seed: Seed, at: Position, checkpoint: &Checkpoint) -> Vec<u8> {
    let mut owned = [0; CHECKPOINT_BYTES - OWNED_FROM];
    let commit = frame::write_checkpoint(seed, at, &mut owned, checkpoint);
    let mut bytes = commit.to_le_bytes().to_vec();
    bytes.extend_from_slice(&owned);
    bytes
}

/// Any block, as a segment's header.
fn header(source: &mut Source<'_>) {
    let block = mended(source, b"RBSEGMNT", |block| crc32c::crc32c(&block[..124]));
    let Ok(Some(header)) = Header::parse(&block) else {
        return;
    };
    let frames = header.frames();
    assert!(frames.start < frames.end && frames.end < header.segment_bytes);
    assert!(frames.start <= BLOCK_BYTES_MAX && frames.end % 8 == 0);
    let mut written = vec![0; BLOCK_BYTES];
    header.write(&mut written);
    assert_eq!(Header::parse(&written).ok().flatten(), Some(header));
    for bit in 0..128 * 8 {
        written[bit / 8] ^= 1 << (bit % 8);
        assert!(
            matches!(Header::parse(&written), Ok(None)),
            "bit {bit} was flipped unnoticed"
        );
        written[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Any block, as a segment's footer.
fn footer(source: &mut Source<'_>) {
    let block = mended(source, b"RBFOOTER", |block| {
        let entries = u32::from_le_bytes([block[12], block[13], block[14], block[15]]) as usize;
        let end = entries.saturating_mul(16).saturating_add(128);
        let entries = &block[128..end.min(block.len())];
        crc32c::crc32c_append(crc32c::crc32c(&block[..124]), entries)
    });
    let Some(footer) = Footer::parse(&block) else {
        return;
    };
    let mut written = vec![0; block.len()];
    footer.write(&mut written);
    assert_eq!(Footer::parse(&written), Some(footer.clone()));
    for bit in 0..128 * 8 {
        written[bit / 8] ^= 1 << (bit % 8);
        // Another count of entries asks for the CRC of other bytes.
        let parsed = Footer::parse(&written);
        assert!(parsed.is_none() || (96..128).contains(&bit));
        assert_ne!(parsed, Some(footer.clone()));
        written[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A block from the source; when its first byte asks for it, with the magic, the version and a CRC
/// that is right, so that the fuzzer gets past them.
fn mended(source: &mut Source<'_>, magic: &[u8; 8], crc: fn(&[u8]) -> u32) -> Vec<u8> {
    let choice = source.byte();
    let mut block = source.rest().to_vec();
    if choice & 1 != 0 {
        block.resize(block.len().clamp(128, BLOCK_BYTES), 0);
        block[..8].copy_from_slice(magic);
        if choice & 2 == 0 {
            block[8..12].copy_from_slice(&1u32.to_le_bytes());
        }
        let crc = crc(&block);
        block[124..128].copy_from_slice(&crc.to_le_bytes());
    }
    block
}
