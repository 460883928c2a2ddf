//! The rings, as their users meet them.

mod history;
mod queues;
mod support;
