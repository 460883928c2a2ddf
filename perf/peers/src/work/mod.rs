//! The work itself: what threads do with a queue, how long it takes them, and whether all arrived.

pub mod bytes;
mod crew;
pub mod fan;
pub mod idle;
pub mod latency;
pub mod share;

use crate::item::Order;

pub use crew::Plan;

/// How fast items went, all of which arrived once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub per_second: f64,
    pub order: Order,
}

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
