//! Reading a log: from memory near its tail, from its files behind, without a copy.
//!
//! A [`Reader`] stands at a position and lends one [`Record`] after the other, or a [`Batch`] of
//! them. Any number of readers may exist; each is owned, can change threads, and holds up nobody:
//! a record that lives pins the memory that it lies in, which the log then replaces; a reader
//! between two records holds nothing.
//!
//! Where the bytes come from: a segment in memory is read from its image. A sealed one is read
//! from its file, through a mapping that all readers share or into buffers ([`Cold`]), and every
//! checksum is verified on the way. [`ReadMany`] looks at many positions at once.
//!
//! Progress: reading from memory is wait-free. Reading from files waits for the disk, also in the
//! async form; a record near the tail never does.
//!
//! The rooms: `cursor` moves, `source` and `cold` have the bytes (`direct` those of files that are
//! read into buffers), `place` finds positions, `scatter` asks many of them at once a `question`,
//! `pool` lends the memory, `share` keeps the budget of shared records.

mod ahead;
mod batch;
mod cold;
mod current;
mod cursor;
mod direct;
#[cfg(all(test, not(ringbolt_loom)))]
mod direct_tests;
mod future;
mod hunt;
mod look;
mod many;
#[cfg(all(test, not(ringbolt_loom)))]
mod many_tests;
mod need;
mod options;
mod place;
mod pool;
mod question;
mod reader;
mod record;
mod scatter;
mod share;
mod source;
#[cfg(all(test, not(ringbolt_loom)))]
pub(crate) mod testing;
#[cfg(all(test, not(ringbolt_loom)))]
mod tests;

pub use batch::{Batch, BatchIter};
pub use future::{Next, NextBatch};
pub use many::ReadMany;
pub use options::{Cold, From, ReadOptions, Visibility};
pub use reader::Reader;
pub use record::{Record, SharedRecord};

pub(crate) use cold::FileWindow;
pub(crate) use place::frame_at;
pub(crate) use pool::ReadPool;
pub(crate) use source::{Found, What};
