//! Putting entries into the log, in four forms.

use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::log::{Log, Ticket};
use crate::store::entry::Entry;

/// How an entry waits for room in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    Try,
    Block,
    Until(Instant),
}

/// Puts one entry into the log.
#[inline]
pub(crate) fn one(log: &Log, entry: &Entry<'_>, patience: Patience) -> Result<Ticket<'static>> {
    let bytes = entry.bytes();
    let fill = |place: &mut [u8]| entry.write(place);
    let ticket = match patience {
        Patience::Block => log.append_with(bytes, fill),
        Patience::Try => log.try_append_with(bytes, fill),
        Patience::Until(deadline) => log.append_with_deadline(bytes, deadline, fill),
    };
    ticket.map(Ticket::into_owned)
}

/// The same, awaiting room.
pub(crate) async fn one_async(log: &Log, entry: &Entry<'_>) -> Result<Ticket<'static>> {
    let bytes = entry.bytes();
    let ticket = log.append_with_async(bytes, |place| entry.write(place));
    ticket.await.map(Ticket::into_owned)
}

/// Puts entries into the log that are judged together.
pub(crate) fn many(log: &Log, entries: &[Vec<u8>], patience: Patience) -> Result<Ticket<'static>> {
    let ticket = match (entries, patience) {
        ([entry], Patience::Block) => log.append(entry),
        ([entry], Patience::Try) => log.try_append(entry),
        ([entry], Patience::Until(deadline)) => log.append_deadline(entry, deadline),
        (_, Patience::Block) => log.append_batch(entries),
        (_, Patience::Try) => log.try_append_batch(entries),
        (_, Patience::Until(deadline)) => log.append_batch_deadline(entries, deadline),
    };
    ticket.map(Ticket::into_owned)
}

/// The same, awaiting room.
pub(crate) async fn many_async(log: &Log, entries: &[Vec<u8>]) -> Result<Ticket<'static>> {
    let ticket = match entries {
        [entry] => log.append_async(entry).await,
        _ => log.append_batch_async(entries).await,
    };
    ticket.map(Ticket::into_owned)
}

/// The names that verdicts are told with.
pub(crate) type Names = Arc<[Option<Arc<str>>]>;
