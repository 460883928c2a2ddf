//! Tickets: a record's position now, and its acknowledgement when it comes.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::Core;
use crate::log::position::Position;
use crate::sync::lock::Mutex;
use crate::sync::waiters::Key;

/// The receipt of an append.
///
/// It is done when the record is acknowledged: on disk, or committed, as the log's
/// [`Durability`](crate::Durability) says. Dropping a ticket changes nothing: the record is in the
/// log. An error other than [`ErrorKind::Cut`] leaves the record *indeterminate*: when the log is
/// opened again, it may be there or not, but never in part.
///
/// A ticket borrows the log it came from; [`Ticket::into_owned`] frees it from that.
#[must_use = "an append is acknowledged only when its ticket is done"]
#[derive(Clone)]
pub struct Ticket<'a> {
    core: Cow<'a, Shared>,
    position: Position,
    end: Position,
}

/// The core's shared handle, so that a ticket can borrow it or own it.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Core>);

impl<'a> Ticket<'a> {
    pub(crate) fn new(core: &'a Shared, position: Position, end: Position) -> Self {
        Self {
            core: Cow::Borrowed(core),
            position,
            end,
        }
    }

    /// Where the record lies; of a batch, its first one.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Where its frame ends.
    #[inline]
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Wakes whoever persists, and with it whoever follows the log.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn nudge(&self) {
        self.core.0.engine.wake_by_ref();
    }

    /// Whether the record was acknowledged, or never will be. Wait-free.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.outcome().is_some()
    }

    /// Blocks until the record is acknowledged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::Stalled`] when the log failed first,
    /// [`ErrorKind::Closed`] when it was closed, [`ErrorKind::Cut`] when the record was truncated.
    pub fn wait(&self) -> Result<Position> {
        self.wait_until(None)
    }

    /// The same for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`Ticket::wait`], and [`ErrorKind::TimedOut`]: it may still be acknowledged later.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Position> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Calls `callback` with the outcome, once: on the engine's thread, or at once on this one. It
    /// must not block; it may append.
    pub fn on_done(self, callback: impl FnOnce(Result<Position>) + Send + 'static) {
        if let Some(outcome) = self.outcome() {
            return callback(outcome);
        }
        let ticket = self.into_owned();
        let waiters = Arc::clone(&ticket.core.0);
        let needed = ticket.end.to_u64();
        let call = Arc::new(Callback(Mutex::new(Some((ticket, Box::new(callback))))));
        waiters
            .durable_waiters
            .register(needed, Waker::from(Arc::clone(&call)));
        // It may have been acknowledged meanwhile: then nobody else may ever wake it.
        let _ = call.call_if_done();
    }

    /// The same ticket without a borrow.
    pub fn into_owned(self) -> Ticket<'static> {
        Ticket {
            core: Cow::Owned(self.core.into_owned()),
            position: self.position,
            end: self.end,
        }
    }

    fn outcome(&self) -> Option<Result<Position>> {
        self.core.0.outcome(self.position, self.end)
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<Position> {
        if let Some(outcome) = self.outcome() {
            return outcome;
        }
        let (core, needed) = (&self.core.0, self.end.to_u64());
        let outcome = core
            .durable_spin
            .spin_until(deadline, || self.outcome())
            .or_else(|| {
                core.durable_waiters
                    .wait(needed, deadline, || self.outcome())
            });
        outcome.unwrap_or_else(|| {
            Err(
                Error::new(ErrorKind::TimedOut, "the record is not acknowledged yet")
                    .at_path(&self.core.0.path)
                    .at_position(self.position)
                    .remedy("it may still be: wait again, or give it longer"),
            )
        })
    }
}

impl std::fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("position", &self.position)
            .field("done", &self.is_done())
            .finish()
    }
}

impl<'a> IntoFuture for Ticket<'a> {
    type Output = Result<Position>;
    type IntoFuture = Acknowledged<'a>;

    fn into_future(self) -> Acknowledged<'a> {
        Acknowledged {
            ticket: self,
            key: None,
        }
    }
}

/// The future of a [`Ticket`]: its outcome. Runs on any executor; dropping it changes nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Acknowledged<'a> {
    ticket: Ticket<'a>,
    key: Option<Key>,
}

impl Future for Acknowledged<'_> {
    type Output = Result<Position>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.ticket.outcome() {
            return Poll::Ready(outcome);
        }
        let waiters = &self.ticket.core.0.durable_waiters;
        let stands = self.key.is_some_and(|key| waiters.update(key, cx.waker()));
        if !stands {
            let key = waiters.register(self.ticket.end.to_u64(), cx.waker().clone());
            self.key = Some(key);
        }
        match self.ticket.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl Drop for Acknowledged<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.ticket.core.0.durable_waiters.remove(key);
        }
    }
}

type OnDone = Box<dyn FnOnce(Result<Position>) + Send>;

/// A callback that waits for its ticket, in the shape of a waker.
struct Callback(Mutex<Option<(Ticket<'static>, OnDone)>>);

impl Callback {
    /// Calls back if there is an outcome; says whether that is settled.
    fn call_if_done(&self) -> bool {
        let due = {
            let mut waiting = self.0.lock();
            let Some((ticket, _)) = waiting.as_ref() else {
                return true;
            };
            let Some(outcome) = ticket.outcome() else {
                return false;
            };
            waiting.take().map(|(_, callback)| (outcome, callback))
        };
        if let Some((outcome, callback)) = due {
            callback(outcome);
        }
        true
    }
}

impl Wake for Callback {
    fn wake(self: Arc<Self>) {
        while !self.call_if_done() {
            // Woken without a verdict, as when the log changed beneath: wait on.
            let place = self
                .0
                .lock()
                .as_ref()
                .map(|(t, _)| (Arc::clone(&t.core.0), t.end));
            let Some((core, end)) = place else { return };
            core.durable_waiters
                .register(end.to_u64(), Waker::from(Arc::clone(&self)));
            if !self.call_if_done() {
                return;
            }
        }
    }
}
