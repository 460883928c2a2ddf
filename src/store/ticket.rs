//! Tickets of a store: accepted now, applied soon, durable when the disk has it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::log::{Position, Ticket};
use crate::store::Inner;
use crate::store::id::StreamId;
use crate::store::pass::Outcome;
use crate::store::state::verdict::{BatchVerdict, Refusal, Verdict};
use crate::store::state::{Known, State};

/// What an append became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The record's offset in its stream; the first of those that it takes.
    pub offset: u64,
    /// Whether it was there already: the offset is that of the first time.
    pub duplicate: bool,
}

/// What a batch became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// What each item got, in their order: a record its offset, a key its version, a stream that was
    /// made its number, and 0 what has neither. Empty for a duplicate.
    pub results: Vec<u64>,
    /// The item that was there already, and its offset then: nothing of the batch was applied again.
    pub duplicate: Option<(usize, u64)>,
}

/// The receipt of something that was put into a store's log.
///
/// It was *accepted*. Soon it is *applied*: its place in the order is known, and with it its offset, or
/// why it changes nothing. Then it is *durable*. A verdict that was not durable yet when the machine
/// failed was never given: what was only accepted may be there after that or not, never in part.
///
/// Dropping a ticket changes nothing but that nobody learns of the verdict.
#[must_use = "whether it was applied is told by its ticket alone"]
pub struct StoreTicket<T> {
    pub(crate) store: Arc<Inner>,
    pub(crate) ticket: Ticket<'static>,
    pub(crate) asks: Asks,
    pub(crate) reads: fn(Answer) -> Result<T>,
}

/// How the verdict is found.
#[derive(Debug, Clone)]
pub(crate) enum Asks {
    /// A record without conditions: the index knows it.
    Index(StreamId),
    /// The pass tells it. The names are for messages.
    Told { streams: Arc<[Option<Arc<str>>]> },
}

/// A verdict, and whom it is about.
pub(crate) struct Answer {
    outcome: Outcome,
    streams: Arc<[Option<Arc<str>>]>,
}

impl<T> StoreTicket<T> {
    /// Where in the log it lies.
    #[must_use]
    pub fn position(&self) -> Position {
        self.ticket.position()
    }

    /// What it became, if it was applied already, durable or not.
    ///
    /// # Errors
    ///
    /// Those of [`StoreTicket::applied`].
    pub fn try_applied(&self) -> Result<Option<T>> {
        match self.judged() {
            Some(judged) => judged.and_then(|()| self.verdict()).map(Some),
            None => Ok(None),
        }
    }

    /// Whether it is on disk, or never will be. Wait-free.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.ticket.is_done()
    }

    /// Blocks until it is applied, durable or not: a crash may still undo it.
    ///
    /// # Errors
    ///
    /// Why it changed nothing, or what ended the store before it was judged: then it is indeterminate.
    pub fn applied(&self) -> Result<T> {
        self.applied_until(None)
    }

    /// Blocks until it is applied and durable.
    ///
    /// # Errors
    ///
    /// Those of [`StoreTicket::applied`].
    pub fn wait(&self) -> Result<T> {
        self.ticket.wait()?;
        self.applied_until(None)
    }

    /// The same for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`StoreTicket::wait`], and [`ErrorKind::TimedOut`]: it may still be applied.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<T> {
        let deadline = Instant::now().checked_add(timeout);
        self.ticket.wait_timeout(timeout)?;
        self.applied_until(deadline)
    }

    /// Awaits that it is applied and durable.
    ///
    /// # Errors
    ///
    /// Those of [`StoreTicket::wait`].
    pub async fn wait_async(&self) -> Result<T> {
        self.ticket.clone().await?;
        self.applied_async().await
    }

    /// Awaits that it is applied.
    ///
    /// # Errors
    ///
    /// Those of [`StoreTicket::applied`].
    pub async fn applied_async(&self) -> Result<T> {
        let end = self.ticket.end();
        let judged = || self.judged();
        if judged().is_none() {
            self.ticket.nudge();
        }
        let waiters = &self.store.shared.applied_waiters;
        waiters.wait_async(end.to_u64(), judged).await?;
        self.verdict()
    }

    fn applied_until(&self, deadline: Option<Instant>) -> Result<T> {
        if self.judged().is_none() {
            // While a write is on its way the one who persists may sleep.
            self.ticket.nudge();
        }
        let waiters = &self.store.shared.applied_waiters;
        let end = self.ticket.end().to_u64();
        match waiters.wait(end, deadline, || self.judged()) {
            Some(judged) => judged?,
            None => {
                return Err(Error::new(ErrorKind::TimedOut, "it is not applied yet")
                    .at_position(self.position())
                    .remedy("it may still be: wait again, or give it longer"));
            }
        }
        self.verdict()
    }

    /// Whether the pass has come by.
    fn judged(&self) -> Option<Result<()>> {
        let ended = self.store.shared.has_ended();
        if self.store.shared.applied() >= self.ticket.end() {
            return Some(Ok(()));
        }
        ended.then(|| {
            // The log ended before: what it says is why.
            self.ticket.wait()?;
            let error = Error::new(ErrorKind::Closed, "the store ended before it was applied");
            Err(error.at_position(self.position()))
        })
    }

    fn verdict(&self) -> Result<T> {
        let (outcome, streams) = match &self.asks {
            Asks::Index(id) => {
                let at = self.position();
                let judged =
                    |state: &State, known: &Known| state.verdict_of(*id, at, known).map(Ok);
                (Outcome::One(self.store.look(judged)?), [].into())
            }
            Asks::Told { streams } => {
                let told = self.store.shared.told.lock();
                let outcome = told.get(self.position()).cloned();
                let outcome = outcome.ok_or_else(|| {
                    Error::new(ErrorKind::NoRecord, "nothing was judged there")
                        .at_position(self.position())
                })?;
                (outcome, Arc::clone(streams))
            }
        };
        (self.reads)(Answer { outcome, streams })
    }
}

impl<T> Drop for StoreTicket<T> {
    fn drop(&mut self) {
        if let Asks::Told { .. } = self.asks {
            let mut told = self.store.shared.told.lock();
            let judged = self.store.shared.applied() >= self.ticket.end();
            told.forget(self.ticket.position(), judged);
        }
    }
}

impl<T> std::fmt::Debug for StoreTicket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreTicket")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Answer {
    fn refused(&self, item: usize, refusal: Refusal) -> Error {
        let name = self.streams.get(item).cloned().flatten();
        refusal.error(name.as_deref())
    }

    /// What became of one entry.
    fn one(&self) -> Result<Appended> {
        let applied = |offset, duplicate| Ok(Appended { offset, duplicate });
        match &self.outcome {
            Outcome::One(Verdict::Applied(got)) => applied(*got, false),
            Outcome::One(Verdict::Duplicate(duplicate)) => applied(duplicate.offset, true),
            Outcome::One(Verdict::Refused(refusal)) => Err(self.refused(0, *refusal)),
            Outcome::Batch(_) => Err(Error::new(ErrorKind::Invalid, "a batch lies there")),
        }
    }

    pub(crate) fn appended(self) -> Result<Appended> {
        self.one()
    }

    pub(crate) fn number(self) -> Result<u64> {
        Ok(self.one()?.offset)
    }

    pub(crate) fn done(self) -> Result<()> {
        self.one().map(|_| ())
    }

    pub(crate) fn committed(self) -> Result<Committed> {
        match &self.outcome {
            Outcome::Batch(BatchVerdict::Applied(results)) => Ok(Committed {
                results: results.to_vec(),
                duplicate: None,
            }),
            Outcome::Batch(BatchVerdict::Duplicate { item, duplicate }) => Ok(Committed {
                results: Vec::new(),
                duplicate: Some((*item as usize, duplicate.offset)),
            }),
            Outcome::Batch(BatchVerdict::Refused { item, refusal }) => {
                Err(self.refused(*item as usize, *refusal))
            }
            // A batch of one is an entry by itself.
            Outcome::One(_) => {
                let one = self.one()?;
                Ok(Committed {
                    results: if one.duplicate {
                        Vec::new()
                    } else {
                        vec![one.offset]
                    },
                    duplicate: one.duplicate.then_some((0, one.offset)),
                })
            }
        }
    }
}

impl Refusal {
    /// What the caller is told.
    pub(crate) fn error(self, stream: Option<&str>) -> Error {
        let stream = stream.map_or(String::new(), |name| format!(" of stream {name:?}"));
        match self {
            Self::NoStream => Error::new(ErrorKind::NoStream, "it was deleted")
                .remedy("create it again, and open it anew"),
            Self::Exists => {
                Error::new(ErrorKind::Exists, stream).remedy("open it, or take another name")
            }
            Self::Conflict { next } => Error::new(
                ErrorKind::Conflict,
                format!("the next offset{stream} is {next}"),
            )
            .remedy("read what others appended, and try again"),
            Self::OutOfOrder { expected } => Error::new(
                ErrorKind::OutOfOrder,
                format!("the producer's next record{stream} has the sequence number {expected}"),
            )
            .remedy("send what is missing first"),
            Self::FencedEpoch { epoch } => Error::new(
                ErrorKind::Fenced,
                format!("the producer{stream} is at epoch {epoch}"),
            )
            .remedy("somebody began anew under the same id: stop"),
            Self::Fenced { token } => {
                Error::new(ErrorKind::Fenced, format!("the token{stream} is {token}"))
                    .remedy("somebody took over: stop")
            }
            Self::Version { version: 0 } => Error::new(ErrorKind::Conflict, "the key is not there"),
            Self::Version { version } => Error::new(
                ErrorKind::Conflict,
                format!("the key has version {version}"),
            )
            .remedy("read it again"),
            Self::Range { start, next } => Error::new(
                ErrorKind::NoOffset,
                format!("the offsets{stream} are {start} to {next}"),
            ),
            Self::Absent => Error::new(ErrorKind::Absent, ""),
            Self::Invalid => Error::new(ErrorKind::Invalid, "it makes no sense in its place"),
        }
    }
}
