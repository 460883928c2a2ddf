//! Where a reader's bytes come from: the image of a segment in memory, or its file.

use std::ops::Range;

use bytes::Bytes;

use crate::log::frame::{self, BATCH_COUNT_BYTES, Check, Frame, HEADER_BYTES, NoFrame};
use crate::log::position::Position;
use crate::log::read::cold::{FileWindow, Pace};
use crate::log::read::share::{COPY_BYTES_MAX, Permit, Shareable, Sharing};
use crate::log::tail::pinned::{ImageWalk, SharedBytes};

/// What a reader reads from. Offsets are bytes of the segment.
#[derive(Debug)]
pub(crate) enum Source {
    /// Nothing yet, or not any more.
    None,
    /// The segment in memory.
    Image(ImageWalk),
    /// The segment's file.
    File(FileWindow),
}

/// A frame, by its places: nothing is borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the frame begins and where the next one does.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) what: What,
}

/// What a frame is to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Padding.
    Nothing,
    Checkpoint(frame::Checkpoint),
    Record {
        payload: Range<u64>,
        time_unix_ns: Option<u64>,
    },
    /// The first of its records begins at `first`.
    Batch {
        first: u64,
        count: u32,
        time_unix_ns: Option<u64>,
    },
}

impl Found {
    /// Reads the frame that begins at `begin` of the segment `ordinal`, whose bytes are `bytes`.
    #[inline]
    pub(crate) fn parse(
        check: Check,
        ordinal: u64,
        begin: u64,
        bytes: &[u8],
    ) -> Result<Self, NoFrame> {
        let at = Position::new(ordinal, begin);
        let (parsed, len) = frame::parse(check, at, bytes)?;
        let body = |time: Option<u64>| begin + header_bytes(time);
        let what = match parsed {
            Frame::Pad => What::Nothing,
            Frame::Checkpoint(checkpoint) => What::Checkpoint(checkpoint),
            Frame::Record {
                payload,
                time_unix_ns,
            } => {
                let from = body(time_unix_ns);
                What::Record {
                    payload: from..from + payload.len() as u64,
                    time_unix_ns,
                }
            }
            Frame::Batch {
                records,
                time_unix_ns,
            } => What::Batch {
                first: body(time_unix_ns) + BATCH_COUNT_BYTES as u64,
                count: records.left(),
                time_unix_ns,
            },
        };
        Ok(Self {
            begin,
            end: begin + len as u64,
            what,
        })
    }
}

fn header_bytes(time_unix_ns: Option<u64>) -> u64 {
    HEADER_BYTES as u64 + if time_unix_ns.is_some() { 8 } else { 0 }
}

impl Source {
    /// Gives back what keeps memory from being reused.
    #[inline]
    pub(crate) fn release(&mut self) {
        if let Self::Image(walk) = self {
            walk.release();
        }
    }

    /// How much was read at once.
    pub(crate) fn pace(&self) -> Pace {
        match self {
            Self::File(window) => window.pace(),
            Self::Image(_) | Self::None => Pace::START,
        }
    }

    /// Bytes of a frame that was found and is still at hand.
    ///
    /// # Panics
    ///
    /// When they are not at hand: a bug of the caller's.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<u64>) -> &[u8] {
        match self {
            Self::Image(walk) => walk.passed(range.start as usize..range.end as usize),
            Self::File(window) => window.bytes(range),
            Self::None => panic!("nothing is at hand"),
        }
    }

    /// The same bytes, owned: shared where that is worth it and within the budget, else copied.
    pub(crate) fn share(&self, ordinal: u64, range: Range<u64>, sharing: &Sharing) -> Bytes {
        let shared = if range.end - range.start <= COPY_BYTES_MAX as u64 {
            None
        } else {
            match self {
                Self::Image(walk) => share_image(walk, ordinal, &range, sharing),
                Self::File(window) => window.share(range.clone(), sharing),
                Self::None => None,
            }
        };
        shared.unwrap_or_else(|| Bytes::copy_from_slice(self.bytes(range)))
    }
}

fn share_image(
    walk: &ImageWalk,
    ordinal: u64,
    range: &Range<u64>,
    sharing: &Sharing,
) -> Option<Bytes> {
    let permit = sharing.permit(Shareable::Image(ordinal), walk.pinned_bytes())?;
    let bytes = walk.share(range.start as usize..range.end as usize)?;
    Some(Bytes::from_owner(ImagePart {
        bytes,
        _permit: permit,
    }))
}

/// Bytes of an image, owned, within the budget.
struct ImagePart {
    bytes: SharedBytes,
    _permit: std::sync::Arc<Permit>,
}

impl AsRef<[u8]> for ImagePart {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}
