//! Why a ring took no item, or gave none.

use std::fmt;

use thiserror::Error;

/// Why a ring took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no room now.
    #[error("the ring is full")]
    Full,
    /// There was no room until the deadline.
    #[error("the ring stayed full until the deadline")]
    TimedOut,
    /// The ring is closed.
    #[error("the ring is closed")]
    Closed,
    /// More was asked for at once than the ring holds when it is empty.
    #[error("more than the ring can ever hold at once")]
    TooLarge,
}

/// An item that was not sent, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T> {
    /// The item, unchanged.
    pub item: T,
    /// Why it was not sent.
    pub why: Refused,
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Why a ring gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// There is nothing now.
    #[error("the ring is empty")]
    Empty,
    /// There was nothing until the deadline.
    #[error("the ring stayed empty until the deadline")]
    TimedOut,
    /// The ring is closed, and everything that was inside has been received.
    #[error("the ring is closed and empty")]
    Closed,
}
