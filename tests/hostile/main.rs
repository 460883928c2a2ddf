//! Bad input and bad days: each gets a typed error that names file, position and remedy, and loses
//! nothing.
//!
//! Everything here runs on the simulated disk, driven by the test's own thread, with the
//! simulation's clock: nothing sleeps, and what would wait for ever fails at once.

#[path = "../common/mod.rs"]
mod common;

mod budget;
mod busy;
mod callbacks;
mod clock;
mod damage;
mod errors;
mod files;
mod filling;
mod lifecycle;
mod meddler;
mod opening;
mod pins;
mod producers;
mod readers;
mod space;
