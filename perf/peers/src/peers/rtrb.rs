//! rtrb: one producer, one consumer; batches by chunks.

use rtrb::{Consumer, Producer, RingBuffer};

use super::single;
use crate::item::Item;
use crate::queue::{Queue, Rx, Tx};

pub struct Rtrb;

impl<T: Item> Queue<T> for Rtrb {
    type Tx = Producer<T>;
    type Rx = Consumer<T>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let (tx, rx) = RingBuffer::new(capacity);
        (single(tx, producers), single(rx, consumers))
    }
}

impl<T: Item> Tx<T> for Producer<T> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.push(make()).is_ok()
    }

    #[inline(always)]
    fn try_put_many(&mut self, count: usize, make: impl FnMut(usize) -> T) -> usize {
        match self.write_chunk_uninit(count) {
            Ok(chunk) => chunk.fill_from_iter((0..count).map(make)),
            Err(_) => 0,
        }
    }
}

impl<T: Item> Rx<T> for Consumer<T> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.pop().map(|item| each(&item)).is_ok()
    }

    #[inline(always)]
    fn try_take_many(&mut self, max: usize, mut each: impl FnMut(&T)) -> usize {
        // The whole batch if it is there, else what there is.
        let count = match self.cached_slots() {
            enough if enough >= max => max,
            _ => self.slots().min(max),
        };
        let Ok(chunk) = self.read_chunk(count) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        first.iter().for_each(&mut each);
        second.iter().for_each(&mut each);
        chunk.commit_all();
        count
    }
}
