//! Ringbolt's own rings, with their default options.

#[cfg(feature = "ring-broadcast")]
mod broadcast;
#[cfg(feature = "ring-bytes")]
mod bytes;
#[cfg(feature = "ring-queues")]
mod queues;

#[cfg(feature = "ring-broadcast")]
pub use broadcast::RingboltBroadcast;
#[cfg(feature = "ring-bytes")]
pub use bytes::{RingboltBytesMpsc, RingboltBytesSpsc};
#[cfg(feature = "ring-queues")]
pub use queues::{RingboltMpmc, RingboltMpsc, RingboltSpsc};

/// From this size on, an item is built in its place instead of moved there.
#[cfg(any(feature = "ring-queues", feature = "ring-broadcast"))]
const IN_PLACE_BYTES: usize = 128;
