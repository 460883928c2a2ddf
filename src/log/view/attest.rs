//! How far a log is proven to be on disk, from outside of its writer.
//!
//! Three things prove it while there is a writer: a footer, for its segment; a segment of a later
//! epoch, for the one it builds on; a checkpoint, for all before its watermark. Where neither of
//! the first two is there the frames are scanned for checkpoints, each once: what cannot be read
//! yet is looked at again from its block on. (Damage in a segment that nothing else proves looks
//! like that, too: the view stops there until the segment is sealed, or its writer has gone.)
//!
//! A writer that was killed attests its last group no more, though it was acknowledged. So where
//! records lie beyond the watermark and nobody writes, all is proven that the next writer's
//! recovery will keep: see [`Quiet`]. It tells damage from a torn tail, too.

use crate::disk::Dir;
use crate::error::{Error, ErrorKind, Result};
use crate::log::position::Position;
use crate::log::read::What;
use crate::log::recover::Quiet;
use crate::log::segment::TimeIndex;
use crate::log::view::chain::{Chain, Place, first};
use crate::log::view::file::SegmentFile;

/// What is proven, and the scan for more.
#[derive(Debug)]
pub(super) struct Attest {
    /// Up to where frames were scanned; a boundary.
    scanned: Position,
    watermark: Position,
    /// Where the last record ends that was scanned, proven or not.
    written: Position,
    /// What keeps a log without a writer from being proven further.
    damage: Option<Error>,
    /// The largest start of the log that anything told.
    log_start: Position,
    /// Checkpoints' places and times.
    times: TimeIndex,
    file: Option<SegmentFile>,
}

impl Attest {
    /// Begins at the last segment that needs no scan.
    pub(super) fn new(dir: &dyn Dir, chain: &Chain) -> Result<Self> {
        let mut from = chain.start();
        let mut log_start = chain.start();
        for index in (0..chain.segments().len()).rev() {
            let header = chain.segments()[index];
            log_start = log_start.max(header.log_start);
            from = first(&header);
            let sealed = sealed_to(dir, chain, index)?;
            if let Some((_, start)) = sealed {
                log_start = log_start.max(start);
            }
            if chain.is_settled(index) || sealed.is_some() {
                break;
            }
        }
        Ok(Self {
            scanned: from,
            watermark: from,
            written: Position::MIN,
            damage: None,
            log_start,
            times: TimeIndex::default(),
            file: None,
        })
    }

    /// Everything before this is on disk.
    pub(super) fn watermark(&self) -> Position {
        self.watermark
    }

    /// Up to where frames could be read, proven or not.
    pub(super) fn scanned(&self) -> Position {
        self.scanned
    }

    /// Where the last record ends that could be read, proven or not.
    pub(super) fn written(&self) -> Position {
        self.written
    }

    /// The damage that the log goes on behind, or ends with, where all that is proven was read.
    pub(super) fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// Where the log begins, as far as is known.
    pub(super) fn log_start(&self) -> Position {
        self.log_start
    }

    /// The checkpoints that were scanned.
    pub(super) fn times(&self) -> &TimeIndex {
        &self.times
    }

    /// Looks for more that is proven, in a chain that was just refreshed, and is once more if there
    /// turns out to be no writer.
    pub(super) fn advance(&mut self, dir: &dyn Dir, chain: &mut Chain) -> Result<()> {
        self.scan_on(dir, chain)?;
        if self.written <= self.watermark && self.damage.is_none() {
            return Ok(());
        }
        self.damage = None;
        let Some(quiet) = Quiet::of(dir)? else {
            return Ok(());
        };
        // Another writer may have come and gone since.
        chain.refresh(dir)?;
        self.scan_on(dir, chain)?;
        match quiet.recovered() {
            Ok(found) => {
                self.watermark = self.watermark.max(found.end);
                self.log_start = self.log_start.max(found.log_start);
                // What was seen of more was in a cache only.
                self.written = self.written.min(self.watermark);
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                // All before it was synced, and is sound.
                let sound = error.position().unwrap_or(Position::MIN);
                self.watermark = self.watermark.max(sound.min(self.scanned));
                self.damage = Some(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Looks for what the writer proved.
    fn scan_on(&mut self, dir: &dyn Dir, chain: &Chain) -> Result<()> {
        for header in chain.segments() {
            self.log_start = self.log_start.max(header.log_start);
        }
        loop {
            let index = match chain.locate(self.scanned) {
                Place::In(index) => index,
                // What was scanned is not part of the log any more.
                Place::Cut(index) => {
                    self.written = Position::MIN;
                    self.restart_at(chain, index)
                }
                Place::Before => self.restart_at(chain, 0),
                Place::Beyond => return Ok(()),
            };
            let Some(header) = chain.get(index) else {
                return Ok(());
            };
            let end = chain.end_of(index);
            let end_position = Position::new(header.ordinal, end);
            if chain.is_settled(index) {
                self.watermark = self.watermark.max(end_position);
                self.scanned = end_position;
            } else if self.scanned.offset_bytes() < end {
                self.scan(dir, chain, index, end)?;
            }
            if self.scanned.offset_bytes() < end || index + 1 >= chain.segments().len() {
                return Ok(());
            }
            self.restart_at(chain, index + 1);
        }
    }

    fn restart_at(&mut self, chain: &Chain, index: usize) -> usize {
        self.scanned = chain.get(index).map_or(Position::MIN, first);
        index
    }

    /// Scans one segment from where the scan stands.
    fn scan(&mut self, dir: &dyn Dir, chain: &Chain, index: usize, end: u64) -> Result<()> {
        let Some(header) = chain.get(index) else {
            return Ok(());
        };
        let ordinal = header.ordinal;
        if self.scanned == first(header) {
            if let Some((sealed, log_start)) = sealed_to(dir, chain, index)? {
                self.watermark = self.watermark.max(sealed);
                self.log_start = self.log_start.max(log_start);
                self.scanned = Position::new(ordinal, end);
                return Ok(());
            }
        }
        if self
            .file
            .as_ref()
            .is_none_or(|file| file.header.ordinal != ordinal)
        {
            self.file = SegmentFile::open(dir, ordinal)?;
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        // The last look may have been at a block that was just being written.
        file.forget(self.scanned.offset_bytes());
        loop {
            let Ok(found) = file.frame(dir, self.scanned.offset_bytes(), end)? else {
                return Ok(());
            };
            let end = Position::new(ordinal, found.end);
            match &found.what {
                What::Checkpoint(checkpoint) if checkpoint.log_id == header.log_id => {
                    self.watermark = self.watermark.max(checkpoint.watermark);
                    self.log_start = self.log_start.max(checkpoint.log_start);
                    self.times.push(self.scanned, checkpoint.time_unix_ns);
                }
                What::Record { .. } | What::Batch { .. } => self.written = end,
                What::Checkpoint(_) | What::Nothing => {}
            }
            self.scanned = end;
        }
    }
}

/// Up to where the segment's footer proves it, and where it says that the log begins: its
/// checkpoints, which may be the only others to know, are not scanned any more.
fn sealed_to(dir: &dyn Dir, chain: &Chain, index: usize) -> Result<Option<(Position, Position)>> {
    let Some(header) = chain.get(index) else {
        return Ok(None);
    };
    let Some(mut file) = SegmentFile::open(dir, header.ordinal)? else {
        return Ok(None);
    };
    let end = chain.end_of(index);
    let footer = file.footer(dir)?.filter(|footer| footer.end_bytes >= end);
    Ok(footer.map(|footer| (Position::new(header.ordinal, end), footer.log_start)))
}
