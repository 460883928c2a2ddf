//! The kernel's calls behind safe types: memory, files, clocks, threads.
//!
//! This is the only room that names `rustix` or `libc`.

pub(crate) mod barrier;
pub(crate) mod event;
pub(crate) mod fork;
pub(crate) mod fs;
pub(crate) mod mem;
pub(crate) mod probe;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod watch;
