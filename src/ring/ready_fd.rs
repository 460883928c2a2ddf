//! A ring as a file descriptor, for `poll`, `epoll` and what is built on them.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use super::Watch;
use super::select::Ready;
use crate::sys::event::Bell;

/// A sender or receiver with a descriptor that becomes readable once it may get on. Linux only (an
/// `eventfd`).
///
/// ```
/// use ringbolt::ring::{ReadyFd, RecvError, spsc};
/// use rustix::event::{PollFd, PollFlags, poll};
///
/// let (mut sender, receiver) = spsc::ring(16)?;
/// std::thread::spawn(move || (0..100).for_each(|number| sender.send(number).unwrap()));
///
/// let mut receiver = ReadyFd::new(receiver)?;
/// let mut sum = 0;
/// loop {
///     match receiver.try_recv() {
///         Ok(number) => sum += number,
///         // Drained: arm, and sleep only if that says so.
///         Err(RecvError::Empty) => {
///             if receiver.arm()? {
///                 poll(&mut [PollFd::new(&receiver, PollFlags::IN)], None)?;
///             }
///         }
///         Err(_) => break,
///     }
/// }
/// assert_eq!(sum, 4950);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The loop
///
/// 1. Use the handle (through this, which derefs to it) until a `try_` call finds nothing more, or
///    until it is others' turn.
/// 2. [`arm`](ReadyFd::arm). If it says `false`, there is something already: back to 1, without
///    sleeping.
/// 3. Sleep until the descriptor is readable, as long as you like, among other descriptors.
///
/// Between 3 and the next `arm` the descriptor stays readable: `arm` empties it, nobody needs to read
/// from it (with edge-triggered `epoll` each arming brings one edge). Readable is a reason to look,
/// not a promise: a wake-up from before may still come, and where siblings share a side, another one
/// may be faster. While it is not armed, the other side makes no system call for it.
///
/// One wake-up is spent on one waiter: while the loop is busy elsewhere, the item that it was woken
/// for waits. A `ReadyFd` that is dropped passes its wake-up on.
pub struct ReadyFd<H: Ready> {
    watch: Watch<H>,
    bell: Arc<Bell>,
}

impl<H: Ready> ReadyFd<H> {
    /// Gives a handle a descriptor. Not armed yet.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors left.
    pub fn new(handle: H) -> io::Result<Self> {
        Ok(Self {
            watch: Watch::new(handle),
            bell: Bell::new()?,
        })
    }

    /// Empties the descriptor, and has it become readable at the next moment when the handle may
    /// get on. `false` when it may right now: do not sleep.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to look at the descriptor: it is armed, or not, as it was before.
    #[must_use = "when it is false, there is something to do instead of sleeping"]
    pub fn arm(&mut self) -> io::Result<bool> {
        // What was rung before is void: the handle itself is looked at below. Who rings right now,
        // by what was armed before, makes the descriptor readable for nothing.
        self.bell.listen_on()?;
        let armed = self.watch.arm(&self.bell.waker());
        if !armed {
            // Who rings late, from before, writes nothing then.
            self.bell.hush();
        }
        Ok(armed)
    }
}

impl<H: Ready> AsFd for ReadyFd<H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.descriptor()
    }
}

impl<H: Ready> AsRawFd for ReadyFd<H> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<H: Ready> Deref for ReadyFd<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.watch
    }
}

impl<H: Ready> DerefMut for ReadyFd<H> {
    fn deref_mut(&mut self) -> &mut H {
        &mut self.watch
    }
}

impl<H: Ready + fmt::Debug> fmt::Debug for ReadyFd<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyFd")
            .field("watch", &self.watch)
            .field("descriptor", &self.as_raw_fd())
            .finish()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ring::tokens::Tokens;
    use crate::sys::event::wait_readable;

    /// Each once passed its wake-up on when it was armed again, with nothing there: two of them rang
    /// each other for ever.
    #[test]
    fn a_wake_up_for_what_is_gone_is_not_passed_on() {
        let readable =
            |fd: &ReadyFd<&Tokens>| wait_readable(fd.as_fd(), Some(Duration::ZERO)).unwrap();
        let tokens = Tokens::new();
        let mut one = ReadyFd::new(&tokens).unwrap();
        let mut other = ReadyFd::new(&tokens).unwrap();
        assert!(one.arm().unwrap());
        assert!(other.arm().unwrap());
        tokens.give();
        assert!(readable(&one) && !readable(&other));
        assert!(tokens.try_take().is_some(), "somebody else is faster");
        assert!(one.arm().unwrap());
        assert!(!readable(&one) && !readable(&other));
        // What is there is passed on, when the one that was woken goes.
        tokens.give();
        assert!(
            readable(&other) && !readable(&one),
            "first come, first served"
        );
        drop(other);
        assert!(readable(&one));
    }
}
