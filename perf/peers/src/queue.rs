//! What a queue under test must offer, in the words of no library.
//!
//! All calls are generic, so that each queue is compiled into its own loop. Making an item and reading
//! it happen in closures, so that a queue that lends its slots can do both in place, and one that moves
//! items moves them.

use crate::item::Item;

/// A queue in which each item goes to one consumer.
pub trait Queue<T: Item> {
    type Tx: Tx<T>;
    type Rx: Rx<T>;

    /// A new queue for at least `capacity` items, with handles for these many producers and consumers.
    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>);
}

/// A ring in which each consumer gets each item: one producer, three consumers.
pub trait Fan<T: Item> {
    type BroadcastTx: Tx<T>;
    type DiamondTx: Tx<T>;
    /// A consumer of what the producer publishes.
    type First: Rx<T>;
    /// A consumer of what others have consumed.
    type Last: Rx<T>;

    /// Three consumers beside each other.
    fn broadcast(capacity: usize) -> (Self::BroadcastTx, [Self::First; 3]);

    /// Two consumers beside each other, and one behind both.
    fn diamond(capacity: usize) -> (Self::DiamondTx, [Self::First; 2], Self::Last);
}

/// A producer's handle.
pub trait Tx<T: Item>: Send {
    /// Puts one item, or nothing where the queue is full.
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool;

    /// Puts up to `count` items, in one piece where the library can, and says how many.
    #[inline(always)]
    fn try_put_many(&mut self, count: usize, mut make: impl FnMut(usize) -> T) -> usize {
        (0..count)
            .take_while(|&index| self.try_put(|| make(index)))
            .count()
    }
}

/// A consumer's handle.
pub trait Rx<T: Item>: Send {
    /// Takes one item, or nothing where there is none.
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool;

    /// Takes up to `max` items, in one piece where the library can, and says how many. A library that
    /// only drains all may take more.
    #[inline(always)]
    fn try_take_many(&mut self, max: usize, mut each: impl FnMut(&T)) -> usize {
        (0..max).take_while(|_| self.try_take(&mut each)).count()
    }
}

/// A producer's handle that can wait for room.
pub trait BlockingTx<T: Item>: Tx<T> {
    /// Waits for room and puts the item; false if that will never be.
    fn put(&mut self, item: T) -> bool;
}

/// A consumer's handle that can wait for an item.
pub trait BlockingRx<T: Item>: Rx<T> {
    /// Waits for an item; false if the producers are gone and all is taken.
    fn take(&mut self, each: impl FnOnce(&T)) -> bool;
}

/// A queue of byte records, for one consumer.
pub trait Bytes {
    type Tx: BytesTx;
    type Rx: BytesRx;

    /// A new queue of `capacity` bytes.
    fn open(capacity: usize, producers: usize) -> (Vec<Self::Tx>, Self::Rx);
}

/// A producer's handle of a byte ring.
pub trait BytesTx: Send {
    /// Puts a record of `len` bytes, filled in place, or nothing where there is no room.
    fn try_put(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool;
}

/// The consumer's handle of a byte ring.
pub trait BytesRx: Send {
    /// Takes up to `max` records, read in place, in one piece where the library can; says how many.
    fn try_take(&mut self, max: usize, each: impl FnMut(&[u8])) -> usize;
}
