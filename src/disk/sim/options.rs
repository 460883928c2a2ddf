//! How a simulated disk is made.

use super::SimDisk;

/// The options of a simulated disk.
#[derive(Debug, Clone)]
pub struct SimOptions {
    pub(super) seed: u64,
    pub(super) direct: bool,
    pub(super) block_size: u32,
    pub(super) capacity: Option<u64>,
    pub(super) schedule: Schedule,
    pub(super) start_unix_ns: u64,
}

/// When a queue's writes, or reads, complete, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// Any number of them at each look, in any order.
    #[default]
    Random,
    /// All of them at the next look, in order.
    Eager,
    /// Only when they are waited for, one at a time, in order.
    Lazy,
}

impl SimOptions {
    /// Direct access with blocks of 4096 bytes, no limit of space, writes that complete in any
    /// order, and seed 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            seed: 0,
            direct: true,
            block_size: 4096,
            capacity: None,
            schedule: Schedule::Random,
            start_unix_ns: 1_700_000_000_000_000_000,
        }
    }

    /// The seed that all choices are drawn with.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether files are reached past the page cache. Then reads and writes must be aligned, and
    /// the writes of a killed process land later; else they are in the page cache already.
    #[must_use]
    pub fn direct(mut self, direct: bool) -> Self {
        self.direct = direct;
        self
    }

    /// The block size in bytes.
    ///
    /// # Panics
    ///
    /// If it is not a power of two from 512 on.
    #[must_use]
    pub fn block_size(mut self, bytes: u32) -> Self {
        assert!(
            bytes.is_power_of_two() && bytes >= 512,
            "a block is a power of two of at least 512 bytes"
        );
        self.block_size = bytes;
        self
    }

    /// How many bytes of files fit; unlimited by default.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// When writes and reads complete, and in which order.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Where the wall clock starts, in nanoseconds since 1970.
    #[must_use]
    pub fn start_unix_ns(mut self, ns: u64) -> Self {
        self.start_unix_ns = ns;
        self
    }

    /// Makes the disk, empty but for the directory `/`.
    #[must_use]
    pub fn build(self) -> SimDisk {
        SimDisk::from_options(self)
    }
}

impl Default for SimOptions {
    fn default() -> Self {
        Self::new()
    }
}
