//! Segments that are read from their files: a window of the file that is at hand, through a shared
//! mapping or in a buffer of its own.
//!
//! A window begins small and doubles while it is moved forward, so that a single look costs little
//! and a scan keeps the disk busy. Mapped windows are populated before they are touched: what the
//! disk cannot read is an error here, not a signal later.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{AlignedBuf, FileMap};
use crate::log::hold::Held;
use crate::log::read::share::{Shareable, Sharing};

/// The first window, in bytes.
const WINDOW_MIN: u64 = 64 << 10;
/// The largest window, in bytes, but for a frame that is larger.
const WINDOW_MAX: u64 = 1 << 20;
/// How far ahead of a mapped window the kernel is asked to read, in bytes.
const AHEAD: u64 = 4 << 20;
/// What mappings are populated in.
const PAGE_BYTES: u64 = 4096;

/// A window of a segment's file.
pub(crate) struct FileWindow {
    /// What offset, length and address of direct reads must be multiples of.
    block: u64,
    kind: Kind,
    /// What is at hand, in bytes of the file.
    window: Range<u64>,
    /// The next window's length.
    step: u64,
    held: Arc<Held>,
}

enum Kind {
    Mapped { map: Arc<FileMap>, ahead_to: u64 },
    Direct { buffer: Arc<AlignedBuf>, at: u64 },
}

impl FileWindow {
    /// A window through the mapping of a sealed segment's first `len` bytes, which all readers
    /// share; where this disk has no mappings, as [`FileWindow::direct`].
    pub(crate) fn mapped(held: Arc<Held>, len: u64, block: u64) -> io::Result<Self> {
        let Some(map) = held.map(len)? else {
            return Self::direct(held, block);
        };
        Ok(Self {
            held,
            block,
            kind: Kind::Mapped { map, ahead_to: 0 },
            window: 0..0,
            step: WINDOW_MIN,
        })
    }

    /// A window that is read past the page cache.
    pub(crate) fn direct(held: Arc<Held>, block: u64) -> io::Result<Self> {
        let buffer = Arc::new(AlignedBuf::new(WINDOW_MIN as usize)?);
        Ok(Self {
            held,
            block,
            kind: Kind::Direct { buffer, at: 0 },
            window: 0..0,
            step: WINDOW_MIN,
        })
    }

    /// Whether what is at hand stays so when `from` is loaded, too.
    pub(crate) fn grows_to(&self, from: u64) -> bool {
        matches!(self.kind, Kind::Mapped { .. }) && self.is_forward(from)
    }

    fn is_forward(&self, from: u64) -> bool {
        self.window.end > 0 && self.window.start <= from && from <= self.window.end
    }

    /// Whether these bytes are at hand.
    #[inline]
    pub(crate) fn has(&self, range: &Range<u64>) -> bool {
        self.window.start <= range.start && range.end <= self.window.end
    }

    /// What is at hand from `offset` on.
    #[inline]
    pub(crate) fn from(&self, offset: u64) -> &[u8] {
        if (self.window.start..self.window.end).contains(&offset) {
            self.bytes(offset..self.window.end)
        } else {
            &[]
        }
    }

    /// Bytes that are at hand.
    ///
    /// # Panics
    ///
    /// When they are not: a bug of the caller's.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<u64>) -> &[u8] {
        assert!(self.has(&range));
        match &self.kind {
            Kind::Mapped { map, .. } => &map[range.start as usize..range.end as usize],
            Kind::Direct { buffer, at } => {
                &buffer[(range.start - at) as usize..(range.end - at) as usize]
            }
        }
    }

    /// Brings `need` bytes from `from` on to hand, if the file has them before `limit`, and some
    /// of what follows. What was at hand before may be gone. The caller looks at what is there.
    pub(crate) fn load(&mut self, from: u64, need: u64, limit: u64) -> io::Result<()> {
        if self.has(&(from..from + need)) {
            return Ok(());
        }
        let forward = self.is_forward(from);
        if forward {
            self.step = (self.step * 2).min(WINDOW_MAX);
        } else {
            self.step = WINDOW_MIN;
        }
        if let Kind::Mapped { .. } = self.kind {
            match self.populate(from, need, limit, forward) {
                // A kernel before 5.14 cannot populate, and nothing else turns errors into errors.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    *self = Self::direct(Arc::clone(&self.held), self.block)?;
                }
                other => return other,
            }
        }
        self.read(from, need, limit)
    }

    fn populate(&mut self, from: u64, need: u64, limit: u64, forward: bool) -> io::Result<()> {
        let Kind::Mapped { map, ahead_to, .. } = &mut self.kind else {
            return Ok(());
        };
        let limit = limit.min(map.len() as u64);
        let begin = if forward { self.window.end } else { from } & !(PAGE_BYTES - 1);
        let end = (begin + self.step)
            .max(from + need)
            .next_multiple_of(PAGE_BYTES)
            .min(limit);
        if end <= begin {
            return Ok(());
        }
        if forward {
            // Keep the disk busy while this window is verified. Only a hint: its failure is nothing.
            let ahead = end.max(*ahead_to)..(end + AHEAD.min(self.step * 4)).min(limit);
            if ahead.start + self.step <= ahead.end {
                let _ = map.will_need(ahead.start as usize, (ahead.end - ahead.start) as usize);
                *ahead_to = ahead.end;
            }
        } else {
            *ahead_to = 0;
        }
        map.populate(begin as usize, (end - begin) as usize)?;
        self.window = if forward { self.window.start } else { begin }..end;
        Ok(())
    }

    fn read(&mut self, from: u64, need: u64, limit: u64) -> io::Result<()> {
        let Kind::Direct { buffer, at } = &mut self.kind else {
            return Ok(());
        };
        let begin = from & !(self.block - 1);
        let end = (begin + self.step)
            .max(from + need)
            .min(limit.max(from))
            .next_multiple_of(self.block);
        let len = (end - begin) as usize;
        // Nothing is at hand while it is read, and if that fails.
        self.window = 0..0;
        if Arc::get_mut(buffer).is_none_or(|buffer| buffer.len() < len) {
            // Shared records keep the old one.
            *buffer = Arc::new(AlignedBuf::new(len.max(self.step as usize))?);
        }
        let Some(place) = Arc::get_mut(buffer) else {
            return Ok(());
        };
        let read = self.held.file().read_at(&mut place[..len], begin)? as u64;
        *at = begin;
        self.window = begin..(begin + read).min(limit.max(begin));
        Ok(())
    }

    /// Forgets what is at hand from the block on that holds `offset`: it may have been written
    /// since.
    pub(crate) fn forget(&mut self, offset: u64) {
        let end = offset & !(self.block - 1);
        self.window.end = self.window.end.min(end).max(self.window.start);
    }

    /// Bytes that are at hand, kept beyond the window's life; `None` when they had better be
    /// copied.
    pub(crate) fn share(&self, range: Range<u64>, sharing: &Sharing) -> Option<Bytes> {
        assert!(self.has(&range));
        match &self.kind {
            // No memory is kept but what the kernel can take back.
            Kind::Mapped { map, .. } => Some(Bytes::from_owner(MapPart {
                map: Arc::clone(map),
                _held: Arc::clone(&self.held),
                range: range.start as usize..range.end as usize,
            })),
            Kind::Direct { buffer, at } => {
                let what = Shareable::Buffer(Arc::as_ptr(buffer) as usize);
                let permit = sharing.permit(what, buffer.len() as u64)?;
                Some(Bytes::from_owner(BufferPart {
                    buffer: Arc::clone(buffer),
                    range: (range.start - at) as usize..(range.end - at) as usize,
                    _permit: permit,
                }))
            }
        }
    }
}

impl std::fmt::Debug for FileWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Mapped { .. } => "mapped",
            Kind::Direct { .. } => "direct",
        };
        f.debug_struct("FileWindow")
            .field("kind", &kind)
            .field("window", &self.window)
            .finish()
    }
}

/// Bytes of a mapping, owned. The file is held, too, so that it is not recycled meanwhile.
struct MapPart {
    map: Arc<FileMap>,
    _held: Arc<Held>,
    range: Range<usize>,
}

impl AsRef<[u8]> for MapPart {
    fn as_ref(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

/// Bytes of a buffer, owned.
struct BufferPart {
    buffer: Arc<AlignedBuf>,
    range: Range<usize>,
    _permit: Arc<crate::log::read::share::Permit>,
}

impl AsRef<[u8]> for BufferPart {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}
