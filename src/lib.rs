//! Ringbolt.
#![deny(unsafe_code)]
#![allow(dead_code)]

pub mod disk;
mod error;
pub mod log;
#[allow(unsafe_code)]
mod sync;
#[allow(unsafe_code)]
mod sys;
pub use error::{Error, ErrorKind, Result};
