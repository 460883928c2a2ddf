//! Entry points for the fuzzers. No part of the library's interface: they may change at any time.
//!
//! Each function takes any bytes at all, reads them as a test case, and panics when the library
//! breaks a promise. The targets under `fuzz/` call them, and so does the test that replays the
//! committed corpora on a stable compiler.

mod frame;
mod operations;

pub use frame::frame;
pub use operations::operations;

/// A test case's bytes, used up from the front. What is missing reads as zero, so that every
/// prefix of a case is a case, and the fuzzer can shorten freely.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    fn u64(&mut self) -> u64 {
        (0..8).fold(0, |number, i| number | u64::from(self.byte()) << (8 * i))
    }

    /// The next `len` bytes, or what is left.
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(len.min(self.0.len()));
        self.0 = tail;
        head
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
