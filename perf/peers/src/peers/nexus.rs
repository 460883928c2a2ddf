//! nexus-queue: a queue for each shape but many to many.

use super::{clones, single};
use crate::item::Item;
use crate::queue::{Queue, Rx, Tx};

macro_rules! queue {
    ($name:ident, $module:ident, $producers:ident, $consumers:ident) => {
        pub struct $name;

        impl<T: Item> Queue<T> for $name {
            type Tx = nexus_queue::$module::Producer<T>;
            type Rx = nexus_queue::$module::Consumer<T>;

            fn open(
                capacity: usize,
                producers: usize,
                consumers: usize,
            ) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
                let (tx, rx) = nexus_queue::$module::ring_buffer(capacity);
                ($producers(tx, producers), $consumers(rx, consumers))
            }
        }

        impl<T: Item> Tx<T> for nexus_queue::$module::Producer<T> {
            #[inline(always)]
            fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
                self.push(make()).is_ok()
            }
        }

        impl<T: Item> Rx<T> for nexus_queue::$module::Consumer<T> {
            #[inline(always)]
            fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
                self.pop().map(|item| each(&item)).is_some()
            }
        }
    };
}

queue!(NexusSpsc, spsc, single, single);
queue!(NexusMpsc, mpsc, clones, single);
queue!(NexusSpmc, spmc, single, clones);
