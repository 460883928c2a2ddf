//! kanal: a bounded channel behind a spinning lock; takes in batches by draining all.

use kanal::{Receiver, Sender};

use super::clones;
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};
use crate::work::BATCH;

pub struct Kanal;

/// With the vector that it drains into.
pub struct Drainer<T>(Receiver<T>, Vec<T>);

impl<T: Item> Queue<T> for Kanal {
    type Tx = Sender<T>;
    type Rx = Drainer<T>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let (tx, rx) = kanal::bounded(capacity);
        let drainer = |rx| Drainer(rx, Vec::with_capacity(BATCH));
        let rxs = clones(rx, consumers).into_iter().map(drainer).collect();
        (clones(tx, producers), rxs)
    }
}

impl<T: Item> Tx<T> for Sender<T> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.try_send(make()) == Ok(true)
    }
}

impl<T: Item> Rx<T> for Drainer<T> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        matches!(self.0.try_recv(), Ok(Some(item)) if { each(&item); true })
    }

    #[inline(always)]
    fn try_take_many(&mut self, _max: usize, each: impl FnMut(&T)) -> usize {
        let Self(rx, items) = self;
        items.clear();
        let _ = rx.drain_into(items);
        items.iter().for_each(each);
        items.len()
    }
}

impl<T: Item> BlockingTx<T> for Sender<T> {
    #[inline(always)]
    fn put(&mut self, item: T) -> bool {
        self.send(item).is_ok()
    }
}

impl<T: Item> BlockingRx<T> for Drainer<T> {
    #[inline(always)]
    fn take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.0.recv().map(|item| each(&item)).is_ok()
    }
}
