//! Awaiting the next record, on any executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::log::core::Core;
use crate::log::read::cursor::Step;
use crate::log::read::need::Need;
use crate::log::read::reader::Reader;
use crate::log::read::record::Record;
use crate::sync::waiters::Key;

/// The next record, awaited; see [`Reader::next_async`]. Dropped before it is done, it has taken
/// nothing.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Next<'a> {
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
        Self {
            reader: Some(reader),
            waits: None,
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

impl<'a> Future for Next<'a> {
    type Output = Result<Record<'a>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reader = self
            .reader
            .take()
            .expect("not polled again after it was done");
        loop {
            match reader.cursor.poll() {
                Ok(Step::Ready) => {
                    self.waits = None;
                    return Poll::Ready(Ok(reader.lend()));
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
}
