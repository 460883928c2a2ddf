//! What the rings' tests share.

use std::future::Future;
use std::pin::pin;
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

/// Wakes a thread, and counts how often.
pub(crate) struct Alarm {
    thread: Thread,
    pub(crate) rung: AtomicUsize,
}

impl Alarm {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            thread: thread::current(),
            rung: AtomicUsize::new(0),
        })
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// The smallest executor.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Alarm::new());
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls once.
pub(crate) fn poll_once<F: Future>(
    future: std::pin::Pin<&mut F>,
    waker: &Waker,
) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}
