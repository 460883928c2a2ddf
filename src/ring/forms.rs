//! The forms of sending and receiving that follow from the `try_` ones, written once for all rings.
//!
//! A sender brings `claim_places`, a receiver `try_recv` and `take_places`: the attempts, which never
//! wait; `claimed` and `taken`, which make guards of places; and `put`, which sends one item in a place.
//! `[&mut self]` or `[&self]` says how a handle's calls take it.

/// `send`, `send_with` and `claim` in their blocking, deadline and async forms.
macro_rules! sending {
    ([$($receiver:tt)+] $this:ident, $Sender:ident, $Claim:ident) => {
        impl<T> $Sender<T> {
            /// Sends an item if there is room.
            ///
            /// # Errors
            ///
            /// [`Refused::Full`] or [`Refused::Closed`], with the item.
            #[inline]
            pub fn try_send($($receiver)+, item: T) -> Result<(), SendError<T>> {
                let place = $this.claim_places(1);
                $this.put_if(place, item)
            }

            /// Sends an item; blocks while the ring is full.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`], with the item.
            #[inline]
            pub fn send($($receiver)+, item: T) -> Result<(), SendError<T>> {
                let place = match $this.claim_places(1) {
                    Err(Refused::Full) => $this.wait_to_claim(1, None),
                    done => done,
                };
                $this.put_if(place, item)
            }

            /// Sends an item; blocks while the ring is full, until `deadline` at the latest.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`] or [`Refused::TimedOut`], with the item.
            pub fn send_deadline(
                $($receiver)+,
                item: T,
                deadline: Instant,
            ) -> Result<(), SendError<T>> {
                let place = match $this.claim_places(1) {
                    Err(Refused::Full) => $this.wait_to_claim(1, Some(deadline)),
                    done => done,
                };
                $this.put_if(place, item)
            }

            /// Sends an item; awaits room. A future that is dropped before it is done has sent
            /// nothing, and drops its item.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`], with the item.
            pub async fn send_async($($receiver)+, item: T) -> Result<(), SendError<T>> {
                let place = $this.await_to_claim(1).await;
                $this.put_if(place, item)
            }

            /// The item moves once: into its place, or back.
            #[inline]
            fn put_if(
                $($receiver)+,
                place: Result<u64, Refused>,
                item: T,
            ) -> Result<(), SendError<T>> {
                match place {
                    Ok(place) => {
                        $this.put(place, item);
                        Ok(())
                    }
                    Err(why) => Err(SendError { item, why }),
                }
            }

            /// Sends what `make` gives, built in its place in the ring; blocks while the ring is
            /// full. If `make` panics, nothing is sent.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`]; `make` has not run then.
            #[inline]
            pub fn send_with($($receiver)+, make: impl FnOnce() -> T) -> Result<(), Refused> {
                let mut claim = $this.claim(1)?;
                claim.push_with(make);
                claim.commit();
                Ok(())
            }

            /// Sends what `make` gives, built in its place in the ring, if there is room. If `make`
            /// panics, nothing is sent.
            ///
            /// # Errors
            ///
            /// [`Refused::Full`] or [`Refused::Closed`]; `make` has not run then.
            #[inline]
            pub fn try_send_with($($receiver)+, make: impl FnOnce() -> T) -> Result<(), Refused> {
                let mut claim = $this.try_claim(1)?;
                claim.push_with(make);
                claim.commit();
                Ok(())
            }

            /// Claims room for `count` items, to be filled in place and sent together, if there is.
            ///
            /// # Errors
            ///
            /// [`Refused::Full`], [`Refused::Closed`], or [`Refused::TooLarge`] if the ring's
            /// capacity is less than `count`.
            #[inline]
            pub fn try_claim($($receiver)+, count: usize) -> Result<$Claim<'_, T>, Refused> {
                let first = $this.claim_places(count)?;
                Ok($this.claimed(first, count))
            }

            /// The same; blocks while there is not enough room.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`] or [`Refused::TooLarge`].
            #[inline]
            pub fn claim($($receiver)+, count: usize) -> Result<$Claim<'_, T>, Refused> {
                let first = match $this.claim_places(count) {
                    Err(Refused::Full) => $this.wait_to_claim(count, None)?,
                    done => done?,
                };
                Ok($this.claimed(first, count))
            }

            /// The same, until `deadline` at the latest.
            ///
            /// # Errors
            ///
            /// Those of `claim`, and [`Refused::TimedOut`].
            pub fn claim_deadline(
                $($receiver)+,
                count: usize,
                deadline: Instant,
            ) -> Result<$Claim<'_, T>, Refused> {
                let first = $this.wait_to_claim(count, Some(deadline))?;
                Ok($this.claimed(first, count))
            }

            /// The same; awaits room. A future that is dropped has claimed nothing.
            ///
            /// # Errors
            ///
            /// Those of `claim`.
            pub async fn claim_async(
                $($receiver)+,
                count: usize,
            ) -> Result<$Claim<'_, T>, Refused> {
                let first = $this.await_to_claim(count).await?;
                Ok($this.claimed(first, count))
            }

            #[cold]
            fn wait_to_claim(
                $($receiver)+,
                count: usize,
                deadline: Option<Instant>,
            ) -> Result<u64, Refused> {
                let shared = Arc::clone(&$this.shared);
                let attempt = || match $this.claim_places(count) {
                    Err(Refused::Full) => None,
                    done => Some(done),
                };
                let claimed =
                    shared.senders.block_for(count as u64, deadline, attempt, || shared.has_room());
                claimed.unwrap_or(Err(Refused::TimedOut))
            }

            async fn await_to_claim($($receiver)+, count: usize) -> Result<u64, Refused> {
                match $this.claim_places(count) {
                    Err(Refused::Full) => {}
                    done => return done,
                }
                let shared = Arc::clone(&$this.shared);
                let attempt = || match $this.claim_places(count) {
                    Err(Refused::Full) => None,
                    done => Some(done),
                };
                shared.senders.wait_for(count as u64, attempt, || shared.has_room()).await
            }
        }
    };
}

/// `recv` and `drain` in their blocking, deadline and async forms, and the iterators.
macro_rules! receiving {
    ([$($receiver:tt)+] $this:ident, [$($This:tt)+], $Receiver:ident, $Drain:ident) => {
        impl<T> $Receiver<T> {
            /// Receives the next item; blocks while the ring is empty.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`].
            #[inline]
            pub fn recv($($receiver)+) -> Result<T, RecvError> {
                match $this.try_recv() {
                    Err(RecvError::Empty) => $this.wait_to_take(None, |this| this.try_recv()),
                    done => done,
                }
            }

            /// Receives the next item; blocks while the ring is empty, until `deadline` at the
            /// latest.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`] or [`RecvError::TimedOut`].
            pub fn recv_deadline($($receiver)+, deadline: Instant) -> Result<T, RecvError> {
                match $this.try_recv() {
                    Err(RecvError::Empty) => {
                        $this.wait_to_take(Some(deadline), |this| this.try_recv())
                    }
                    done => done,
                }
            }

            /// Receives the next item; awaits it. A future that is dropped has received nothing.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`].
            pub async fn recv_async($($receiver)+) -> Result<T, RecvError> {
                $this.await_to_take(|this| this.try_recv()).await
            }

            /// Takes up to `max` items that are there, as an iterator. Their places become free
            /// together, when it is dropped; items that were not iterated over are dropped with it.
            ///
            /// # Errors
            ///
            /// [`RecvError::Empty`] or [`RecvError::Closed`].
            #[inline]
            pub fn try_drain($($receiver)+, max: usize) -> Result<$Drain<'_, T>, RecvError> {
                let (first, count) = $this.take_places(max)?;
                Ok($this.taken(first, count))
            }

            /// The same; blocks until there is at least one.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`].
            #[inline]
            pub fn drain($($receiver)+, max: usize) -> Result<$Drain<'_, T>, RecvError> {
                let (first, count) = match $this.take_places(max) {
                    Err(RecvError::Empty) => {
                        $this.wait_to_take(None, |this| this.take_places(max))?
                    }
                    done => done?,
                };
                Ok($this.taken(first, count))
            }

            /// The same, until `deadline` at the latest.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`] or [`RecvError::TimedOut`].
            pub fn drain_deadline(
                $($receiver)+,
                max: usize,
                deadline: Instant,
            ) -> Result<$Drain<'_, T>, RecvError> {
                let (first, count) =
                    $this.wait_to_take(Some(deadline), |this| this.take_places(max))?;
                Ok($this.taken(first, count))
            }

            /// The same; awaits the first. A future that is dropped has taken nothing.
            ///
            /// # Errors
            ///
            /// [`RecvError::Closed`].
            pub async fn drain_async(
                $($receiver)+,
                max: usize,
            ) -> Result<$Drain<'_, T>, RecvError> {
                let (first, count) = $this.await_to_take(|this| this.take_places(max)).await?;
                Ok($this.taken(first, count))
            }

            /// The items that come, until the ring is closed and empty; blocks while it is empty.
            pub fn iter($($receiver)+) -> impl Iterator<Item = T> {
                std::iter::from_fn(move || $this.recv().ok())
            }

            /// The items that are there, until the ring is empty.
            pub fn try_iter($($receiver)+) -> impl Iterator<Item = T> {
                std::iter::from_fn(move || $this.try_recv().ok())
            }

            #[cold]
            fn wait_to_take<R>(
                $($receiver)+,
                deadline: Option<Instant>,
                mut take: impl FnMut($($This)+) -> Result<R, RecvError>,
            ) -> Result<R, RecvError> {
                let shared = Arc::clone(&$this.shared);
                let attempt = || match take($this) {
                    Err(RecvError::Empty) => None,
                    done => Some(done),
                };
                let taken = shared.receivers.block(deadline, attempt, || shared.has_items());
                taken.unwrap_or(Err(RecvError::TimedOut))
            }

            async fn await_to_take<R>(
                $($receiver)+,
                mut take: impl FnMut($($This)+) -> Result<R, RecvError>,
            ) -> Result<R, RecvError> {
                match take($this) {
                    Err(RecvError::Empty) => {}
                    done => return done,
                }
                let shared = Arc::clone(&$this.shared);
                let attempt = || match take($this) {
                    Err(RecvError::Empty) => None,
                    done => Some(done),
                };
                shared.receivers.wait(attempt, || shared.has_items()).await
            }
        }
    };
}

/// What both handles of a ring tell about it, and closing. The ring's shared part brings `close`,
/// `is_closed`, `len`, `capacity` and `stats`.
macro_rules! looking {
    ($Handle:ident, $name:literal, $close:literal) => {
        impl<T> $Handle<T> {
            #[doc = $close]
            pub fn close(&self) {
                self.shared.close();
            }

            /// Whether the ring is closed. There may be items inside.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.shared.is_closed()
            }

            /// Items inside, about: other threads go on meanwhile.
            #[must_use]
            pub fn len(&self) -> usize {
                self.shared.len()
            }

            /// Whether nothing is inside.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Items that the ring has room for.
            #[must_use]
            pub fn capacity(&self) -> usize {
                self.shared.slots.capacity() as usize
            }

            /// Counts of what the ring has been through.
            #[must_use]
            pub fn stats(&self) -> RingStats {
                self.shared.stats()
            }
        }

        impl<T> fmt::Debug for $Handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).field("stats", &self.stats()).finish()
            }
        }
    };
}

pub(crate) use {looking, receiving, sending};
