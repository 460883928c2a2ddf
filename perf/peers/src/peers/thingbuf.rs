//! thingbuf: a blocking channel for one consumer, whose slots are lent and read in place.

use thingbuf::mpsc::blocking::{Receiver, Sender, channel};

use super::{clones, single};
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};

pub struct Thingbuf;

impl<T: Item> Queue<T> for Thingbuf {
    type Tx = Sender<T>;
    type Rx = Receiver<T>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let (tx, rx) = channel(capacity);
        (clones(tx, producers), single(rx, consumers))
    }
}

impl<T: Item> Tx<T> for Sender<T> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.try_send_ref().map(|mut slot| *slot = make()).is_ok()
    }
}

impl<T: Item> Rx<T> for Receiver<T> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.try_recv_ref().map(|slot| each(&slot)).is_ok()
    }
}

impl<T: Item> BlockingTx<T> for Sender<T> {
    #[inline(always)]
    fn put(&mut self, item: T) -> bool {
        self.send_ref().map(|mut slot| *slot = item).is_ok()
    }
}

impl<T: Item> BlockingRx<T> for Receiver<T> {
    #[inline(always)]
    fn take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.recv_ref().map(|slot| each(&slot)).is_some()
    }
}
