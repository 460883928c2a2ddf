//! Makes the bytes of segments, frame by frame, for tests.

use crate::log::frame::{self, CHECKPOINT_BYTES, Checkpoint, OWNED_FROM, Shape};
use crate::log::position::Position;
use crate::log::recover::memory::{BLOCK, MemoryDir};
use crate::log::segment::{self, Footer, Header, Link, LogId, SEGMENT_BYTES_MIN, TimeIndex};

pub(crate) const LOG: LogId = *b"the log of tests";

/// The header of a segment as small as may be.
pub(crate) fn header(ordinal: u64, epoch: u64, previous: Link) -> Header {
    Header {
        log_id: LOG,
        ordinal,
        epoch,
        previous,
        salt: 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(ordinal),
        segment_bytes: SEGMENT_BYTES_MIN,
        block_bytes: BLOCK,
        log_start: Position::MIN,
        created_unix_ns: 1000 * ordinal,
        compatible: 0,
        features: 0,
    }
}

/// The link to a full segment.
pub(crate) fn full(ordinal: u64) -> Link {
    Link {
        ordinal,
        end_bytes: SEGMENT_BYTES_MIN - u64::from(BLOCK),
    }
}

/// A segment in the making.
#[derive(Debug, Clone)]
pub(crate) struct SegmentBuilder {
    pub(crate) header: Header,
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: u64,
    pub(crate) log_start: Position,
    records: u64,
    payload_bytes: u64,
    records_before: u64,
    times: TimeIndex,
    time: u64,
}

impl SegmentBuilder {
    pub(crate) fn new(header: Header) -> Self {
        let mut bytes = vec![0; header.segment_bytes as usize];
        header.write(&mut bytes[..header.block_bytes as usize]);
        Self {
            at: header.frames().start,
            bytes,
            log_start: Position::MIN,
            records: 0,
            payload_bytes: 0,
            records_before: 0,
            times: TimeIndex::default(),
            time: 1_000_000 * header.ordinal,
            header,
        }
    }

    /// Where the next frame goes.
    pub(crate) fn position(&self) -> Position {
        Position::new(self.header.ordinal, self.at)
    }

    fn owned(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.at as usize + OWNED_FROM..self.at as usize + len]
    }

    fn commit(&mut self, commit: u32, len: usize) {
        let at = self.at as usize;
        self.bytes[at..at + 4].copy_from_slice(&commit.to_le_bytes());
        self.at += frame::aligned(len) as u64;
        assert!(self.at <= self.header.frames().end);
    }

    pub(crate) fn record(&mut self, payload: &[u8]) -> &mut Self {
        let (seed, position) = (self.header.seed(), self.position());
        let len = frame::HEADER_BYTES + payload.len();
        let owned = self.owned(len);
        owned[frame::HEADER_BYTES - OWNED_FROM..].copy_from_slice(payload);
        let commit = frame::finish_record(seed, position, owned, Shape::default());
        self.records += 1;
        self.payload_bytes += payload.len() as u64;
        self.commit(commit, len);
        self
    }

    pub(crate) fn batch(&mut self, payloads: &[&[u8]]) -> &mut Self {
        let (seed, position) = (self.header.seed(), self.position());
        let shape = Shape {
            batch: true,
            time_unix_ns: Some(7),
        };
        let body = frame::batch_body_bytes(payloads);
        let len = shape.header_bytes() + body;
        let owned = self.owned(len);
        let from = shape.header_bytes() - OWNED_FROM;
        frame::write_batch(shape.header_bytes(), &mut owned[from..], payloads);
        let commit = frame::finish_record(seed, position, owned, shape);
        self.records += payloads.len() as u64;
        self.payload_bytes += body as u64;
        self.commit(commit, len);
        self
    }

    /// Padding up to the offset `to`.
    pub(crate) fn pad_to(&mut self, to: u64) -> &mut Self {
        let len = (to - self.at) as usize;
        if len > 0 {
            let (commit, crc) = frame::finish_pad(self.header.seed(), self.position(), len);
            self.owned(8).copy_from_slice(&crc);
            self.commit(commit, len);
        }
        self
    }

    /// Padding to the end of the block.
    pub(crate) fn pad(&mut self) -> &mut Self {
        self.pad_to(self.at.next_multiple_of(u64::from(self.header.block_bytes)))
    }

    /// A checkpoint that attests everything before `watermark`.
    pub(crate) fn checkpoint(&mut self, watermark: Position) -> &mut Self {
        self.put_checkpoint(watermark, false)
    }

    /// What a clean close leaves.
    pub(crate) fn close(&mut self) -> &mut Self {
        self.pad();
        self.put_checkpoint(self.position(), true).pad()
    }

    fn put_checkpoint(&mut self, watermark: Position, clean: bool) -> &mut Self {
        let (seed, position) = (self.header.seed(), self.position());
        self.time += 10;
        let checkpoint = Checkpoint {
            log_id: self.header.log_id,
            watermark,
            log_start: self.log_start,
            time_unix_ns: self.time,
            records: self.records_before + self.records,
            clean,
        };
        let owned = self.owned(CHECKPOINT_BYTES);
        let owned = owned.try_into().expect("a checkpoint's place");
        let commit = frame::write_checkpoint(seed, position, owned, &checkpoint);
        self.times.push(position, self.time);
        self.commit(commit, CHECKPOINT_BYTES);
        self
    }

    /// Records up to the end, with checkpoints between.
    pub(crate) fn fill(&mut self) -> &mut Self {
        let end = self.header.frames().end;
        while self.at + 20_000 < end {
            self.record(&[0xab; 9000]);
            self.checkpoint(self.position());
        }
        self.pad_to(end)
    }

    pub(crate) fn footer(&self) -> Footer {
        let header = &self.header;
        Footer {
            log_id: header.log_id,
            ordinal: header.ordinal,
            epoch: header.epoch,
            previous: header.previous,
            salt: header.salt,
            end_bytes: self.at,
            records: self.records,
            payload_bytes: self.payload_bytes,
            log_start: self.log_start,
            records_total: self.records_before + self.records,
            times: self.times.clone(),
            features: header.features,
        }
    }

    /// Writes the footer.
    pub(crate) fn seal(&mut self) -> &mut Self {
        let footer = self.footer();
        let from = (self.header.segment_bytes - u64::from(self.header.block_bytes)) as usize;
        self.bytes[from..].fill(0);
        footer.write(&mut self.bytes[from..]);
        self
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    pub(crate) fn records_before(&mut self, records: u64) -> &mut Self {
        self.records_before = records;
        self
    }

    /// Makes the bytes at an offset garbage.
    pub(crate) fn spoil(&mut self, position: Position) -> &mut Self {
        let at = position.offset_bytes() as usize;
        self.bytes[at + 5] ^= 0x40;
        self
    }

    pub(crate) fn name(&self) -> String {
        segment::file_name(self.header.ordinal)
    }

    pub(crate) fn put(&self, dir: &MemoryDir) {
        dir.put(&self.name(), self.bytes.clone());
    }
}
