//! The sending side.

use std::fmt;

use super::{NoUninit, Receiver, Shared, Stats};
use crate::ring::{Refused, SendError};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// The sending side. Not `Clone`: there is one.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) tail: u64,
}

impl<T: NoUninit + Send> Sender<T> {
    /// Sends an item; never waits, and overwrites the oldest where the ring is full.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`], with the item.
    #[inline]
    pub fn send(&mut self, item: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError {
                item,
                why: Refused::Closed,
            });
        }
        self.write(&item);
        self.shared.receivers.notify_each();
        Ok(())
    }

    /// Sends all items, and says how many. Each can be received at once, but receivers that sleep
    /// are woken when half a ring was written, and at the end.
    ///
    /// # Errors
    ///
    /// [`Refused::Closed`]; nothing was taken out of `items` then.
    pub fn send_all(&mut self, items: impl IntoIterator<Item = T>) -> Result<usize, Refused> {
        // Also when the iterator panics: what it gave before was sent.
        struct Wake<'a, T>(&'a mut Sender<T>);
        impl<T> Drop for Wake<'_, T> {
            fn drop(&mut self) {
                self.0.shared.receivers.notify_each();
            }
        }
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        let half = (self.capacity() / 2).max(1);
        let wake = Wake(self);
        let mut sent = 0;
        for item in items {
            wake.0.write(&item);
            sent += 1;
            if sent % half == 0 {
                wake.0.shared.receivers.notify_each();
            }
        }
        Ok(sent)
    }

    #[inline]
    fn write(&mut self, item: &T) {
        self.shared.cells.write(self.tail, item);
        self.tail = self.tail.wrapping_add(1);
        // ORDERING: pairs with the acquire in `Receiver::behind`: whoever knows of an item finds it.
        self.shared.tail.store(self.tail, Ordering::Release);
        self.shared.cells.will_write(self.tail);
    }

    /// A new receiver, which gets what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.shared, self.tail)
    }
}

impl<T> Sender<T> {
    /// Ends sending: receivers get what is inside, then [`RecvError::Closed`](super::RecvError::Closed). Dropping the sender
    /// does the same.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the ring is closed.
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Receivers that there are. Without any, what is sent is overwritten unseen.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed) as usize
    }

    /// Items that the ring has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.cells.capacity() as usize
    }

    /// Counts of what the ring has been through.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lossy::Sender")
            .field("stats", &self.stats())
            .finish()
    }
}
