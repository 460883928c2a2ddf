//! Tying a ring to someone's own event loop, by whatever wakes that loop.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::task::Waker;

use super::select::Ready;
use crate::sync::waiters::Key;

/// A sender or receiver that calls a [`Waker`] once it may get on.
///
/// For event loops that can be woken from another thread, by an implementation of
/// [`Wake`](std::task::Wake) around their own means. Where these are descriptors, [`ReadyFd`] is
/// just that.
///
/// The loop: use the handle (through this, which derefs to it) until a `try_` call finds nothing
/// more; [`arm`](Watch::arm); sleep only if that said so. While it is not armed, the other side
/// spends nothing on waking. A watch that is dropped passes on the wake-up that it did not use.
///
/// ```
/// use std::sync::{Arc, Condvar, Mutex};
/// use std::task::{Wake, Waker};
///
/// use ringbolt::ring::{RecvError, Watch, spsc};
///
/// /// Stands for what wakes an event loop.
/// #[derive(Default)]
/// struct Loop(Mutex<bool>, Condvar);
///
/// impl Wake for Loop {
///     fn wake(self: Arc<Self>) {
///         *self.0.lock().unwrap() = true;
///         self.1.notify_one();
///     }
/// }
///
/// let (mut sender, receiver) = spsc::ring(16)?;
/// std::thread::spawn(move || (0..100).for_each(|number| sender.send(number).unwrap()));
///
/// let this = Arc::new(Loop::default());
/// let waker = Waker::from(this.clone());
/// let mut receiver = Watch::new(receiver);
/// let mut sum = 0;
/// loop {
///     match receiver.try_recv() {
///         Ok(number) => sum += number,
///         Err(RecvError::Empty) => {
///             if receiver.arm(&waker) {
///                 let woken = this.1.wait_while(this.0.lock().unwrap(), |woken| !*woken);
///                 *woken.unwrap() = false;
///             }
///         }
///         Err(_) => break,
///     }
/// }
/// assert_eq!(sum, 4950);
/// # Ok::<(), ringbolt::Error>(())
/// ```
///
/// [`ReadyFd`]: crate::ring::ReadyFd
pub struct Watch<H: Ready> {
    handle: H,
    key: Option<Key>,
}

impl<H: Ready> Watch<H> {
    /// Watches a handle. Not armed yet.
    pub fn new(handle: H) -> Self {
        Self { handle, key: None }
    }

    /// Has `waker` called at the next moment when the handle may get on, once. `false` when it may
    /// right now: use it instead of sleeping, the waker is not called. A stale call of the waker, from
    /// before, may still come in both cases.
    ///
    /// Takes back what was armed before.
    #[must_use = "when it is false, there is something to do instead of sleeping"]
    pub fn arm(&mut self, waker: &Waker) -> bool {
        // Spent, and nothing there now: whoever was faster has it.
        let spent = self.take_back();
        let (key, fenced) = self.handle.side().register(waker.clone());
        self.key = Some(key);
        if self.handle.is_ready() {
            let spent = self.take_back() | spent;
            self.pass_on(spent);
            return false;
        }
        if !fenced {
            waker.wake_by_ref();
        }
        true
    }

    /// Takes back what was armed, and passes on a wake-up that was spent on it: for an owner that goes on
    /// to other things. One that looks again just arms again.
    pub fn disarm(&mut self) {
        let spent = self.take_back();
        self.pass_on(spent);
    }

    /// Says whether a wake-up was spent on this one.
    fn take_back(&mut self) -> bool {
        match self.key.take() {
            Some(key) => !self.handle.side().remove(key),
            None => false,
        }
    }

    /// What is there may be more than the owner takes: for a sibling, if there is one.
    fn pass_on(&self, spent: bool) {
        if spent {
            self.handle.side().notify(1);
        }
    }
}

impl<H: Ready> Deref for Watch<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.handle
    }
}

impl<H: Ready> DerefMut for Watch<H> {
    fn deref_mut(&mut self) -> &mut H {
        &mut self.handle
    }
}

impl<H: Ready> Drop for Watch<H> {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl<H: Ready + fmt::Debug> fmt::Debug for Watch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("handle", &self.handle)
            .field("armed", &self.key.is_some())
            .finish()
    }
}
