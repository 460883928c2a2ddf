//! Appending: one claim, four ways to wait for it.
//!
//! Of a [`Claim`] in the caller's hands there are three: awaited it would be a guard that lives in a
//! future. `append_with_async` is that form: its `fill` is called when the claim is granted, and
//! returns before the future does.
//!
//! A claim that is refused for lack of room can be given up (`try_`), waited for, waited for until
//! a deadline, or awaited. Each wait announces itself, looks again, and sleeps only then.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::task::Poll;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::Core;
use crate::log::frame::{self, BATCH_COUNT_BYTES, Shape};
use crate::log::position::Position;
use crate::log::stats::Counters;
use crate::log::tail::Refusal;
use crate::log::tail::claim::Claimed;
use crate::log::ticket::{Shared, Ticket};
use crate::sync::waiters::Key;

/// How a claim waits for room.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all.
    Try,
    /// As long as it takes.
    Block,
    /// Until then.
    Until(Instant),
}

/// Space in the log for one record, to be filled in place.
///
/// [`Claim::commit`] publishes it; dropping it (also when the filling panics) turns it into
/// padding. **It holds up everything behind it** until then: fill it quickly, and never wait for
/// something else meanwhile. For that reason it can be neither sent to another thread nor held
/// across an await in a task that moves between threads. One that is forgotten makes the log fail
/// as [`ErrorKind::Stalled`] after [`stall_limit`](crate::LogOptions::stall_limit).
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-claim-{}", std::process::id()));
/// # let log = ringbolt::Log::open(&dir)?;
/// let mut claim = log.claim(8)?;
/// claim.copy_from_slice(&17u64.to_le_bytes());
/// claim.commit().wait()?;
/// # log.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
///
/// Another thread cannot have it:
///
/// ```compile_fail,E0277
/// # fn wrong(log: &ringbolt::Log) -> ringbolt::Result<()> {
/// let claim = log.claim(8)?;
/// std::thread::scope(|scope| {
///     scope.spawn(move || drop(claim));
/// });
/// # Ok(())
/// # }
/// ```
///
/// nor a task that may wake on another thread; what is filled by awaiting is gathered first, and
/// claimed when it is there:
///
/// ```compile_fail
/// # async fn receive(_: &mut [u8]) {}
/// # fn spawn(_: impl Future + Send + 'static) {}
/// # fn wrong(log: ringbolt::Log) {
/// spawn(async move {
///     let mut claim = log.claim(8)?;
///     receive(&mut claim).await;
///     claim.commit().await
/// });
/// # }
/// ```
///
/// ```
/// # async fn receive(_: &mut [u8]) {}
/// # fn spawn(_: impl Future + Send + 'static) {}
/// # fn right(log: ringbolt::Log) {
/// spawn(async move {
///     let mut gathered = [0; 8];
///     receive(&mut gathered).await;
///     log.append_async(&gathered).await?.await
/// });
/// # }
/// ```
#[must_use = "a claim that is dropped becomes padding"]
pub struct Claim<'a> {
    core: &'a Shared,
    claimed: Option<Claimed<'a>>,
    len: usize,
}

const PLAIN: Shape = Shape {
    batch: false,
    time_unix_ns: None,
};
const BATCH: Shape = Shape {
    batch: true,
    time_unix_ns: None,
};

impl<'a> Claim<'a> {
    /// Where the record will lie.
    #[must_use]
    pub fn position(&self) -> Position {
        self.claimed().position()
    }

    /// Publishes the record. In a forked child of the process that claimed it does nothing, and the
    /// ticket tells so.
    pub fn commit(mut self) -> Ticket<'a> {
        let claimed = self.claimed.take().expect("a claim is committed once");
        if self.core.0.is_forked() {
            let (position, end) = (claimed.position(), claimed.end());
            claimed.forget();
            return Ticket::new(self.core, position, end);
        }
        commit(self.core, claimed, PLAIN, self.len, 0)
    }

    fn claimed(&self) -> &Claimed<'a> {
        self.claimed
            .as_ref()
            .expect("a claim is there until it is committed")
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.claimed().body(PLAIN, self.len)
    }
}

impl DerefMut for Claim<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let claimed = self
            .claimed
            .as_mut()
            .expect("a claim is there until it is committed");
        claimed.body_mut(PLAIN, self.len)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(claimed) = self.claimed.take() {
            abandon(self.core, claimed);
        }
    }
}

impl std::fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim")
            .field("position", &self.position())
            .field("len", &self.len)
            .finish()
    }
}

/// Commits and wakes; `within` is where in the frame the ticket's position points to.
#[inline]
fn commit<'a>(
    core: &'a Shared,
    claimed: Claimed<'a>,
    shape: Shape,
    body_bytes: usize,
    within: u64,
) -> Ticket<'a> {
    let (from, end) = (claimed.position(), claimed.end());
    claimed.commit(shape, body_bytes);
    core.0.committed(from, end);
    Ticket::new(core, from.plus(within), end)
}

/// Pads and wakes: what is behind an abandoned claim goes on.
fn abandon(core: &Shared, claimed: Claimed<'_>) {
    if core.0.is_forked() {
        // The image is the parent's: its claim is not ours to give up.
        return claimed.forget();
    }
    let (from, end) = (claimed.position(), claimed.end());
    drop(claimed);
    core.0.committed(from, end);
}

/// A claim whose filling may panic: it is padded, and whoever waits behind it is told.
struct Filling<'a> {
    core: &'a Shared,
    claimed: Option<Claimed<'a>>,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if let Some(claimed) = self.claimed.take() {
            abandon(self.core, claimed);
        }
    }
}

/// Appends one record that `fill` writes.
#[inline]
pub(crate) fn append_with<'a>(
    core: &'a Shared,
    len: usize,
    patience: Patience,
    fill: impl FnOnce(&mut [u8]),
) -> Result<Ticket<'a>> {
    let claimed = claim_frame(&core.0, PLAIN, len, patience)?;
    Ok(fill_record(core, claimed, len, fill))
}

/// Has a record written into its claim, by the caller's code, which may panic.
#[inline]
fn fill_record<'a>(
    core: &'a Shared,
    claimed: Claimed<'a>,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Ticket<'a> {
    let mut filling = Filling {
        core,
        claimed: Some(claimed),
    };
    if let Some(claimed) = &mut filling.claimed {
        fill(claimed.body_mut(PLAIN, len));
    }
    let claimed = filling.claimed.take().expect("nobody took it");
    commit(core, claimed, PLAIN, len, 0)
}

/// Appends several records that stand or fall together.
pub(crate) fn append_batch<'a>(
    core: &'a Shared,
    payloads: &[impl AsRef<[u8]>],
    patience: Patience,
) -> Result<Ticket<'a>> {
    check_batch(&core.0, payloads)?;
    let len = frame::batch_body_bytes(payloads);
    let claimed = claim_frame(&core.0, BATCH, len, patience)?;
    Ok(fill_batch(core, claimed, len, payloads))
}

fn check_batch(core: &Core, payloads: &[impl AsRef<[u8]>]) -> Result<()> {
    if payloads.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a batch without records")
            .at_path(&core.path)
            .remedy("append at least one record"));
    }
    Ok(())
}

/// Writes the records of a batch into its claim. They are the caller's code, which may panic.
fn fill_batch<'a>(
    core: &'a Shared,
    claimed: Claimed<'a>,
    len: usize,
    payloads: &[impl AsRef<[u8]>],
) -> Ticket<'a> {
    let header = BATCH.header_bytes();
    let mut filling = Filling {
        core,
        claimed: Some(claimed),
    };
    if let Some(claimed) = &mut filling.claimed {
        frame::write_batch(header, claimed.body_mut(BATCH, len), payloads);
    }
    let claimed = filling.claimed.take().expect("nobody took it");
    let within = (header + BATCH_COUNT_BYTES) as u64;
    commit(core, claimed, BATCH, len, within)
}

/// Claims space for a record of `len` bytes, to be filled by the caller.
pub(crate) fn claim(core: &Shared, len: usize, patience: Patience) -> Result<Claim<'_>> {
    let claimed = claim_frame(&core.0, PLAIN, len, patience)?;
    Ok(Claim {
        core,
        claimed: Some(claimed),
        len,
    })
}

/// The largest payload that a segment of this size can hold.
pub(crate) fn payload_bytes_max(core: &Core) -> usize {
    let (first, end) = core.tail.limits();
    (end - first) as usize - PLAIN.header_bytes()
}

#[inline]
fn claim_frame(
    core: &Core,
    shape: Shape,
    body_bytes: usize,
    patience: Patience,
) -> Result<Claimed<'_>> {
    let len = frame_bytes(core, shape, body_bytes)?;
    match core.claim(len) {
        Ok(claimed) => Ok(claimed),
        Err(refusal) => claim_slow(core, len, refusal, patience),
    }
}

#[inline]
fn frame_bytes(core: &Core, shape: Shape, body_bytes: usize) -> Result<usize> {
    let max = payload_bytes_max(core);
    if body_bytes > max {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("{body_bytes} bytes, and a segment of this log holds at most {max}"),
        )
        .at_path(&core.path)
        .remedy("open the log with larger segments, or split the record"));
    }
    Ok(shape.header_bytes() + body_bytes)
}

/// Whether waiting can help against a refusal.
fn may_wait(core: &Core, refusal: Refusal) -> bool {
    use crate::sync::atomic::Ordering::Acquire;
    match refusal {
        Refusal::Bound | Refusal::Frozen => true,
        Refusal::NotReady => !core.full.load(Acquire),
        Refusal::Closed | Refusal::Poisoned | Refusal::Forked => false,
    }
}

#[cold]
fn claim_slow(
    core: &Core,
    len: usize,
    refusal: Refusal,
    patience: Patience,
) -> Result<Claimed<'_>> {
    // What was padded at the segment's end woke nobody.
    core.nudge();
    if !may_wait(core, refusal) {
        return Err(core.refused(refusal));
    }
    let deadline = match patience {
        Patience::Try => return Err(core.refused(refusal)),
        Patience::Block => None,
        Patience::Until(deadline) => Some(deadline),
    };
    Counters::add_shared(&core.counters.blocked, 1);
    let mut last = refusal;
    let claimed = core
        .room_waiters
        .wait(0, deadline, || match core.claim(len) {
            Ok(claimed) => Some(Ok(claimed)),
            Err(refusal) => {
                last = refusal;
                core.nudge();
                (!may_wait(core, refusal)).then(|| Err(core.refused(refusal)))
            }
        });
    claimed.unwrap_or_else(|| {
        Err(
            Error::new(ErrorKind::TimedOut, core.refused(last).to_string())
                .at_path(&core.path)
                .remedy("nothing was claimed: try again, or give it longer"),
        )
    })
}

/// Waits, without blocking, until a claim of a frame with so long a body succeeds, and calls `then`
/// with it. Dropping the future before that writes nothing.
async fn when_claimed<'a, R>(
    core: &'a Shared,
    shape: Shape,
    body_bytes: usize,
    then: impl FnOnce(Claimed<'a>) -> R,
) -> Result<R> {
    let mut then = Some(then);
    let len = frame_bytes(&core.0, shape, body_bytes)?;
    let mut wait = RoomWait {
        core: &core.0,
        key: None,
        counted: false,
    };
    poll_fn(move |cx| {
        loop {
            let announced = wait.key.is_some();
            match core.0.claim(len) {
                Ok(claimed) => {
                    let then = then.take().expect("a claim is granted once");
                    return Poll::Ready(Ok(then(claimed)));
                }
                Err(refusal) => {
                    core.0.nudge();
                    if !may_wait(&core.0, refusal) {
                        return Poll::Ready(Err(core.0.refused(refusal)));
                    }
                }
            }
            if announced {
                // Announced, looked again, refused again: sleep.
                if wait.renew(cx.waker()) {
                    return Poll::Pending;
                }
            } else {
                wait.announce(cx.waker());
            }
        }
    })
    .await
}

/// A registration for room that goes when its future goes.
struct RoomWait<'a> {
    core: &'a Core,
    key: Option<Key>,
    counted: bool,
}

impl RoomWait<'_> {
    fn announce(&mut self, waker: &std::task::Waker) {
        if !std::mem::replace(&mut self.counted, true) {
            Counters::add_shared(&self.core.counters.blocked, 1);
        }
        self.key = Some(self.core.room_waiters.register(0, waker.clone()));
    }

    /// Whether the announcement still stands; if it was used up, it is forgotten.
    fn renew(&mut self, waker: &std::task::Waker) -> bool {
        let stands = self
            .key
            .is_some_and(|key| self.core.room_waiters.update(key, waker));
        if !stands {
            self.key = None;
        }
        stands
    }
}

impl Drop for RoomWait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.core.room_waiters.remove(key);
        }
    }
}

/// Appends one record that `fill` writes, awaiting room for it.
pub(crate) async fn append_with_async<'a>(
    core: &'a Shared,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Result<Ticket<'a>> {
    when_claimed(core, PLAIN, len, |claimed| {
        fill_record(core, claimed, len, fill)
    })
    .await
}

/// Appends a batch, awaiting room for it.
pub(crate) async fn append_batch_async<'a>(
    core: &'a Shared,
    payloads: &[impl AsRef<[u8]>],
) -> Result<Ticket<'a>> {
    check_batch(&core.0, payloads)?;
    let len = frame::batch_body_bytes(payloads);
    when_claimed(core, BATCH, len, |claimed| {
        fill_batch(core, claimed, len, payloads)
    })
    .await
}
