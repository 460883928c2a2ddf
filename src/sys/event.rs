//! Descriptors that become readable: the bell that wakes a queue's owner, and waiting for it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::sync::atomic::{AtomicU32, Ordering};

/// The error number of the kernel's ring when a wait ran into its timeout.
pub(crate) const TIMER_EXPIRED: i32 = Errno::TIME.raw_os_error();

/// The error number of a request of the kernel's ring that ended because its thread did.
pub(crate) const CANCELED: i32 = Errno::CANCELED.raw_os_error();

/// Sleeps until `fd` is readable or closed at its other end, or until `timeout` passed; says
/// whether it is. Signals do not cut the sleep short.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    // A deadline beyond what the clock can name is none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| timespec(deadline - Instant::now().min(deadline)));
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec {
        tv_sec: i64::MAX,
        tv_nsec: 0,
    })
}

/// Wakes the one thread that owns it. A wake-up that comes before the sleep is not lost, and those
/// that come while nobody sleeps cost no system call.
///
/// ```text
///            listen                ring
///   QUIET ───────────▶ LISTENING ───────▶ RUNG     (and only this step writes to the descriptor)
///     ▲  ╲________________________________▲ │
///     │                 ring                │
///     └─────────────────────────────────────┘  hush
/// ```
///
/// The descriptor's count may trail behind the state: a ringer sets the state first and writes
/// afterwards. So a readable descriptor is a reason to look at the state, not more.
#[derive(Debug)]
pub(crate) struct Bell {
    state: AtomicU32,
    /// Blocking, because the kernel's ring refuses to wait on a descriptor that is not.
    event: OwnedFd,
}

const QUIET: u32 = 0;
const LISTENING: u32 = 1;
const RUNG: u32 = 2;

impl Bell {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            state: AtomicU32::new(QUIET),
            event: eventfd(0, EventfdFlags::CLOEXEC)?,
        }))
    }

    /// The bell as a waker, for any thread.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Announces that the owner is about to wait on the descriptor. `false` when the bell was rung
    /// since the last hush: the owner must not sleep, and the ringing counts as heard.
    pub(crate) fn listen(&self) -> bool {
        // ORDERING: acquire on failure pairs with the release in `wake_by_ref`.
        let seen =
            self.state
                .compare_exchange(QUIET, LISTENING, Ordering::AcqRel, Ordering::Acquire);
        !(seen == Err(RUNG) && self.hush())
    }

    /// Ends listening; says whether the bell was rung.
    pub(crate) fn hush(&self) -> bool {
        // ORDERING: pairs with `wake_by_ref`: what the ringer did before is seen after this. A
        // swap, not a load and a store, so that every ringing is either seen here or stays.
        self.state.swap(QUIET, Ordering::AcqRel) == RUNG
    }

    /// For an owner that listens all the time: says whether the bell was rung, and goes on
    /// listening. The descriptor is emptied first, so that a later ringing shows on it.
    pub(crate) fn listen_on(&self) -> io::Result<bool> {
        if wait_readable(self.event.as_fd(), Some(Duration::ZERO))? {
            self.drain()?;
        }
        Ok(self.state.swap(LISTENING, Ordering::AcqRel) == RUNG)
    }

    /// Begins to listen all the time. What was rung already shows on the descriptor.
    pub(crate) fn show(&self) -> io::Result<()> {
        if !self.listen() {
            self.state.swap(RUNG, Ordering::AcqRel);
            self.raise()?;
        }
        Ok(())
    }

    /// Makes the descriptor readable without ringing.
    pub(crate) fn raise(&self) -> io::Result<()> {
        loop {
            match rustix::io::write(&self.event, &1u64.to_ne_bytes()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes a [`Bell::raise`] back, for an owner that listens all the time.
    pub(crate) fn lower(&self) -> io::Result<()> {
        if wait_readable(self.event.as_fd(), Some(Duration::ZERO))? {
            self.drain()?;
        }
        // A ringing whose write was just drained must show again.
        if self.state.load(Ordering::Acquire) == RUNG {
            self.raise()?;
        }
        Ok(())
    }

    /// Empties the descriptor, which must be readable: only the owner reads from it.
    pub(crate) fn drain(&self) -> io::Result<()> {
        loop {
            match rustix::io::read(&self.event, &mut [0; 8]) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: pairs with the swaps of the owner. A read-modify-write even when the bell is
        // rung already: it continues the release sequence, so the owner that hears the first
        // ringer sees what this one did, too.
        if self.state.swap(RUNG, Ordering::AcqRel) == LISTENING {
            // The count cannot overflow, so this cannot fail.
            let _ = self.raise();
        }
    }
}

/// Tells when the last copy of its other end is closed: by the kernel, for one that was given to
/// it.
#[derive(Debug)]
pub(crate) struct Canary {
    end: OwnedFd,
}

impl Canary {
    /// The canary, and the end whose closing it tells.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (end, other) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((Self { end }, other))
    }

    /// Sleeps until the other end is closed everywhere, or until `timeout` passed; says whether it
    /// is.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let mut byte = [MaybeUninit::<u8>::uninit(); 1];
        matches!(wait_readable(self.end.as_fd(), Some(timeout)), Ok(true))
            && matches!(rustix::io::read(&self.end, &mut byte), Ok((read, _)) if read.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ringing_before_the_sleep_is_not_lost_and_writes_nothing() {
        let bell = Bell::new().unwrap();
        let readable = || wait_readable(bell.descriptor(), Some(Duration::ZERO)).unwrap();
        bell.waker().wake();
        bell.waker().wake();
        assert!(!readable(), "nobody listened, so nothing was written");
        assert!(!bell.listen(), "rung: do not sleep");
        assert!(bell.listen(), "heard once");
        bell.waker().wake();
        bell.waker().wake();
        assert!(readable());
        bell.drain().unwrap();
        assert!(!readable());
        assert!(bell.hush());
        assert!(!bell.hush());
    }

    #[test]
    fn a_listener_that_never_hushes_sees_every_ringing_on_the_descriptor() {
        let bell = Bell::new().unwrap();
        let readable = || wait_readable(bell.descriptor(), Some(Duration::ZERO)).unwrap();
        bell.waker().wake();
        bell.show().unwrap();
        assert!(readable());
        assert!(bell.listen_on().unwrap());
        assert!(!readable());
        bell.waker().wake();
        bell.lower().unwrap();
        assert!(readable(), "lowering does not swallow a ringing");
        assert!(bell.listen_on().unwrap());
        assert!(!bell.listen_on().unwrap());
    }

    #[test]
    fn a_canary_tells_the_last_close() {
        let (canary, end) = Canary::new().unwrap();
        let copy = end.try_clone().unwrap();
        drop(end);
        assert!(!canary.wait(Duration::ZERO));
        drop(copy);
        assert!(canary.wait(Duration::from_secs(60)));
    }
}
