//! What the engine serves: something with writes to be done.

use std::io;

use crate::disk::Queue;

/// Marks a client's writes, so that their completions find back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    pub(crate) fn new(client: u32, op: u32) -> Self {
        Self(u64::from(client) << 32 | u64::from(op))
    }

    pub(crate) fn of(raw: u64) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    pub(crate) fn client(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn op(self) -> u32 {
        self.0 as u32
    }
}

/// One log's persister, as the engine's loop sees it. All calls come from the engine's thread, in
/// this order, again and again: completions, `turn`, (the submission), `settle`.
pub(crate) trait Client {
    /// The first call: `id` marks its tokens.
    fn attach(&mut self, id: u32, queue: &mut dyn Queue);

    /// A write ended.
    fn complete(&mut self, op: u32, result: io::Result<()>);

    /// Decides what to write next, and pushes it.
    fn turn(&mut self, queue: &mut dyn Queue);

    /// Everything that can wait until the disk is busy again: waking, zeroing. Says whether there
    /// is more to do at once.
    fn settle(&mut self, queue: &mut dyn Queue) -> bool;

    /// The engine is about to sleep: asks to be woken by whatever makes work. Says whether there
    /// is work already.
    fn arm(&mut self) -> bool;

    /// When it wants a turn without being woken, on the disk's monotonic clock.
    fn deadline_ns(&self) -> Option<u64>;

    /// The queue itself failed: nothing will complete any more.
    fn queue_failed(&mut self, error: &io::Error);

    /// Whether the client is through, and can be dropped.
    fn is_finished(&self) -> bool;
}
