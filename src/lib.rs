//! Ringbolt.
#![deny(unsafe_code)]
#![allow(dead_code)]

pub mod disk;
mod error;
#[cfg(any(fuzzing, feature = "sim"))]
#[doc(hidden)]
pub mod fuzz;
pub mod log;
#[allow(unsafe_code)]
mod sync;
#[allow(unsafe_code)]
mod sys;
pub use error::{Error, ErrorKind, Result};
