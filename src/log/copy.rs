//! A copy of a log, in a directory of its own, under an identity of its own.
//!
//! Positions, salts and records stay what they are. What names the log does not: headers, footers and
//! checkpoints get the copy's identity, so that two logs which grow apart are never taken for one another.
//! Every frame is checked on the way.
//!
//! While a copy is made, a file marks its directory, which nobody opens then; the mark goes when all
//! of it is on disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{AlignedBuf, Dir, Disk, File};
use crate::error::{Error, ErrorKind, Result};
use crate::log::follow::Anchor;
use crate::log::frame::{self, CHECKPOINT_BYTES, Check, Checkpoint, Frame, OWNED_FROM};
use crate::log::open::{Purpose, open_dir};
use crate::log::position::Position;
use crate::log::recover::{
    COPY_NAME, LOCK_NAME, Mode, is_of, open_segment, segment_path, unfinished_copy,
};
use crate::log::segment::{self, Footer, Header, LogId};

/// A copy that is being made.
pub(crate) struct LogCopy<'a> {
    from: &'a dyn Dir,
    to: Arc<dyn Dir>,
    log_id: LogId,
    /// The copy begins here.
    log_start: Position,
    /// Held until it is complete.
    _lock: Arc<dyn File>,
}

impl<'a> LogCopy<'a> {
    /// Begins a copy of the log in `from`, from `log_start` on. `to` must be an empty directory, or not
    /// be there yet.
    pub(crate) fn begin(
        disk: &dyn Disk,
        from: &'a dyn Dir,
        to: &Path,
        log_start: Position,
    ) -> Result<Self> {
        let dir = open_dir(disk, to, Purpose::Make)?;
        let at = |error| Error::io("beginning a copy", error).at_path(to);
        let names = dir.list().map_err(at)?;
        if names.iter().any(|entry| entry.name == COPY_NAME) {
            return Err(unfinished_copy(&*dir));
        }
        if let Some(entry) = names.first() {
            let what = format!("`{}` is there already", entry.name);
            return Err(Error::new(ErrorKind::Invalid, what)
                .at_path(to)
                .remedy("name an empty directory, or one that is not there yet"));
        }
        dir.create(COPY_NAME).map_err(at)?;
        dir.sync().map_err(at)?;
        let lock = dir.lock(LOCK_NAME).map_err(at)?.ok_or_else(|| {
            Error::new(ErrorKind::Locked, "somebody else copies to it").at_path(to)
        })?;
        let mut log_id = LogId::default();
        disk.random(&mut log_id);
        Ok(Self {
            from,
            to: dir,
            log_id,
            log_start,
            _lock: lock,
        })
    }

    /// Where the copy lies.
    pub(crate) fn dir(&self) -> &dyn Dir {
        &*self.to
    }

    /// What tells a segment in the copy.
    pub(crate) fn anchor(&self, anchor: &Anchor) -> Anchor {
        Anchor {
            log_id: self.log_id,
            ..*anchor
        }
    }

    /// Copies a segment up to its end, which must be on disk; takes as much memory as it is long. Returns
    /// the bytes that were written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`] where not all frames are sound or the segment is missing,
    /// [`ErrorKind::Invalid`] where the copy's blocks are too large, [`ErrorKind::Full`],
    /// [`ErrorKind::Io`].
    pub(crate) fn segment(&self, anchor: &Anchor) -> Result<u64> {
        let file = open_segment(self.from, anchor.ordinal, Mode::Observe)?;
        let source = segment_path(self.from, anchor.ordinal);
        let (mut bytes, footer) = self
            .read(&*file, anchor)
            .map_err(|error| error.or_at_path(&source))?;
        let header = self
            .rename(&mut bytes, anchor)
            .map_err(|error| error.or_at_path(&source))?;
        let footer =
            footer.filter(|footer| is_of(footer, &header) && footer.end_bytes == anchor.end_bytes);
        self.write(&header, bytes, footer)
            .map_err(|error| error.or_at_path(segment_path(&*self.to, anchor.ordinal)))
    }

    /// The file up to the end of the segment's frames, in whole blocks, and its footer.
    fn read(&self, file: &dyn File, anchor: &Anchor) -> Result<(AlignedBuf, Option<Footer>)> {
        let at = |error| Error::io("reading a segment", error);
        let block = anchor.first.offset_bytes();
        if u64::from(self.to.block_size()) > block {
            let what = format!(
                "the log has blocks of {block} bytes, and there they must have {}",
                self.to.block_size()
            );
            return Err(Error::new(ErrorKind::Invalid, what)
                .at_path(self.to.path())
                .remedy("copy it to another file system"));
        }
        let mut bytes =
            AlignedBuf::new(anchor.end_bytes.next_multiple_of(block) as usize).map_err(at)?;
        let read = file.read_at(&mut bytes, 0).map_err(at)?;
        bytes[read.min(anchor.end_bytes as usize)..].fill(0);
        let mut last = AlignedBuf::new(block as usize).map_err(at)?;
        let behind = file.len().map_err(at)?.checked_sub(block);
        let footer = match behind.filter(|behind| *behind >= anchor.end_bytes) {
            Some(behind) if file.read_at(&mut last, behind).map_err(at)? == block as usize => {
                Footer::parse(&last)
            }
            _ => None,
        };
        Ok((bytes, footer))
    }

    /// Gives a segment the copy's identity, and checks all of it. Returns the header that it had.
    fn rename(&self, bytes: &mut [u8], anchor: &Anchor) -> Result<Header> {
        let damaged = |what: &str, offset| {
            let at = Position::new(anchor.ordinal, offset);
            Error::new(ErrorKind::Damaged, what).at_position(at)
        };
        let header = Header::parse(bytes)?.filter(|header| {
            (header.log_id, header.ordinal, header.salt)
                == (anchor.log_id, anchor.ordinal, anchor.salt)
        });
        let header = header.ok_or_else(|| damaged("the header is not the segment's", 0))?;
        let end = anchor.end_bytes as usize;
        let mut offset = anchor.first.offset_bytes() as usize;
        while offset < end {
            let at = Position::new(anchor.ordinal, offset as u64);
            let (frame, taken) =
                frame::parse(Check::Verify(header.seed()), at, &bytes[offset..end]).map_err(
                    |_| {
                        damaged(
                            "the checksum does not match, or no frame is there",
                            offset as u64,
                        )
                    },
                )?;
            if let Frame::Checkpoint(checkpoint) = frame {
                if checkpoint.log_id != header.log_id {
                    return Err(damaged("a checkpoint of another log", offset as u64));
                }
                self.write_checkpoint(&header, at, &mut bytes[offset..], &checkpoint);
            }
            offset += taken;
        }
        if offset > end {
            return Err(damaged(
                "a frame that does not end where the segment does",
                end as u64,
            ));
        }
        let block = anchor.first.offset_bytes() as usize;
        self.header(&header).write(&mut bytes[..block]);
        Ok(header)
    }

    fn write_checkpoint(
        &self,
        header: &Header,
        at: Position,
        place: &mut [u8],
        checkpoint: &Checkpoint,
    ) {
        let checkpoint = Checkpoint {
            log_id: self.log_id,
            ..*checkpoint
        };
        let owned = &mut place[OWNED_FROM..CHECKPOINT_BYTES];
        let owned = owned.try_into().expect("a checkpoint's bytes");
        let commit = frame::write_checkpoint(header.seed(), at, owned, &checkpoint);
        place[..OWNED_FROM].copy_from_slice(&commit.to_le_bytes());
    }

    /// The header in the copy.
    fn header(&self, header: &Header) -> Header {
        Header {
            log_id: self.log_id,
            // What lies before is not there; whether the checkpoint is that says so, nobody knows.
            log_start: header.log_start.max(self.log_start),
            ..*header
        }
    }

    fn write(&self, header: &Header, bytes: AlignedBuf, footer: Option<Footer>) -> Result<u64> {
        let at = |error: io::Error| Error::io("copying a segment", error);
        let file = self
            .to
            .create(&segment::file_name(header.ordinal))
            .map_err(at)?;
        file.allocate(header.segment_bytes).map_err(at)?;
        file.write_at(&bytes, 0).map_err(at)?;
        let mut written = bytes.len() as u64;
        if let Some(footer) = footer {
            let footer = Footer {
                log_id: self.log_id,
                log_start: footer.log_start.max(self.log_start),
                ..footer
            };
            let mut block = AlignedBuf::new(header.block_bytes as usize).map_err(at)?;
            footer.write(&mut block);
            let behind = header.segment_bytes - u64::from(header.block_bytes);
            file.write_at(&block, behind).map_err(at)?;
            written += block.len() as u64;
        }
        Ok(written)
    }

    /// The copy is complete: from now on it is a log. Returns its identity.
    pub(crate) fn finish(self) -> Result<LogId> {
        let at = |error| Error::io("ending a copy", error).at_path(self.to.path());
        self.to.sync().map_err(at)?;
        self.to.unlink(COPY_NAME).map_err(at)?;
        self.to.sync().map_err(at)?;
        Ok(self.log_id)
    }
}
