//! The standard library's bounded channel.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{clones, single};
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};

pub struct StdChannel;

impl<T: Item> Queue<T> for StdChannel {
    type Tx = SyncSender<T>;
    type Rx = Receiver<T>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let (tx, rx) = sync_channel(capacity);
        (clones(tx, producers), single(rx, consumers))
    }
}

impl<T: Item> Tx<T> for SyncSender<T> {
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

impl<T: Item> BlockingTx<T> for SyncSender<T> {
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
