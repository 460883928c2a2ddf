//! Reads in depth: several on their way at once, each into a buffer of its own.
//!
//! A [`ReadQueue`] takes a [`Read`] with its buffer and gives the buffer back with the result, so
//! that nobody can touch memory that the kernel may still write to: not a caller who gives up, and
//! not one who drops the queue. Reads complete in any order.
//!
//! Nothing of it returns an error but a read: whatever keeps a queue from its best way is answered
//! by plain calls, and a queue that was taken through a fork goes on by them, too.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{AlignedBuf, BackendKind, File, Rung};

/// One read: bytes of a file into a part of a buffer.
#[derive(Debug)]
pub struct Read {
    /// The file.
    pub file: Arc<dyn File>,
    /// Where in the file, in bytes, a multiple of the block size.
    pub file_offset: u64,
    /// The memory; it comes back with the completion.
    pub buffer: AlignedBuf,
    /// Where in the buffer, in bytes, both ends multiples of the block size. No other bytes of
    /// the buffer are touched.
    pub range: Range<usize>,
    /// Given back with the completion.
    pub token: u64,
}

impl Read {
    pub(crate) fn target(&mut self) -> io::Result<&mut [u8]> {
        self.buffer.get_mut(self.range.clone()).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a read beyond the end of its buffer",
            )
        })
    }

    pub(crate) fn done(self, result: io::Result<usize>) -> ReadDone {
        ReadDone {
            token: self.token,
            buffer: self.buffer,
            result,
        }
    }
}

/// A read that ended.
#[derive(Debug)]
pub struct ReadDone {
    /// The read's token.
    pub token: u64,
    /// The read's memory.
    pub buffer: AlignedBuf,
    /// How many bytes were read, from the begin of the read's range: all of them, or fewer where
    /// the file ends. Short reads are continued below this interface.
    pub result: io::Result<usize>,
}

/// Reads in depth, for one user at a time, who may change threads between any two calls.
///
/// Dropping a queue waits for the reads that the kernel was given; the others are not made.
pub trait ReadQueue: fmt::Debug + Send + Sync {
    /// Which rung of the ladder this queue stands on, and why not on a higher one. Memory is never
    /// registered: it comes and goes.
    fn rung(&self) -> Rung;

    /// Adds a read to the next submission.
    fn push(&mut self, read: Read);

    /// Lets what was pushed begin, where reads go on by themselves.
    fn submit(&mut self);

    /// Collects what is done, without waiting.
    fn reap(&mut self, done: &mut Vec<ReadDone>);

    /// Submits what was pushed, and sleeps until something can be reaped. Returns at once when
    /// nothing is outstanding.
    fn wait(&mut self);

    /// The number of reads pushed and not yet reaped.
    fn outstanding(&self) -> usize;
}

/// Reads by plain calls: one after the other, in order, each when it is waited for. So whoever asks
/// for more than is needed at once does not wait for that.
#[derive(Debug)]
pub(crate) struct PlainReads {
    rung: Rung,
    pushed: VecDeque<Read>,
    done: Vec<ReadDone>,
}

impl PlainReads {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            rung: Rung::new(BackendKind::Posix, false, Some(reason.into())),
            pushed: VecDeque::new(),
            done: Vec::new(),
        }
    }

    /// Takes over what ended already on another queue.
    pub(crate) fn adopt(&mut self, mut done: Vec<ReadDone>) {
        self.done.append(&mut done);
    }
}

impl ReadQueue for PlainReads {
    fn rung(&self) -> Rung {
        self.rung.clone()
    }

    fn push(&mut self, read: Read) {
        self.pushed.push_back(read);
    }

    fn submit(&mut self) {}

    fn reap(&mut self, done: &mut Vec<ReadDone>) {
        done.append(&mut self.done);
    }

    fn wait(&mut self) {
        if self.done.is_empty() {
            self.done.extend(self.pushed.pop_front().map(carry_out));
        }
    }

    fn outstanding(&self) -> usize {
        self.pushed.len() + self.done.len()
    }
}

/// Reads now, by the file's own call.
pub(crate) fn carry_out(mut read: Read) -> ReadDone {
    let (file, offset) = (Arc::clone(&read.file), read.file_offset);
    let result = read.target().and_then(|bytes| file.read_at(bytes, offset));
    read.done(result)
}
