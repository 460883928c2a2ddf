//! What a reader waits for.

use crate::log::core::Core;
use crate::log::position::Position;
use crate::sync::waiters::Waiters;

/// What must happen before there can be a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    queue: Queue,
    pub(crate) value: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Durable,
    Committed,
    Gate,
}

impl Need {
    /// Everything before `position`, and more, must be on disk.
    pub(super) fn durable_beyond(position: Position) -> Self {
        Self {
            queue: Queue::Durable,
            value: position.to_u64() + 1,
        }
    }

    pub(super) fn durable(end: Position) -> Self {
        Self {
            queue: Queue::Durable,
            value: end.to_u64(),
        }
    }

    pub(super) fn committed(position: Position) -> Self {
        Self {
            queue: Queue::Committed,
            value: position.to_u64(),
        }
    }

    /// The gate must lie beyond `position`.
    pub(super) fn gate_beyond(position: Position) -> Self {
        Self {
            queue: Queue::Gate,
            value: position.to_u64() + 1,
        }
    }

    pub(super) fn gate(end: Position) -> Self {
        Self {
            queue: Queue::Gate,
            value: end.to_u64(),
        }
    }

    /// Those who wait for the same.
    pub(crate) fn waiters(self, core: &Core) -> &Waiters {
        match self.queue {
            Queue::Durable => &core.durable_waiters,
            Queue::Committed => &core.committed_waiters,
            Queue::Gate => &core.gate_waiters,
        }
    }
}
