//! ringbuf: one producer, one consumer; batches by iterator and by slice.

use ringbuf::traits::{Consumer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use super::single;
use crate::item::Item;
use crate::queue::{Queue, Rx, Tx};

pub struct Ringbuf;

impl<T: Item> Queue<T> for Ringbuf {
    type Tx = HeapProd<T>;
    type Rx = HeapCons<T>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let (tx, rx) = HeapRb::new(capacity).split();
        (single(tx, producers), single(rx, consumers))
    }
}

impl<T: Item> Tx<T> for HeapProd<T> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.try_push(make()).is_ok()
    }

    #[inline(always)]
    fn try_put_many(&mut self, count: usize, make: impl FnMut(usize) -> T) -> usize {
        self.push_iter((0..count).map(make))
    }
}

impl<T: Item> Rx<T> for HeapCons<T> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.try_pop().map(|item| each(&item)).is_some()
    }

    #[inline(always)]
    fn try_take_many(&mut self, max: usize, mut each: impl FnMut(&T)) -> usize {
        // In place, then released at once: `pop_iter` releases each item by itself.
        let (first, second) = self.as_slices();
        let count = (first.len() + second.len()).min(max);
        first.iter().chain(second).take(count).for_each(&mut each);
        self.skip(count)
    }
}
