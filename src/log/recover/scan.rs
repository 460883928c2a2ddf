//! Reads a segment's frames from its file, in large aligned windows, past the page cache where the
//! disk does so.
//!
//! A [`Window`] is the buffer, to be reused from segment to segment; a [`Scanner`] walks over the
//! frames of one. It trusts nothing: lengths are checked before they are used, and every CRC is.

use crate::disk::{AlignedBuf, File};
use crate::error::{Error, Result};
use crate::log::frame::{self, Check, Frame, Seed};
use crate::log::position::{Position, UNIT_BYTES};
use crate::log::segment::Header;

/// Read at a time, in bytes; more only for a longer frame.
const WINDOW_BYTES: usize = 1 << 20;

/// A window onto a file: the bytes that were read last.
#[derive(Debug)]
pub(crate) struct Window {
    buffer: AlignedBuf,
    align: u64,
    start: u64,
    len: usize,
}

impl Window {
    /// A window for reads at multiples of `align`, the directory's block size.
    pub(crate) fn new(align: u32) -> Result<Self> {
        Ok(Self {
            buffer: allocate(WINDOW_BYTES)?,
            align: u64::from(align),
            start: 0,
            len: 0,
        })
    }

    /// Forgets what was read: the next bytes come from another file, or must be fresh.
    pub(crate) fn forget(&mut self) {
        self.len = 0;
    }

    /// The bytes from `at` on: at least `needed` unless the file ends before, none from `limit` on.
    pub(crate) fn bytes(
        &mut self,
        file: &dyn File,
        at: u64,
        needed: usize,
        limit: u64,
    ) -> Result<&[u8]> {
        let held = self.start..self.start + self.len as u64;
        if !held.contains(&at) || at + needed as u64 > held.end {
            self.fill(file, at, needed, WINDOW_BYTES, limit)?;
        }
        let from = (at - self.start) as usize;
        let to = self.len.min((limit - self.start) as usize);
        Ok(self.buffer.get(from..to.max(from)).unwrap_or_default())
    }

    /// The `len` bytes from `at` on, or fewer if the file ends before, with little else read.
    pub(crate) fn bytes_exactly(&mut self, file: &dyn File, at: u64, len: usize) -> Result<&[u8]> {
        self.fill(file, at, len, 0, at + len as u64)?;
        let from = (at - self.start) as usize;
        Ok(self
            .buffer
            .get(from..self.len.min(from + len))
            .unwrap_or_default())
    }

    fn fill(
        &mut self,
        file: &dyn File,
        at: u64,
        needed: usize,
        ahead: usize,
        limit: u64,
    ) -> Result<()> {
        let start = at & !(self.align - 1);
        let left = (limit - start).next_multiple_of(self.align) as usize;
        let wanted = ((at - start) as usize + needed).next_multiple_of(self.align as usize);
        let len = wanted.max(ahead).min(left);
        self.len = 0;
        if self.buffer.len() < len {
            self.buffer = allocate(len)?;
        }
        self.start = start;
        self.len = file
            .read_at(&mut self.buffer[..len], start)
            .map_err(|error| Error::io("reading a segment", error))?;
        Ok(())
    }
}

fn allocate(len: usize) -> Result<AlignedBuf> {
    AlignedBuf::new(len).map_err(|error| Error::io("mapping memory to read a segment", error))
}

/// A step of a [`Scanner`].
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A sound frame.
    Frame {
        at: Position,
        frame: Frame<'a>,
        /// The bytes it takes.
        bytes: u64,
    },
    /// The limit is reached exactly.
    Limit,
    /// There is no sound frame here.
    Stop,
}

/// Walks over the frames of a segment.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a dyn File,
    window: &'a mut Window,
    seed: Seed,
    ordinal: u64,
    at: u64,
    limit: u64,
}

impl<'a> Scanner<'a> {
    /// Begins at the offset `from`, where a frame must begin, and ends at the offset `limit`, at
    /// most where the segment's frames do.
    pub(crate) fn new(
        file: &'a dyn File,
        window: &'a mut Window,
        header: &Header,
        from: u64,
        limit: u64,
    ) -> Self {
        window.forget();
        Self {
            file,
            window,
            seed: header.seed(),
            ordinal: header.ordinal,
            at: from,
            limit: limit.min(header.frames().end),
        }
    }

    /// The offset of the next frame.
    pub(crate) fn offset(&self) -> u64 {
        self.at
    }

    /// The next frame. After a stop or the limit it says the same again.
    pub(crate) fn step(&mut self) -> Result<Step<'_>> {
        let left = self.limit.saturating_sub(self.at);
        if left == 0 {
            return Ok(Step::Limit);
        }
        let at = Position::new(self.ordinal, self.at);
        let head_bytes = frame::HEADER_BYTES.min(left as usize);
        let head = self
            .window
            .bytes(self.file, self.at, head_bytes, self.limit)?;
        let needed = match frame::needed_bytes(&head[..head.len().min(head_bytes)]) {
            Ok(needed) if needed as u64 <= left => needed,
            _ => return Ok(Step::Stop),
        };
        let bytes = self.window.bytes(self.file, self.at, needed, self.limit)?;
        match frame::parse(Check::Verify(self.seed), at, bytes) {
            Ok((frame, taken)) if taken as u64 <= left => {
                let bytes = taken as u64;
                self.at += bytes;
                Ok(Step::Frame { at, frame, bytes })
            }
            _ => Ok(Step::Stop),
        }
    }
}

/// Looks for sound checkpoints of a segment at any place from `from` on, and gives each to `found`
/// until that says to stop (`true`). This is how damage is told from a torn tail: nothing but a
/// checkpoint is looked for, since payloads may contain frames; a checkpoint knows its own
/// position, under a CRC that is salted by its segment.
pub(crate) fn look_on(
    file: &dyn File,
    window: &mut Window,
    header: &Header,
    from: u64,
    mut found: impl FnMut(Position, &frame::Checkpoint) -> bool,
) -> Result<bool> {
    let limit = header.frames().end;
    let magic = frame::CHECKPOINT_MAGIC.to_le_bytes();
    let mut at = from;
    window.forget();
    while at + (frame::CHECKPOINT_BYTES as u64) <= limit {
        let bytes = window.bytes(file, at, frame::CHECKPOINT_BYTES, limit)?;
        if bytes.len() < frame::CHECKPOINT_BYTES {
            break;
        }
        // A checkpoint that crosses the window's end is seen whole in the next one.
        let places = bytes.len() - frame::CHECKPOINT_BYTES + 1;
        let words = bytes[frame::HEADER_BYTES..].chunks_exact(UNIT_BYTES as usize);
        for (index, _) in words
            .enumerate()
            .take(places.div_ceil(UNIT_BYTES as usize))
            .filter(|(_, word)| *word == magic)
        {
            let offset = index * UNIT_BYTES as usize;
            let position = Position::new(header.ordinal, at + offset as u64);
            let check = Check::Verify(header.seed());
            if let Ok((Frame::Checkpoint(checkpoint), _)) =
                frame::parse(check, position, &bytes[offset..])
            {
                if checkpoint.log_id == header.log_id && found(position, &checkpoint) {
                    return Ok(true);
                }
            }
        }
        at += places.next_multiple_of(UNIT_BYTES as usize) as u64;
    }
    Ok(false)
}
