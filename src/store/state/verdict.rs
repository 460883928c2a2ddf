//! What the pass decides about an entry.

/// What became of an entry that stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was applied: the offset that its record got, the version of a table's value, and 0 for
    /// what has neither.
    Applied(u64),
    /// It was there already.
    Duplicate(Duplicate),
    /// It changes nothing.
    Refused(Refusal),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BatchVerdict {
    /// All of it was applied: what each item got.
    Applied(Box<[u64]>),
    /// Item `item` was there already, and so the batch.
    Duplicate { item: u32, duplicate: Duplicate },
    /// Item `item` was refused, and so the batch.
    Refused { item: u32, refusal: Refusal },
}

/// What was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duplicate {
    /// The first offset that it got then.
    pub(crate) offset: u64,
}

/// Why an entry changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The stream was deleted.
    NoStream,
    /// There is a stream of this name.
    Exists,
    /// The stream's next offset is another one.
    Conflict { next: u64 },
    /// The producer's next sequence number is another one.
    OutOfOrder { expected: u32 },
    /// The producer is at a later epoch.
    FencedEpoch { epoch: u32 },
    /// The stream has a higher token.
    Fenced { token: u64 },
    /// The key has another version; 0 for none.
    Version { version: u64 },
    /// The offset is not one of the stream's, whose first and next are these.
    Range { start: u64, next: u64 },
    /// There is no such record, cursor, key or producer.
    Absent,
    /// The entry makes no sense: another version wrote it, or a bug.
    Invalid,
}
