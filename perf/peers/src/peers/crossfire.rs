//! crossfire: a bounded channel for each shape. Its backoff is set to the machine, as it asks for.

use crossfire::{MRx, MTx, Rx as OneRx, Tx as OneTx, mpmc, mpsc, spsc};

use super::{clones, single};
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};

macro_rules! queue {
    ($name:ident, $module:ident, $tx:ident, $rx:ident, $producers:ident, $consumers:ident) => {
        pub struct $name;

        impl<T: Item> Queue<T> for $name {
            type Tx = $tx<$module::Array<T>>;
            type Rx = $rx<$module::Array<T>>;

            fn open(
                capacity: usize,
                producers: usize,
                consumers: usize,
            ) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
                crossfire::detect_backoff_cfg();
                let (tx, rx) = $module::bounded_blocking(capacity);
                ($producers(tx, producers), $consumers(rx, consumers))
            }
        }
    };
}

macro_rules! sender {
    ($sender:ty) => {
        impl<T: Item> Tx<T> for $sender {
            #[inline(always)]
            fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
                self.try_send(make()).is_ok()
            }
        }

        impl<T: Item> BlockingTx<T> for $sender {
            #[inline(always)]
            fn put(&mut self, item: T) -> bool {
                self.send(item).is_ok()
            }
        }
    };
}

macro_rules! receiver {
    ($receiver:ty) => {
        impl<T: Item> Rx<T> for $receiver {
            #[inline(always)]
            fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
                self.try_recv().map(|item| each(&item)).is_ok()
            }
        }

        impl<T: Item> BlockingRx<T> for $receiver {
            #[inline(always)]
            fn take(&mut self, each: impl FnOnce(&T)) -> bool {
                self.recv().map(|item| each(&item)).is_ok()
            }
        }
    };
}

queue!(CrossfireSpsc, spsc, OneTx, OneRx, single, single);
queue!(CrossfireMpsc, mpsc, MTx, OneRx, clones, single);
queue!(CrossfireMpmc, mpmc, MTx, MRx, clones, clones);
sender!(OneTx<spsc::Array<T>>);
sender!(MTx<mpsc::Array<T>>);
sender!(MTx<mpmc::Array<T>>);
receiver!(OneRx<spsc::Array<T>>);
receiver!(OneRx<mpsc::Array<T>>);
receiver!(MRx<mpmc::Array<T>>);
