//! The rings, as their users meet them.

mod bytes;
mod history;
mod lossy;
mod queues;
mod ready_fd;
mod select;
mod support;
