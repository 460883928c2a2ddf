//! Reading an image: a walk over its committed frames, under a pin.
//!
//! A walk stands at a frame boundary, always: it begins at the image's first frame and moves by
//! committed frames only. Everything it has passed is committed, so final, and may be borrowed
//! while the pin is held. Nobody waits for a walk: while it holds no pin, the memory may go, and
//! the next try to hold it says so.
//!
//! What is on disk is committed, too, and need not be walked over: [`ImageWalk::settled`] lets all
//! of it be borrowed at once, for who can tell by checksums what lies there.
//!
//! Progress: wait-free.

use std::ops::Range;
use std::sync::Arc;

use crate::log::core::{Core, Segment};
use crate::log::frame;
use crate::log::tail::image::Image;

/// A walk over the frames of a segment in memory.
pub(crate) struct ImageWalk {
    image: Arc<Image>,
    held: bool,
    /// Where frames begin and end in the image.
    first: usize,
    end: usize,
    /// A frame boundary; all between `first` and here is committed.
    at: usize,
    /// All between `first` and here is committed, too; no boundary.
    settled: usize,
}

impl ImageWalk {
    /// A walk at the image's first frame; `None` when the segment is not in memory. Holds no
    /// pin yet.
    pub(crate) fn new(segment: &Segment) -> Option<Self> {
        let image = segment.image()?;
        let (first, end) = (image.first(), segment.header.frames().end as usize);
        Some(Self {
            image,
            held: false,
            first,
            end,
            at: first,
            settled: first,
        })
    }

    /// A walk that holds its pin, and what of the segment is on disk: that may be borrowed as if
    /// it had been passed. `None` when the segment is not in memory.
    pub(crate) fn settled(core: &Core, ordinal: u64) -> Option<(Self, Range<usize>)> {
        let segment = core.segments.read().get(ordinal).cloned()?;
        let mut walk = Self::new(&segment)?;
        if !walk.hold() {
            return None;
        }
        // ORDERING: the acquire in `durable` pairs with the persister's release: it saw these
        // frames committed before it wrote them, and moved the watermark after that.
        let durable = core.durable();
        let limit = if durable.segment() > ordinal {
            // What a truncation cut off is nobody's.
            segment.end_bytes().unwrap_or(u64::MAX)
        } else if durable.segment() == ordinal {
            durable.offset_bytes()
        } else {
            0
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        walk.settled = limit.clamp(walk.first, walk.end);
        let range = walk.first..walk.settled;
        Some((walk, range))
    }

    /// Pins the memory, if that is not so yet; `false` when it is gone.
    #[inline]
    pub(crate) fn hold(&mut self) -> bool {
        if !self.held {
            self.held = self.image.pin();
        }
        self.held
    }

    /// Gives the pin back. What was borrowed ended before: this takes the walk mutably.
    #[inline]
    pub(crate) fn release(&mut self) {
        if std::mem::take(&mut self.held) {
            self.image.unpin();
        }
    }

    /// Whether what begins at `offset` of the segment can be in this image.
    #[inline]
    pub(crate) fn covers(&self, offset: u64) -> bool {
        offset >= self.first as u64
    }

    /// The frame boundary where the walk stands, in bytes of the segment.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The committed frame where the walk stands, up to where the next one begins. `None` while
    /// nothing is committed there, at the end of the segment, and when the pin is not held.
    #[inline]
    pub(crate) fn frame(&self) -> Option<&[u8]> {
        let len = self.frame_bytes()?;
        // SAFETY: (1) `frame_bytes` saw it committed; (2) the pin is held, and giving it back
        // needs the walk mutably, which the returned borrow excludes.
        Some(unsafe { self.image.bytes(self.at..self.at + len) })
    }

    #[inline]
    fn frame_bytes(&self) -> Option<usize> {
        if !self.held || self.at >= self.end {
            return None;
        }
        // `at` is a frame boundary, so that this word is never a record's payload.
        frame::committed_bytes(self.image.committed(self.at))
    }

    /// Moves over the committed frame; says whether there was one.
    #[inline]
    pub(crate) fn advance(&mut self) -> bool {
        match self.frame_bytes() {
            Some(len) => {
                self.at += len;
                true
            }
            None => false,
        }
    }

    /// Moves on until the next frame would begin beyond `offset`, or is not committed.
    pub(crate) fn advance_to(&mut self, offset: usize) {
        while let Some(len) = self.frame_bytes() {
            if self.at + len > offset {
                return;
            }
            self.at += len;
        }
    }

    /// Goes back to the image's first frame.
    pub(crate) fn rewind(&mut self) {
        self.at = self.first;
    }

    /// Bytes that the walk has passed, or that are on disk.
    ///
    /// # Panics
    ///
    /// When they are neither, or when the pin is not held: bugs of the caller's.
    #[inline]
    pub(crate) fn passed(&self, range: Range<usize>) -> &[u8] {
        assert!(self.held && self.may_be_borrowed(&range));
        // SAFETY: (1) everything from `first` to `at` was seen committed by this walk; everything
        // up to `settled` was on disk, so the persister (or whoever opened the log, from the file)
        // saw it committed before it moved the watermark that this walk saw; (2) as in `frame`.
        unsafe { self.image.bytes(range) }
    }

    #[inline]
    fn may_be_borrowed(&self, range: &Range<usize>) -> bool {
        self.first <= range.start && range.end <= self.at.max(self.settled)
    }

    /// Bytes that the walk has passed, kept by a pin of their own. `None` when the image is on its
    /// way out: then the caller copies.
    pub(crate) fn share(&self, range: Range<usize>) -> Option<SharedBytes> {
        assert!(self.held && self.may_be_borrowed(&range));
        self.image.pin().then(|| SharedBytes {
            image: Arc::clone(&self.image),
            range,
        })
    }

    /// How much memory a pin keeps, in bytes.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        self.image.bytes_total()
    }
}

impl Drop for ImageWalk {
    fn drop(&mut self) {
        self.release();
    }
}

impl std::fmt::Debug for ImageWalk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageWalk")
            .field("image", &self.image)
            .field("at", &self.at)
            .finish()
    }
}

/// Committed bytes of an image, owned: the image is pinned for as long as they live.
pub(crate) struct SharedBytes {
    image: Arc<Image>,
    range: Range<usize>,
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: (1) a walk had passed the range, or it was on disk; (2) the pin is `self`'s until it drops.
        unsafe { self.image.bytes(self.range.clone()) }
    }
}

impl Drop for SharedBytes {
    fn drop(&mut self) {
        self.image.unpin();
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;
    use crate::disk::Region;
    use crate::log::core::Summary;
    use crate::log::frame::{self as frames, OWNED_FROM, Shape};
    use crate::log::position::Position;
    use crate::log::read::testing;

    /// Commits records of these payloads, one behind the other.
    fn fill(segment: &Segment, payloads: &[&[u8]]) {
        let image = segment.image().unwrap();
        let mut at = segment.header.frames().start as usize;
        for payload in payloads {
            let len = frames::HEADER_BYTES + payload.len();
            let mut bytes = vec![0; len];
            bytes[frames::HEADER_BYTES..].copy_from_slice(payload);
            let position = Position::new(segment.ordinal(), at as u64);
            let owned = &mut bytes[OWNED_FROM..];
            let word = frames::finish_record(image.seed(), position, owned, Shape::default());
            // SAFETY: nobody else claims in this test; nothing here is committed yet.
            unsafe { image.claimed(at + OWNED_FROM..at + len) }.copy_from_slice(owned);
            image.commit(at, word);
            at += frames::aligned(len);
        }
    }

    fn segment() -> Arc<Segment> {
        let header = testing::header(1);
        let memory = Arc::new(Region::new(header.segment_bytes as usize).unwrap());
        let image = Arc::new(Image::new(1, header.seed(), memory, header.frames().start));
        Segment::new(header, None, false, Some(image), Summary::default())
    }

    #[test]
    fn walks_over_what_is_committed() {
        let segment = segment();
        fill(&segment, &[b"one", b"", b"three"]);
        let mut walk = ImageWalk::new(&segment).unwrap();
        assert!(walk.frame().is_none(), "nothing without a pin");
        assert!(walk.hold());
        assert_eq!(walk.frame().unwrap().len(), 24);
        while walk.advance() {}
        assert_eq!(walk.at(), 4096 + 24 + 16 + 24);
        assert!(walk.frame().is_none());
        assert_eq!(&walk.passed(4096 + 16..4096 + 19), b"one");
        walk.rewind();
        walk.advance_to(4096 + 24 + 8);
        assert_eq!(
            walk.at(),
            4096 + 24,
            "stops at the frame that contains the offset"
        );
    }

    #[test]
    fn memory_goes_from_under_a_walk_without_a_pin_only() {
        let segment = segment();
        fill(&segment, &[b"kept"]);
        let image = segment.image().unwrap();
        let mut walk = ImageWalk::new(&segment).unwrap();
        assert!(walk.hold() && walk.advance());
        let shared = walk.share(4096 + 16..4096 + 20).unwrap();
        assert!(image.retire().is_none(), "two pins keep it");
        assert!(walk.share(4096 + 16..4096 + 20).is_none(), "no new pin");
        walk.release();
        assert!(!walk.hold());
        assert_eq!(shared.as_ref(), b"kept");
        assert!(image.memory().is_some());
        drop(shared);
        assert!(image.memory().is_none(), "the last pin freed it");
    }

    #[test]
    #[should_panic(expected = "may_be_borrowed")]
    fn what_was_not_passed_cannot_be_borrowed() {
        let segment = segment();
        let mut walk = ImageWalk::new(&segment).unwrap();
        walk.hold();
        walk.passed(4096..4104);
    }
}
