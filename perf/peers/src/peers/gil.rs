//! gil: a queue for each shape; batches for one producer and one consumer; a parking variant of that.

use std::num::NonZeroUsize;

use super::{clones, single};
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};

macro_rules! queue {
    ($name:ident, $($module:ident)::+, $producers:ident, $consumers:ident) => {
        pub struct $name;

        impl<T: Item> Queue<T> for $name {
            type Tx = $($module)::+::Sender<T>;
            type Rx = $($module)::+::Receiver<T>;

            fn open(
                capacity: usize,
                producers: usize,
                consumers: usize,
            ) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
                let size = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
                let (tx, rx) = $($module)::+::channel(size);
                ($producers(tx, producers), $consumers(rx, consumers))
            }
        }
    };
}

macro_rules! one_by_one {
    ($($module:ident)::+) => {
        impl<T: Item> Tx<T> for $($module)::+::Sender<T> {
            #[inline(always)]
            fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
                self.try_send(make()).is_ok()
            }
        }

        impl<T: Item> Rx<T> for $($module)::+::Receiver<T> {
            #[inline(always)]
            fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
                self.try_recv().map(|item| each(&item)).is_some()
            }
        }
    };
}

macro_rules! in_batches {
    ($($module:ident)::+) => {
        impl<T: Item> Tx<T> for $($module)::+::Sender<T> {
            #[inline(always)]
            fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
                self.try_send(make()).is_ok()
            }

            #[inline(always)]
            fn try_put_many(&mut self, count: usize, mut make: impl FnMut(usize) -> T) -> usize {
                let slots = self.write_buffer();
                let count = count.min(slots.len());
                for (index, slot) in slots[..count].iter_mut().enumerate() {
                    slot.write(make(index));
                }
                // SAFETY: `count` slots of the latest buffer were written.
                unsafe { self.commit(count) };
                count
            }
        }

        impl<T: Item> Rx<T> for $($module)::+::Receiver<T> {
            #[inline(always)]
            fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
                self.try_recv().map(|item| each(&item)).is_some()
            }

            #[inline(always)]
            fn try_take_many(&mut self, max: usize, each: impl FnMut(&T)) -> usize {
                let mut guard = self.read_guard();
                let count = guard.len().min(max);
                guard.as_slice()[..count].iter().for_each(each);
                guard.advance(count);
                count
            }
        }
    };
}

queue!(GilSpsc, gil::spsc, single, single);
queue!(GilSpscParking, gil::spsc::parking, single, single);
queue!(GilMpsc, gil::mpsc, clones, single);
queue!(GilSpmc, gil::spmc, single, clones);
queue!(GilMpmc, gil::mpmc, clones, clones);
in_batches!(gil::spsc);
in_batches!(gil::spsc::parking);
one_by_one!(gil::mpsc);
one_by_one!(gil::spmc);
one_by_one!(gil::mpmc);

impl<T: Item> BlockingTx<T> for gil::spsc::parking::Sender<T> {
    fn put(&mut self, item: T) -> bool {
        self.send(item);
        true
    }
}

/// Its consumer is not told that the producer is gone: good where items are counted only.
impl<T: Item> BlockingRx<T> for gil::spsc::parking::Receiver<T> {
    fn take(&mut self, each: impl FnOnce(&T)) -> bool {
        each(&self.recv());
        true
    }
}
