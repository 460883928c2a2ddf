//! crossbeam: the array queue, which cannot wait, and the bounded channel, which can.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use crossbeam_queue::ArrayQueue;

use super::clones;
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};

pub struct CrossbeamArray;
pub struct CrossbeamChannel;

impl<T: Item> Queue<T> for CrossbeamArray {
    type Tx = Arc<ArrayQueue<T>>;
    type Rx = Arc<ArrayQueue<T>>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let queue = Arc::new(ArrayQueue::new(capacity));
        (
            clones(Arc::clone(&queue), producers),
            clones(queue, consumers),
        )
    }
}

impl<T: Item> Tx<T> for Arc<ArrayQueue<T>> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.push(make()).is_ok()
    }
}

impl<T: Item> Rx<T> for Arc<ArrayQueue<T>> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.pop().map(|item| each(&item)).is_some()
    }
}

impl<T: Item> Queue<T> for CrossbeamChannel {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let (tx, rx) = crossbeam_channel::bounded(capacity);
        (clones(tx, producers), clones(rx, consumers))
    }
}

impl<T: Item> Tx<T> for Sender<T> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.try_send(make()).is_ok()
    }
}

impl<T: Item> Rx<T> for Receiver<T> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.try_recv().map(|item| each(&item)).is_ok()
    }
}

impl<T: Item> BlockingTx<T> for Sender<T> {
    #[inline(always)]
    fn put(&mut self, item: T) -> bool {
        self.send(item).is_ok()
    }
}

impl<T: Item> BlockingRx<T> for Receiver<T> {
    #[inline(always)]
    fn take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.recv().map(|item| each(&item)).is_ok()
    }
}
