//! How a ring is made.

use crate::error::{Error, ErrorKind, Result};

/// The most items that a ring can be made for.
const CAPACITY_MAX: usize = 1 << 31;

/// How a ring's threads wait for each other. Futures always sleep at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Spin for ever: the shortest latency, for threads that own their processor.
    Spin,
    /// Spin a little, then let others run between two looks, for ever. Burns what nobody else wants.
    SpinYield,
    /// Spin for as long as it paid lately (2 to 50 us), then sleep until woken: takes no processor time when
    /// idle.
    #[default]
    SpinPark,
}

/// Options for making a ring.
///
/// ```
/// use ringbolt::ring::{RingOptions, WaitStrategy};
///
/// let options = RingOptions::new(1024).wait(WaitStrategy::SpinYield);
/// let (mut sender, mut receiver) = options.spsc::<u64>()?;
/// sender.send(7).unwrap();
/// assert_eq!(receiver.recv(), Ok(7));
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RingOptions {
    capacity: usize,
    pub(crate) wait: WaitStrategy,
    /// The number of the first place. Rings count places with wrapping 64-bit numbers.
    pub(crate) first: u64,
}

impl RingOptions {
    /// A ring of at least `capacity` items: rounded up to a power of two.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            wait: WaitStrategy::default(),
            first: 0,
        }
    }

    /// How both sides wait. Default: [`WaitStrategy::SpinPark`].
    #[must_use]
    pub fn wait(mut self, strategy: WaitStrategy) -> Self {
        self.wait = strategy;
        self
    }

    /// For tests: begins to count places at `first`, to see the counters wrap.
    #[doc(hidden)]
    #[must_use]
    pub fn starting_at(mut self, first: u64) -> Self {
        self.first = first;
        self
    }

    /// The capacity as it will be.
    pub(crate) fn capacity(&self) -> Result<usize> {
        match self.capacity {
            0 => Err(invalid("a ring must hold at least one item")),
            CAPACITY_MAX.. if self.capacity > CAPACITY_MAX => {
                Err(invalid("a ring can hold 2^31 items at most"))
            }
            capacity => Ok(capacity.next_power_of_two()),
        }
    }
}

fn invalid(detail: &str) -> Error {
    Error::new(ErrorKind::Invalid, detail).remedy("ask for 1 to 2^31 items")
}
