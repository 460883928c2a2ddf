//! The work itself: what threads do with a queue, how long it takes them, and whether all arrived.

pub mod bytes;
mod crew;
pub mod fan;
pub mod idle;
pub mod latency;
pub mod share;

pub use crew::Plan;

/// Items in a batch.
pub const BATCH: usize = 256;

/// How items are put and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One by one on both sides.
    One,
    /// Put one by one, taken as many at a time as there are, up to a batch.
    Drain,
    /// In batches on both sides.
    Batch,
}
