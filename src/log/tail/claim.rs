//! A granted claim: exclusive bytes of an image, to be committed or padded.
//!
//! A claim that is dropped becomes padding, also when its fill panics. One that is forgotten stops
//! everything behind it. It cannot change threads: a pending task would hold up the whole log.

use std::marker::PhantomData;

use crate::log::frame::{self, CHECKPOINT_BYTES, Checkpoint, OWNED_FROM, PAD_BYTES_MIN, Shape};
use crate::log::position::Position;
use crate::log::tail::image::Image;

/// Space in an image that belongs to this claim alone.
pub(crate) struct Claimed<'a> {
    image: &'a Image,
    offset: usize,
    /// What was claimed, a multiple of 8.
    len: usize,
    done: bool,
    /// Not `Send`: see the module's head.
    _local: PhantomData<*mut ()>,
}

impl<'a> Claimed<'a> {
    pub(super) fn new(image: &'a Image, offset: usize, len: usize) -> Self {
        Self {
            image,
            offset,
            len,
            done: false,
            _local: PhantomData,
        }
    }

    /// Where the claim lies.
    #[inline]
    pub(crate) fn position(&self) -> Position {
        Position::new(self.image.ordinal(), self.offset as u64)
    }

    /// Where the claim ends.
    #[inline]
    pub(crate) fn end(&self) -> Position {
        Position::new(self.image.ordinal(), (self.offset + self.len) as u64)
    }

    /// The bytes that were claimed.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The body of the record's frame, for filling. `shape` and `len` as for [`Claimed::commit`].
    #[inline]
    pub(crate) fn body_mut(&mut self, shape: Shape, body_bytes: usize) -> &mut [u8] {
        let begin = self.offset + shape.header_bytes();
        debug_assert!(begin + body_bytes <= self.offset + self.len);
        // SAFETY: (1) the range is claimed by `self` and not committed, and borrowed from `self`
        // mutably; (2) an open claim keeps the memory.
        unsafe { self.image.claimed(begin..begin + body_bytes) }
    }

    /// The body, for looking at what was filled.
    #[inline]
    pub(crate) fn body(&self, shape: Shape, body_bytes: usize) -> &[u8] {
        let begin = self.offset + shape.header_bytes();
        debug_assert!(begin + body_bytes <= self.offset + self.len);
        // SAFETY: (1) claimed by `self`, and borrowed from it: no mutable borrow lives beside it;
        // nobody else reads or writes it. (2) an open claim keeps the memory.
        unsafe { self.image.bytes(begin..begin + body_bytes) }
    }

    /// Lets the claim go without a trace: in a forked child, where it is not this process's.
    pub(crate) fn forget(mut self) {
        self.done = true;
    }

    /// Commits the frame of a record or batch whose body was filled.
    #[inline]
    pub(crate) fn commit(mut self, shape: Shape, body_bytes: usize) {
        let len = shape.header_bytes() + body_bytes;
        debug_assert_eq!(frame::aligned(len), self.len);
        let at = self.position();
        // SAFETY: (1) claimed by `self`, which no borrow outlives; (2) an open claim keeps the
        // memory.
        let owned = unsafe {
            self.image
                .claimed(self.offset + OWNED_FROM..self.offset + len)
        };
        let commit = frame::finish_record(self.image.seed(), at, owned, shape);
        self.done = true;
        self.image.commit(self.offset, commit);
    }

    /// Commits a checkpoint at the begin of the claim, and padding over the rest of it.
    pub(crate) fn checkpoint(mut self, checkpoint: &Checkpoint) {
        debug_assert!(self.len >= CHECKPOINT_BYTES);
        let seed = self.image.seed();
        let rest = Self {
            image: self.image,
            offset: self.offset + CHECKPOINT_BYTES,
            len: self.len - CHECKPOINT_BYTES,
            done: false,
            _local: PhantomData,
        };
        self.len = CHECKPOINT_BYTES;
        // Back to front, so that a scan that sees the checkpoint sees the padding, too.
        rest.pad();
        let at = self.position();
        // SAFETY: (1) claimed by `self`, and `rest` is another range; (2) as everywhere here.
        let owned = unsafe {
            self.image
                .claimed(self.offset + OWNED_FROM..self.offset + CHECKPOINT_BYTES)
        };
        let owned = owned.try_into().expect("a checkpoint's length");
        let commit = frame::write_checkpoint(seed, at, owned, checkpoint);
        self.done = true;
        self.image.commit(self.offset, commit);
    }

    /// Commits the claim as padding. Its bytes are zero, or made so.
    pub(crate) fn pad(mut self) {
        self.pad_in_place(PAD_BYTES_MIN);
    }

    /// `filled_bytes`: what may not be zero any more.
    fn pad_in_place(&mut self, filled_bytes: usize) {
        self.done = true;
        if self.len == 0 {
            return;
        }
        let filled = filled_bytes.min(self.len);
        // SAFETY: (1) claimed by `self`, which is at its end; (2) an open claim keeps the memory.
        let owned = unsafe {
            self.image
                .claimed(self.offset + OWNED_FROM..self.offset + filled)
        };
        owned.fill(0);
        let (commit, crc) = frame::finish_pad(self.image.seed(), self.position(), self.len);
        owned[..4].copy_from_slice(&crc);
        self.image.commit(self.offset, commit);
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.pad_in_place(self.len);
        }
    }
}
