//! The loop: reap, submit next, derive, wake. First keep the disk busy.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::Waker;
use std::time::Duration;

use crate::disk::{Completion, Queue};
use crate::engine::Shared;
use crate::engine::client::{Client, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::Ordering;
use crate::sync::atomic::spin_loop;
use crate::sys::fork::process_mark;

/// Drives a caller-driven engine. Stays on the thread that made it.
///
/// Call [`Driver::poll`] until it is idle, then [`Driver::wait`], or wait for
/// [`Driver::event_descriptor`] to become readable in an event loop of your own.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    queue: Box<dyn Queue>,
    clients: Vec<(u32, Box<dyn Client + Send>)>,
    next_id: u32,
    completions: Vec<Completion>,
    /// [`Queue::rung_changes`] as it was when the handles were told of the rung.
    rung_changes: u64,
    /// Whether the keeper's jobs are run here, too.
    runs_jobs: bool,
    /// Why the queue serves nobody any more: what was pushed to it and not submitted must never
    /// reach the disk, whose files may be another opening's by then.
    broken: Option<Error>,
    /// The process that made it: in a forked child it serves nobody.
    process: u64,
    /// Whether the caller watches the event descriptor, and may never call `wait`.
    watched: Cell<bool>,
}

/// What a [`Driver::poll`] left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// There is more to do at once.
    Busy,
    /// Nothing to do until the event descriptor is readable.
    Idle,
    /// The same, or until so much time has passed.
    IdleFor(Duration),
    /// The engine's handles and logs are gone: there will be nothing to do any more.
    Ended,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for dyn Client + Send {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, runs_jobs: bool) -> Result<Self> {
        let queue = shared.disk.queue().map_err(|e| {
            Error::io("making a queue to the disk", e)
                .remedy("let some other engine end, or raise the limit on open files")
        })?;
        let mut driver = Self {
            shared,
            queue,
            clients: Vec::new(),
            next_id: 0,
            completions: Vec::new(),
            rung_changes: 0,
            runs_jobs,
            broken: None,
            process: process_mark(),
            watched: Cell::new(false),
        };
        driver.tell_rung();
        Ok(driver)
    }

    pub(crate) fn waker(&self) -> Waker {
        self.queue.waker()
    }

    /// Does what there is to do without waiting for the disk. With logs being made, trimmed or
    /// truncated it does their file work, too, which may take milliseconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the queue to the disk failed, for good: all of its logs have failed
    /// with it. They can be opened again on another engine once this driver was dropped.
    /// [`ErrorKind::Forked`] in a forked child of the process that made the driver.
    pub fn poll(&mut self) -> Result<Poll> {
        self.check_usable()?;
        if self.watched.get() {
            // The descriptor stays readable until a wait heard what woke it. Before looking for
            // work, so that whatever comes after the look shows again.
            self.wait(Some(Duration::ZERO))?;
        }
        let job_ran = self.runs_jobs && (self.shared.jobs.run_one() || self.shared.hooks.run_one());
        let busy = self.step()?;
        if busy || job_ran {
            return Ok(Poll::Busy);
        }
        if self.arm() {
            return Ok(Poll::Busy);
        }
        if self.has_ended() {
            return Ok(Poll::Ended);
        }
        Ok(match self.sleep_for() {
            None => Poll::Idle,
            Some(duration) => Poll::IdleFor(duration),
        })
    }

    /// Sleeps until there is something to do, or until `timeout`. To be called after a
    /// [`Driver::poll`] that was idle.
    ///
    /// # Errors
    ///
    /// As for [`Driver::poll`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.check_usable()?;
        self.queue.wait(timeout).or_else(|error| self.fail(&error))
    }

    /// Becomes readable when there is something to do; `None` where the disk has no descriptors.
    #[must_use]
    pub fn event_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watched.set(true);
        self.queue.event_descriptor()
    }

    /// One round; says whether the next should follow at once.
    fn step(&mut self) -> Result<bool> {
        self.admit();
        if let Err(error) = self.queue.reap(&mut self.completions) {
            return self.fail(&error).map(|()| true);
        }
        let mut busy = !self.completions.is_empty();
        for completion in self.completions.drain(..) {
            let token = Token::of(completion.token);
            if let Some((_, client)) = self
                .clients
                .iter_mut()
                .find(|(id, _)| *id == token.client())
            {
                client.complete(token.op(), completion.result);
            }
        }
        for (_, client) in &mut self.clients {
            client.turn(&mut *self.queue);
        }
        if let Err(error) = self.queue.submit() {
            return self.fail(&error).map(|()| true);
        }
        if self.queue.rung_changes() != self.rung_changes {
            self.tell_rung();
        }
        for (_, client) in &mut self.clients {
            busy |= client.settle(&mut *self.queue);
        }
        self.clients.retain(|(_, client)| !client.is_finished());
        Ok(busy)
    }

    #[cold]
    fn tell_rung(&mut self) {
        self.rung_changes = self.queue.rung_changes();
        *self.shared.rung.lock() = Some(self.queue.rung());
    }

    fn check_usable(&self) -> Result<()> {
        if self.process != process_mark() {
            return Err(Error::new(ErrorKind::Forked, "the engine is the parent's")
                .remedy("make an engine in the process that uses it"));
        }
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn admit(&mut self) {
        let arrived = self.shared.arrivals.lock().as_mut().map(std::mem::take);
        for mut client in arrived.into_iter().flatten() {
            client.attach(self.next_id, &mut *self.queue);
            self.clients.push((self.next_id, client));
            self.next_id = self.next_id.wrapping_add(1);
        }
    }

    /// Asks all clients to ask for wake-ups; says whether one has work already.
    fn arm(&mut self) -> bool {
        let mut work = false;
        for (_, client) in &mut self.clients {
            work |= client.arm();
        }
        // A job that a client asked for in this round: nobody else runs it.
        work |= self.runs_jobs && !(self.shared.jobs.is_empty() && self.shared.hooks.is_empty());
        work || self
            .shared
            .arrivals
            .lock()
            .as_ref()
            .is_some_and(|arrived| !arrived.is_empty())
    }

    fn sleep_for(&self) -> Option<Duration> {
        let deadline = self
            .clients
            .iter()
            .filter_map(|(_, c)| c.deadline_ns())
            .min()?;
        let now = self.shared.disk.now_monotonic_ns();
        Some(Duration::from_nanos(deadline.saturating_sub(now)))
    }

    fn has_ended(&self) -> bool {
        self.clients.is_empty() && self.shared.stopping.load(Ordering::Acquire)
    }

    fn fail(&mut self, error: &std::io::Error) -> Result<()> {
        for (_, client) in &mut self.clients {
            client.queue_failed(error);
        }
        let error = std::io::Error::new(error.kind(), error.to_string());
        let error = Error::io("the queue to the disk failed", error)
            .into_fatal()
            .remedy("drop the driver, then open its logs again on another engine");
        self.broken = Some(error.clone());
        self.turn_away();
        Err(error)
    }

    /// Logs that were on their way, or are not closed, learn that nobody serves them any more.
    fn turn_away(&mut self) {
        let arrived = self.shared.arrivals.lock().take();
        drop(arrived);
        self.clients.clear();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.process != process_mark() {
            // The parent's logs are not this process's to end, nor their callbacks to call.
            std::mem::forget(std::mem::take(&mut self.clients));
            std::mem::forget(Arc::clone(&self.shared));
            return;
        }
        self.turn_away();
        self.shared.jobs.close();
        self.shared.hooks.close();
        if self.runs_jobs {
            // Nobody else will: what they hold, the lock above all, goes.
            self.shared.jobs.discard();
            self.shared.hooks.discard();
        }
    }
}

/// The body of the persister's thread.
pub(super) fn run(
    shared: Arc<Shared>,
    pin_to: Option<usize>,
    spin: Duration,
    started: &Sender<Result<Waker>>,
) {
    let pinned = match pin_to {
        None => Ok(()),
        Some(cpu) => crate::sys::thread::pin(cpu).map_err(|error| {
            Error::new(
                ErrorKind::Invalid,
                format!("pinning to processor {cpu}: {error}"),
            )
        }),
    };
    let driver = pinned.and_then(|()| Driver::new(Arc::clone(&shared), false));
    let mut driver = match driver {
        Ok(driver) => driver,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(driver.waker())).is_err() {
        return;
    }
    let spin_ns = spin.as_nanos() as u64;
    let mut idle_since = None;
    // A failed queue fails every log on it; the thread then serves nobody and ends.
    while let Ok(busy) = driver.step() {
        if busy {
            idle_since = None;
            continue;
        }
        let now = shared.disk.now_monotonic_ns();
        let since = *idle_since.get_or_insert(now);
        if now.saturating_sub(since) < spin_ns && driver.sleep_for() != Some(Duration::ZERO) {
            spin_loop();
            continue;
        }
        if driver.arm() {
            continue;
        }
        if driver.has_ended() {
            break;
        }
        let timeout = driver.sleep_for();
        if driver.wait(timeout).is_err() {
            break;
        }
        idle_since = None;
    }
}
