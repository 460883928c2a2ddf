//! The rings, as their users meet them.

mod broadcast;
mod history;
mod queues;
mod support;
