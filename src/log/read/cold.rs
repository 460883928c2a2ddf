//! Segments that are read from their files: a window of the file that is at hand, through a shared
//! mapping or in a buffer ([`direct`](super::direct)).
//!
//! A window begins small and doubles while it is moved forward, so that a single look costs little
//! and a scan keeps the disk busy. Mapped windows are populated before they are touched: what the
//! disk cannot read is an error here, not a signal later.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{File, FileMap};
use crate::error::Error;
use crate::log::hold::Held;
use crate::log::read::ahead::AHEAD_MAX;
use crate::log::read::direct::{Direct, Origin};
use crate::log::read::pool::ReadPool;
use crate::log::read::share::Sharing;

/// The first window, in bytes.
const WINDOW_MIN: u64 = 64 << 10;
/// The largest window, in bytes, but for a frame that is larger.
pub(super) const WINDOW_MAX: u64 = 1 << 20;
/// How far ahead of a mapped window the kernel is asked to read, in bytes.
const AHEAD: u64 = 4 << 20;
/// What mappings are populated in.
const PAGE_BYTES: u64 = 4096;

/// A window of a segment's file.
pub(crate) struct FileWindow {
    kind: Kind,
    /// What is at hand, in bytes of the file.
    window: Range<u64>,
    pace: Pace,
    /// Whether the first window goes on where another file ended.
    follows: bool,
}

enum Kind {
    Mapped(Mapped),
    Direct(Direct),
}

struct Mapped {
    origin: Origin,
    map: Arc<FileMap>,
    held: Arc<Held>,
    ahead_to: u64,
}

/// How much is read at once. It grows while a window is moved forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The last window's length, in bytes.
    pub(super) step: u64,
    /// How many windows may be on their way.
    pub(super) depth: usize,
}

impl Pace {
    pub(crate) const START: Self = Self {
        step: WINDOW_MIN,
        depth: 1,
    };

    pub(super) fn grow(&mut self) {
        self.step = (self.step * 2).min(WINDOW_MAX);
    }

    pub(super) fn deepen(&mut self) {
        self.depth = (self.depth + 1).min(AHEAD_MAX);
    }
}

/// A part of a file that could not be read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) error: io::Error,
}

impl Unread {
    /// Not by `From`, which would cost the embedder's `?` the only type that it can mean.
    pub(crate) fn into_error(self) -> Error {
        let Self { offset, len, error } = self;
        Error::io(format!("reading {len} bytes at offset {offset}"), error)
            .remedy("ask again; if that fails, too, seek to a later position to read on")
    }
}

impl FileWindow {
    /// A window through the mapping of a sealed segment's first `len` bytes, which all readers
    /// share; where this disk has no mappings, as [`FileWindow::direct`].
    pub(crate) fn mapped(
        held: Arc<Held>,
        len: u64,
        block: u64,
        pool: &Arc<ReadPool>,
    ) -> io::Result<Self> {
        let Some(map) = held.map(len)? else {
            return Ok(Self::direct(held.shared_file(), block, pool));
        };
        Ok(Self::of(Kind::Mapped(Mapped {
            origin: Origin {
                file: held.shared_file(),
                block,
                pool: Arc::clone(pool),
            },
            map,
            held,
            ahead_to: 0,
        })))
    }

    /// A window that is read past the page cache.
    pub(crate) fn direct(file: Arc<dyn File>, block: u64, pool: &Arc<ReadPool>) -> Self {
        let pool = Arc::clone(pool);
        Self::of(Kind::Direct(Direct::new(Origin { file, block, pool })))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            window: 0..0,
            pace: Pace::START,
            follows: false,
        }
    }

    /// The same for a reader that comes here at some pace from the segment before.
    pub(crate) fn at_pace(mut self, pace: Pace) -> Self {
        self.follows = pace != Pace::START;
        self.pace = pace;
        self
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// Whether what is at hand stays so when `from` is loaded, too.
    pub(crate) fn grows_to(&self, from: u64) -> bool {
        matches!(self.kind, Kind::Mapped(_)) && self.is_forward(from)
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
            Kind::Mapped(mapped) => &mapped.map[range.start as usize..range.end as usize],
            Kind::Direct(direct) => direct.bytes(range),
        }
    }

    /// Brings `need` bytes from `from` on to hand, if the file has them before `limit`, and some
    /// of what follows. What was at hand before may be gone. The caller looks at what is there.
    pub(crate) fn load(&mut self, from: u64, need: u64, limit: u64) -> Result<(), Unread> {
        let wanted = from..from + need;
        if self.has(&wanted) {
            return Ok(());
        }
        let mut forward = self.is_forward(from);
        if std::mem::take(&mut self.follows) {
            forward = true;
            self.window = from..from;
        }
        if !forward {
            self.pace = Pace::START;
        }
        if let Kind::Mapped(mapped) = &mut self.kind {
            if forward {
                self.pace.grow();
            }
            let step = self.pace.step;
            match mapped.populate(&mut self.window, step, &wanted, limit, forward) {
                // A kernel before 5.14 cannot populate, and nothing else turns errors into errors.
                Err(unread) if unread.error.kind() == io::ErrorKind::InvalidInput => {
                    *self = Self::of(Kind::Direct(Direct::new(mapped.origin.clone())));
                    forward = false;
                }
                other => return other,
            }
        }
        match &mut self.kind {
            Kind::Direct(direct) => {
                direct.load(&mut self.window, &mut self.pace, wanted, limit, forward)
            }
            Kind::Mapped(_) => Ok(()),
        }
    }

    /// Forgets what is at hand from the block on that holds `offset`: it may have been written
    /// since.
    pub(crate) fn forget(&mut self, offset: u64) {
        let block = match &mut self.kind {
            Kind::Mapped(mapped) => mapped.origin.block,
            Kind::Direct(direct) => direct.forget(),
        };
        let end = offset & !(block - 1);
        self.window.end = self.window.end.min(end).max(self.window.start);
    }

    /// Bytes that are at hand, kept beyond the window's life; `None` when they had better be
    /// copied.
    pub(crate) fn share(&self, range: Range<u64>, sharing: &Sharing) -> Option<Bytes> {
        assert!(self.has(&range));
        match &self.kind {
            // No memory is kept but what the kernel can take back.
            Kind::Mapped(mapped) => Some(Bytes::from_owner(MapPart {
                map: Arc::clone(&mapped.map),
                _held: Arc::clone(&mapped.held),
                range: range.start as usize..range.end as usize,
            })),
            Kind::Direct(direct) => direct.share(range, sharing),
        }
    }
}

impl Mapped {
    fn populate(
        &mut self,
        window: &mut Range<u64>,
        step: u64,
        wanted: &Range<u64>,
        limit: u64,
        forward: bool,
    ) -> Result<(), Unread> {
        let limit = limit.min(self.map.len() as u64);
        let begin = if forward { window.end } else { wanted.start } & !(PAGE_BYTES - 1);
        let end = (begin + step)
            .max(wanted.end)
            .next_multiple_of(PAGE_BYTES)
            .min(limit);
        if end <= begin {
            return Ok(());
        }
        if forward {
            // Keep the disk busy while this window is verified. Only a hint: its failure is nothing.
            let ahead = end.max(self.ahead_to)..(end + AHEAD.min(step * 4)).min(limit);
            if ahead.start + step <= ahead.end {
                let len = (ahead.end - ahead.start) as usize;
                let _ = self.map.will_need(ahead.start as usize, len);
                self.ahead_to = ahead.end;
            }
        } else {
            self.ahead_to = 0;
        }
        let len = (end - begin) as usize;
        self.map
            .populate(begin as usize, len)
            .map_err(|error| Unread {
                offset: begin,
                len,
                error,
            })?;
        *window = if forward { window.start } else { begin }..end;
        Ok(())
    }
}

impl std::fmt::Debug for FileWindow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Mapped(_) => "mapped",
            Kind::Direct(_) => "direct",
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
