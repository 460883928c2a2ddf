//! Why a lossy ring gave nothing, and what it has been through.

use thiserror::Error;

use crate::ring::Waits;

/// Why a receiver got nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// There is nothing now.
    #[error("the ring is empty")]
    Empty,
    /// There was nothing until the deadline.
    #[error("the ring stayed empty until the deadline")]
    TimedOut,
    /// The ring is closed, and this receiver has seen all that was inside.
    #[error("the ring is closed and empty")]
    Closed,
    /// So many items were overwritten before this receiver saw them. It goes on behind them.
    #[error("{0} items were overwritten before they were received")]
    Missed(u64),
}

/// So many items were overwritten before an iterator came to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("{0} items were overwritten before they were received")]
pub struct Missed(pub u64);

/// What a lossy ring has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Items that the ring has room for.
    pub capacity: usize,
    /// Receivers that there are.
    pub receivers: usize,
    /// Items that were sent since the ring was made.
    pub sent: u64,
    /// Items that receivers missed, all of them together: it counts what they were told.
    pub missed: u64,
    /// How often receivers waited for items.
    pub waits: Waits,
}
