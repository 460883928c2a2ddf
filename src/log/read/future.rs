//! Awaiting the next record, or the next batch of them, on any executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::log::core::Core;
use crate::log::read::batch::Batch;
use crate::log::read::cursor::Step;
use crate::log::read::need::Need;
use crate::log::read::reader::Reader;
use crate::log::read::record::Record;
use crate::sync::waiters::Key;

/// The next record, awaited; see [`Reader::next_async`]. Dropped before it is done, it has taken
/// nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Next<'a>(AtHand<'a>);

/// The next batch, awaited; see [`Reader::next_batch_async`]. Dropped before it is done, it has
/// taken nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct NextBatch<'a> {
    at_hand: AtHand<'a>,
    max_records: usize,
    max_bytes: usize,
}

/// The reader, once it has a record at hand.
#[derive(Debug)]
struct AtHand<'a> {
    /// Gone once the future is done.
    reader: Option<&'a mut Reader>,
    waits: Option<Waits>,
}

/// A registration for a wake-up.
struct Waits {
    core: Arc<Core>,
    need: Need,
    key: Key,
}

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waits")
            .field("need", &self.need)
            .finish_non_exhaustive()
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.need.waiters(&self.core).remove(self.key);
    }
}

impl<'a> Next<'a> {
    pub(super) fn new(reader: &'a mut Reader) -> Self {
        Self(AtHand::new(reader))
    }
}

impl<'a> Future for Next<'a> {
    type Output = Result<Record<'a>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map_ok(Reader::lend)
    }
}

impl<'a> NextBatch<'a> {
    pub(super) fn new(reader: &'a mut Reader, max_records: usize, max_bytes: usize) -> Self {
        Self {
            at_hand: AtHand::new(reader),
            max_records,
            max_bytes,
        }
    }
}

impl<'a> Future for NextBatch<'a> {
    type Output = Result<Batch<'a>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (max_records, max_bytes) = (self.max_records, self.max_bytes);
        if let Some(reader) = &self.at_hand.reader {
            reader.check_batch(max_records)?;
        }
        let at_hand = self.at_hand.poll(cx);
        at_hand.map_ok(|reader| reader.lend_batch(max_records, max_bytes))
    }
}

impl<'a> AtHand<'a> {
    fn new(reader: &'a mut Reader) -> Self {
        Self {
            reader: Some(reader),
            waits: None,
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<&'a mut Reader>> {
        let reader = self
            .reader
            .take()
            .expect("not polled again after it was done");
        loop {
            match reader.cursor.poll() {
                Ok(Step::Ready) => {
                    self.waits = None;
                    return Poll::Ready(Ok(reader));
                }
                Err(error) => {
                    self.waits = None;
                    return Poll::Ready(Err(error));
                }
                Ok(Step::Wait(need)) => {
                    reader.cursor.pause();
                    // After a new registration one more look: what came before wakes nobody.
                    if self.stand(&reader.cursor.core, need, cx) {
                        self.reader = Some(reader);
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Stands in line for the need, with this task's waker. Says whether it stood there already.
    fn stand(&mut self, core: &Arc<Core>, need: Need, cx: &Context<'_>) -> bool {
        if let Some(waits) = &self.waits {
            if waits.need == need && need.waiters(core).update(waits.key, cx.waker()) {
                return true;
            }
        }
        // The old registration goes before the new one comes.
        self.waits = None;
        let key = need.waiters(core).register(need.value, cx.waker().clone());
        self.waits = Some(Waits {
            core: Arc::clone(core),
            need,
            key,
        });
        false
    }
}
