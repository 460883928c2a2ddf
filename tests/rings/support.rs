//! What the rings' tests share.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Makes items that count how often they are made and dropped.
#[derive(Clone, Default, Debug)]
pub(crate) struct Counted(Arc<(AtomicUsize, AtomicUsize)>);

/// One of them, with a number; the one that is told to panics when it is dropped.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) number: usize,
    panics: bool,
    counted: Counted,
}

impl Counted {
    pub(crate) fn make(&self, number: usize) -> Item {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        Item {
            number,
            panics: false,
            counted: self.clone(),
        }
    }

    pub(crate) fn make_panicking(&self, number: usize) -> Item {
        let mut item = self.make(number);
        item.panics = true;
        item
    }

    /// Made and not dropped.
    pub(crate) fn alive(&self) -> usize {
        self.0.0.load(Ordering::Relaxed) - self.0.1.load(Ordering::Relaxed)
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.counted.0.1.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics, "an item's drop panics");
    }
}

/// Wakes a thread.
struct Alarm(Thread);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Alarm(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// A waker that counts its calls.
#[derive(Debug, Default)]
pub(crate) struct Calls(AtomicUsize);

impl Calls {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let calls = Arc::new(Self::default());
        (Arc::clone(&calls), Waker::from(calls))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls a future once.
pub(crate) fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}
