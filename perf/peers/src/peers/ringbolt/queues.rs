//! The queues: each item for one receiver.

use ringbolt::ring::{mpmc, mpsc, spsc};

use super::super::{clones, single};
use super::IN_PLACE_BYTES;
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};

macro_rules! queue {
    ($name:ident, $module:ident, $producers:ident, $consumers:ident, $see:ident) => {
        pub struct $name;

        impl<T: Item> Queue<T> for $name {
            type Tx = $module::Sender<T>;
            type Rx = $module::Receiver<T>;

            fn open(
                capacity: usize,
                producers: usize,
                consumers: usize,
            ) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
                let (tx, rx) = $module::ring(capacity).expect("the capacity is a sound one");
                ($producers(tx, producers), $consumers(rx, consumers))
            }
        }

        impl<T: Item> Tx<T> for $module::Sender<T> {
            #[inline(always)]
            fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
                if size_of::<T>() >= IN_PLACE_BYTES {
                    self.try_send_with(make).is_ok()
                } else {
                    self.try_send(make()).is_ok()
                }
            }

            #[inline(always)]
            fn try_put_many(&mut self, count: usize, make: impl FnMut(usize) -> T) -> usize {
                let Ok(mut claim) = self.try_claim(count) else {
                    return 0;
                };
                claim.fill((0..count).map(make));
                claim.commit();
                count
            }
        }

        impl<T: Item> Rx<T> for $module::Receiver<T> {
            #[inline(always)]
            fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
                self.try_recv().map(|item| each(&item)).is_ok()
            }

            #[inline(always)]
            fn try_take_many(&mut self, max: usize, mut each: impl FnMut(&T)) -> usize {
                self.try_drain(max).map_or(0, |drain| $see(drain, &mut each))
            }
        }

        impl<T: Item> BlockingTx<T> for $module::Sender<T> {
            #[inline(always)]
            fn put(&mut self, item: T) -> bool {
                self.send(item).is_ok()
            }
        }

        impl<T: Item> BlockingRx<T> for $module::Receiver<T> {
            #[inline(always)]
            fn take(&mut self, each: impl FnOnce(&T)) -> bool {
                self.recv().map(|item| each(&item)).is_ok()
            }
        }
    };
}

queue!(RingboltSpsc, spsc, single, single, see_slices);
queue!(RingboltMpsc, mpsc, clones, single, see_each);
queue!(RingboltMpmc, mpmc, clones, clones, see_each);

/// Looks at the items of one sender where they lie.
#[inline(always)]
fn see_slices<T>(drain: spsc::Drain<'_, T>, each: &mut impl FnMut(&T)) -> usize {
    let (run, wrapped) = drain.as_slices();
    run.iter().chain(wrapped).for_each(each);
    run.len() + wrapped.len()
}

#[inline(always)]
fn see_each<T>(drain: impl Iterator<Item = T>, each: &mut impl FnMut(&T)) -> usize {
    drain.map(|item| each(&item)).count()
}
