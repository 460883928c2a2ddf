//! What an entry says, for people.

use std::fmt;

use crate::store::entry::Entry;
use crate::store::id::StreamId;

/// What a record of a store's log says. As text: the kind, and what follows from its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// What it is: `append`, `create`, and so on, as `docs/format.md` has them.
    pub kind: String,
    /// The slot of the stream that it is about, and how many streams had that before.
    pub stream: Option<(u32, u32)>,
    /// How many offsets it takes, if it is a record of a stream.
    pub count: u32,
    /// An offset, or another number; what the kind says.
    pub offset: Option<u64>,
    /// A record's key, or a name, group, or key of the table.
    pub key: Option<Vec<u8>>,
    /// The conditions: the stream's next offset, a token, a key's version.
    pub conditions: [Option<u64>; 3],
    /// Bytes of its payload.
    pub payload_bytes: usize,
}

impl EntryInfo {
    /// Reads the payload of a record of a store's log; `None` for one that is no entry.
    #[must_use]
    pub fn of(payload: &[u8]) -> Option<Self> {
        let entry = Entry::parse(payload)?;
        let of_stream = entry.stream != StreamId::NONE;
        Some(Self {
            kind: format!("{:?}", entry.kind).to_lowercase(),
            stream: of_stream.then(|| (entry.stream.slot(), entry.stream.generation())),
            count: entry.count,
            offset: entry.offset,
            key: entry.key.map(<[u8]>::to_vec),
            conditions: [entry.if_next, entry.if_fence, entry.if_version],
            payload_bytes: entry.payload.len(),
        })
    }
}

impl fmt::Display for EntryInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some((slot, generation)) = self.stream {
            write!(f, " stream {slot}/{generation}")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {:?}", String::from_utf8_lossy(key))?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at {offset}")?;
        }
        if self.count != 1 {
            write!(f, " of {} offsets", self.count)?;
        }
        for (what, condition) in ["next", "token", "version"].iter().zip(self.conditions) {
            if let Some(condition) = condition {
                write!(f, " if {what} is {condition}")?;
            }
        }
        write!(f, ", {} bytes", self.payload_bytes)
    }
}
