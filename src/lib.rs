#![doc = include_str!("README.md")]
#![deny(unsafe_code)]

pub mod disk;
mod engine;
mod error;
#[cfg(any(fuzzing, feature = "sim"))]
#[doc(hidden)]
pub mod fuzz;
mod log;
#[cfg(ringbolt_loom)]
#[doc(hidden)]
#[allow(unsafe_code)]
pub mod model;
#[allow(unsafe_code)]
pub mod ring;
#[cfg(not(ringbolt_loom))]
pub mod store;
#[allow(unsafe_code)]
mod sync;
#[allow(unsafe_code)]
mod sys;
mod time;

pub use engine::{Driver, Engine, EngineBuilder, Poll};
pub use error::{Error, ErrorKind, Result};
pub use log::maintain;
pub use log::{
    Acknowledged, Batch, BatchIter, Claim, Cold, Durability, Durable, From, Log, LogOptions,
    LogView, Next, NextBatch, Position, Preallocation, ReadMany, ReadOptions, Reader, Record,
    SealedSegment, SegmentPin, SharedRecord, Stats, Ticket, ViewReader, ViewRecord, Visibility,
};

#[cfg(not(ringbolt_loom))]
pub use store::{Store, StoreOptions};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
