//! The rings, as their users meet them.

mod bytes;
mod history;
mod queues;
mod support;
