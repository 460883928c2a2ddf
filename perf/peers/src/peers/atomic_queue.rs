//! atomic-queue: many to many; cannot wait.

use std::sync::Arc;

use super::clones;
use crate::item::Item;
use crate::queue::{Queue, Rx, Tx};

pub struct AtomicQueue;

/// Either side: both share the queue.
#[derive(Clone)]
pub struct Side<T>(Arc<atomic_queue::Queue<T>>);

impl<T: Item> Queue<T> for AtomicQueue {
    type Tx = Side<T>;
    type Rx = Side<T>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let side = Side(Arc::new(atomic_queue::bounded(capacity)));
        (clones(side.clone(), producers), clones(side, consumers))
    }
}

impl<T: Item> Tx<T> for Side<T> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.0.push(make())
    }
}

impl<T: Item> Rx<T> for Side<T> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.0.pop().map(|item| each(&item)).is_some()
    }
}
