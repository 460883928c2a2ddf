//! The forms of sending that follow from the attempts, written once for both byte rings.
//!
//! A sender brings `try_send`, `place` (claims room in one piece if there is), `need` (what room a
//! waiter is woken for), `claimed` and `batched` (make guards of places). `[&mut self]` or `[&self]`
//! says how its calls take it.

macro_rules! sending {
    ([$($receiver:tt)+] $this:ident) => {
        impl Sender {
            /// Sends a copy of `payload`; blocks while there is not enough room.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`] or [`Refused::TooLarge`].
            #[inline]
            pub fn send($($receiver)+, payload: &[u8]) -> Result<(), Refused> {
                match $this.try_send(payload) {
                    Err(Refused::Full) => $this.send_slow(payload, None),
                    done => done,
                }
            }

            /// Sends a copy of `payload`; blocks while there is not enough room, until `deadline` at
            /// the latest.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`], [`Refused::TooLarge`] or [`Refused::TimedOut`].
            pub fn send_deadline(
                $($receiver)+,
                payload: &[u8],
                deadline: Instant,
            ) -> Result<(), Refused> {
                match $this.try_send(payload) {
                    Err(Refused::Full) => $this.send_slow(payload, Some(deadline)),
                    done => done,
                }
            }

            #[cold]
            fn send_slow(
                $($receiver)+,
                payload: &[u8],
                deadline: Option<Instant>,
            ) -> Result<(), Refused> {
                let bytes = $this.shared.record_bytes(payload.len())?;
                let place = $this.wait_for_place(bytes, deadline)?;
                let mut claim = $this.claimed(place, payload.len());
                claim.copy_from_slice(payload);
                claim.commit();
                Ok(())
            }

            /// Sends a copy of `payload`; awaits room. A future that is dropped before it is done
            /// has sent nothing.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`] or [`Refused::TooLarge`].
            pub async fn send_async($($receiver)+, payload: &[u8]) -> Result<(), Refused> {
                let bytes = $this.shared.record_bytes(payload.len())?;
                let place = $this.await_place(bytes).await?;
                let mut claim = $this.claimed(place, payload.len());
                claim.copy_from_slice(payload);
                claim.commit();
                Ok(())
            }

            /// Sends a record of `len` bytes that `fill` writes in place, if there is room. What is
            /// there before is unspecified. If `fill` panics, nothing is sent.
            ///
            /// # Errors
            ///
            /// [`Refused::Full`], [`Refused::Closed`] or [`Refused::TooLarge`]; `fill` has not run
            /// then.
            #[inline]
            pub fn try_send_with(
                $($receiver)+,
                len: usize,
                fill: impl FnOnce(&mut [u8]),
            ) -> Result<(), Refused> {
                let mut claim = $this.try_claim(len)?;
                fill(&mut claim);
                claim.commit();
                Ok(())
            }

            /// The same; blocks while there is not enough room.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`] or [`Refused::TooLarge`].
            #[inline]
            pub fn send_with(
                $($receiver)+,
                len: usize,
                fill: impl FnOnce(&mut [u8]),
            ) -> Result<(), Refused> {
                let mut claim = $this.claim(len)?;
                fill(&mut claim);
                claim.commit();
                Ok(())
            }

            /// The same, until `deadline` at the latest.
            ///
            /// # Errors
            ///
            /// Those of `send_with`, and [`Refused::TimedOut`].
            pub fn send_with_deadline(
                $($receiver)+,
                len: usize,
                deadline: Instant,
                fill: impl FnOnce(&mut [u8]),
            ) -> Result<(), Refused> {
                let mut claim = $this.claim_deadline(len, deadline)?;
                fill(&mut claim);
                claim.commit();
                Ok(())
            }

            /// The same; awaits room. A future that is dropped before it is done has sent nothing.
            ///
            /// # Errors
            ///
            /// Those of `send_with`.
            pub async fn send_with_async(
                $($receiver)+,
                len: usize,
                fill: impl FnOnce(&mut [u8]),
            ) -> Result<(), Refused> {
                let bytes = $this.shared.record_bytes(len)?;
                let place = $this.await_place(bytes).await?;
                let mut claim = $this.claimed(place, len);
                fill(&mut claim);
                claim.commit();
                Ok(())
            }

            /// Claims room for a record of `len` bytes, to be filled in place, if there is.
            ///
            /// # Errors
            ///
            /// [`Refused::Full`], [`Refused::Closed`] or [`Refused::TooLarge`].
            #[inline]
            pub fn try_claim($($receiver)+, len: usize) -> Result<Claim<'_>, Refused> {
                let bytes = $this.shared.record_bytes(len)?;
                let place = $this.place(bytes)?;
                Ok($this.claimed(place, len))
            }

            /// The same; blocks while there is not enough room.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`] or [`Refused::TooLarge`].
            #[inline]
            pub fn claim($($receiver)+, len: usize) -> Result<Claim<'_>, Refused> {
                let bytes = $this.shared.record_bytes(len)?;
                let place = match $this.place(bytes) {
                    Err(Refused::Full) => $this.wait_for_place(bytes, None)?,
                    place => place?,
                };
                Ok($this.claimed(place, len))
            }

            /// The same, until `deadline` at the latest.
            ///
            /// # Errors
            ///
            /// Those of `claim`, and [`Refused::TimedOut`].
            pub fn claim_deadline(
                $($receiver)+,
                len: usize,
                deadline: Instant,
            ) -> Result<Claim<'_>, Refused> {
                let bytes = $this.shared.record_bytes(len)?;
                let place = $this.wait_for_place(bytes, Some(deadline))?;
                Ok($this.claimed(place, len))
            }

            /// The same; awaits room. A future that is dropped has claimed nothing.
            ///
            /// # Errors
            ///
            /// Those of `claim`.
            pub async fn claim_async($($receiver)+, len: usize) -> Result<Claim<'_>, Refused> {
                let bytes = $this.shared.record_bytes(len)?;
                let place = $this.await_place(bytes).await?;
                Ok($this.claimed(place, len))
            }

            /// Claims room for `records` records that have `payload_bytes` together, to be sent
            /// together, if there is. The room, `payload_bytes` and up to 15 bytes a record, is at
            /// most half of the ring.
            ///
            /// # Errors
            ///
            /// [`Refused::Full`], [`Refused::Closed`] or [`Refused::TooLarge`].
            #[inline]
            pub fn try_claim_batch(
                $($receiver)+,
                records: usize,
                payload_bytes: usize,
            ) -> Result<Batch<'_>, Refused> {
                let bytes = $this.shared.batch_bytes(records, payload_bytes)?;
                let place = $this.place(bytes)?;
                Ok($this.batched(place, bytes))
            }

            /// The same; blocks while there is not enough room.
            ///
            /// # Errors
            ///
            /// [`Refused::Closed`] or [`Refused::TooLarge`].
            #[inline]
            pub fn claim_batch(
                $($receiver)+,
                records: usize,
                payload_bytes: usize,
            ) -> Result<Batch<'_>, Refused> {
                let bytes = $this.shared.batch_bytes(records, payload_bytes)?;
                let place = match $this.place(bytes) {
                    Err(Refused::Full) => $this.wait_for_place(bytes, None)?,
                    place => place?,
                };
                Ok($this.batched(place, bytes))
            }

            /// The same, until `deadline` at the latest.
            ///
            /// # Errors
            ///
            /// Those of `claim_batch`, and [`Refused::TimedOut`].
            pub fn claim_batch_deadline(
                $($receiver)+,
                records: usize,
                payload_bytes: usize,
                deadline: Instant,
            ) -> Result<Batch<'_>, Refused> {
                let bytes = $this.shared.batch_bytes(records, payload_bytes)?;
                let place = $this.wait_for_place(bytes, Some(deadline))?;
                Ok($this.batched(place, bytes))
            }

            /// The same; awaits room. A future that is dropped has claimed nothing.
            ///
            /// # Errors
            ///
            /// Those of `claim_batch`.
            pub async fn claim_batch_async(
                $($receiver)+,
                records: usize,
                payload_bytes: usize,
            ) -> Result<Batch<'_>, Refused> {
                let bytes = $this.shared.batch_bytes(records, payload_bytes)?;
                let place = $this.await_place(bytes).await?;
                Ok($this.batched(place, bytes))
            }

            #[cold]
            fn wait_for_place(
                $($receiver)+,
                bytes: u64,
                deadline: Option<Instant>,
            ) -> Result<u64, Refused> {
                let shared = Arc::clone(&$this.shared);
                let need = $this.need(bytes);
                let attempt = || match $this.place(bytes) {
                    Err(Refused::Full) => None,
                    place => Some(place),
                };
                let place = shared.senders.block_for(need, deadline, attempt, || false);
                place.unwrap_or(Err(Refused::TimedOut))
            }

            async fn await_place($($receiver)+, bytes: u64) -> Result<u64, Refused> {
                match $this.place(bytes) {
                    Err(Refused::Full) => {}
                    place => return place,
                }
                let shared = Arc::clone(&$this.shared);
                let need = $this.need(bytes);
                let attempt = || match $this.place(bytes) {
                    Err(Refused::Full) => None,
                    place => Some(place),
                };
                shared.senders.wait_for(need, attempt, || false).await
            }

            /// Whether either side has closed the ring.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.shared.is_closed()
            }

            /// Bytes inside, with headers and padding, about: the receiver goes on meanwhile.
            #[must_use]
            pub fn len(&self) -> usize {
                self.shared.len()
            }

            /// Whether nothing is inside.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// The ring's size in bytes.
            #[must_use]
            pub fn capacity(&self) -> usize {
                self.shared.capacity() as usize
            }

            /// The largest record.
            #[must_use]
            pub fn payload_bytes_max(&self) -> usize {
                self.shared.payload_bytes_max()
            }

            /// Counts of what the ring has been through, in bytes.
            #[must_use]
            pub fn stats(&self) -> RingStats {
                self.shared.stats()
            }
        }
    };
}

pub(super) use sending;
