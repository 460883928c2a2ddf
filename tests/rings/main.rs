//! The rings, as their users meet them.

mod broadcast;
mod bytes;
mod history;
mod lossy;
mod queues;
mod ready_fd;
mod select;
mod stress;
mod support;
