//! How streams and cursors stand, as they are told.

use std::time::Duration;

use crate::store::config::StreamConfig;
use crate::store::state::cursors::Cursor;
use crate::store::state::stream::StreamState;

/// How a stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// Rises when it is cut off; no two streams of a store ever have the same.
    pub incarnation: u64,
    /// Its first offset.
    pub first: u64,
    /// The offset that the next record gets.
    pub next: u64,
    /// Bytes of its records' payloads; what lies in one segment counts until all of it is gone, or what is
    /// left was moved.
    pub bytes: u64,
    /// Its fencing token.
    pub fence: u64,
    /// How many producers it remembers.
    pub producers: usize,
    /// How many message ids it remembers.
    pub message_ids: usize,
    /// How many bytes its records' payloads may take; `None` for any.
    pub quota_bytes: Option<u64>,
    /// The oldest go when the rest still has so many bytes.
    pub retain_bytes: Option<u64>,
    /// Records go when they were written so long ago.
    pub retain_age: Option<Duration>,
    /// Whether they go as soon as every cursor that holds has passed them.
    pub retain_unacknowledged: bool,
    /// Whether of those with the same key only the latest is kept.
    pub latest_by_key: bool,
    /// The opaque configuration.
    pub opaque: Vec<u8>,
    /// How far each group has come.
    pub cursors: Vec<CursorInfo>,
}

/// How far a group has come in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorInfo {
    /// The group.
    pub group: String,
    /// Everything before is done.
    pub offset: u64,
    /// What is done behind it, out of order.
    pub done: Vec<std::ops::Range<u64>>,
    /// How many offsets are not done.
    pub lag: u64,
    /// Whether retention waits for it.
    pub holds: bool,
    /// Whatever was given with it.
    pub metadata: Vec<u8>,
}

pub(crate) fn stream_info(stream: &StreamState) -> StreamInfo {
    let rare = stream.rare.as_deref();
    let unset = StreamConfig::default();
    let config = rare.map_or(&unset, |rare| &rare.config);
    let bound = |set: u64| Some(set).filter(|set| *set != u64::MAX);
    StreamInfo {
        name: stream.name.to_string(),
        incarnation: stream.incarnation,
        first: stream.start,
        next: stream.next,
        bytes: stream.bytes,
        fence: stream.fence,
        producers: rare.map_or(0, |rare| rare.producers.len()),
        message_ids: rare.map_or(0, |rare| rare.messages.len()),
        quota_bytes: bound(config.quota_bytes),
        retain_bytes: bound(config.retain_bytes),
        retain_age: bound(config.retain_age_ns).map(Duration::from_nanos),
        retain_unacknowledged: config.retain_unacknowledged,
        latest_by_key: config.latest_by_key,
        opaque: config.opaque.to_vec(),
        cursors: rare.map_or(Vec::new(), |rare| {
            let cursors = rare.cursors.0.iter();
            cursors
                .map(|(group, cursor)| cursor_info(group, cursor, stream.next))
                .collect()
        }),
    }
}

pub(crate) fn cursor_of(stream: &StreamState, group: &str) -> Option<CursorInfo> {
    let rare = stream.rare.as_deref();
    let cursor = rare.and_then(|rare| rare.cursors.0.get_key_value(group));
    cursor.map(|(group, cursor)| cursor_info(group, cursor, stream.next))
}

fn cursor_info(group: &str, cursor: &Cursor, next: u64) -> CursorInfo {
    let done: u64 = cursor.done.iter().map(|(from, to)| to - from).sum();
    CursorInfo {
        group: group.to_string(),
        offset: cursor.offset,
        done: cursor.done.iter().map(|(from, to)| *from..*to).collect(),
        lag: next.saturating_sub(cursor.offset) - done,
        holds: cursor.hold,
        metadata: cursor.metadata.to_vec(),
    }
}
