//! Atomics, cells, locks and waiting: `std` and `parking_lot`, or loom.
//!
//! This is the only room that names `std::sync::atomic`, `UnsafeCell` or loom. With
//! `--cfg ringbolt_loom` the same code above runs inside loom's model checker; nothing else in the
//! crate knows which of the two it got.

pub(crate) mod atomic;
pub(crate) mod bell;
pub(crate) mod cell;
pub(crate) mod lock;
pub(crate) mod park;
pub(crate) mod waiters;

#[cfg(ringbolt_loom)]
pub(crate) use loom::sync::Arc;
#[cfg(not(ringbolt_loom))]
pub(crate) use std::sync::Arc;
