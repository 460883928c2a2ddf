//! The `ringbolt` command.
#![deny(unsafe_code)]
#![allow(dead_code)]
mod framing;
mod hgrm;
mod outcome;
mod plot;
mod units;
fn main() {}
