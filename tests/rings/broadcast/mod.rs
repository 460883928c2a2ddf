//! The broadcast ring.

mod life;
mod order;
mod panics;
mod select;
mod topology;
mod waiting;

use ringbolt::ring::broadcast::{Receiver, Sender};
use ringbolt::ring::{Refused, RingOptions};

/// What the counters begin with: at their beginning, and so that they wrap soon.
const STARTS: [u64; 3] = [0, u64::MAX - 2, (1 << 62) - 3];

/// A ring with one sender and `N` receivers beside each other.
fn ring<T, const N: usize>(capacity: usize, first: u64) -> (Sender<T>, [Receiver<T>; N]) {
    let options = RingOptions::new(capacity).starting_at(first);
    let mut ring = options.broadcast().unwrap();
    let receivers = std::array::from_fn(|_| ring.receiver());
    (ring.single().unwrap(), receivers)
}

/// Everything that is there.
fn all<T: Clone>(receiver: &mut Receiver<T>) -> Vec<T> {
    receiver.try_iter_cloned().collect()
}

fn is_full<T>(sender: &mut Sender<T>, item: T) -> bool {
    matches!(sender.try_send(item), Err(error) if error.why == Refused::Full)
}

fn panics(run: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
}
