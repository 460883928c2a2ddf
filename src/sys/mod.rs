//! The kernel's calls behind safe types: memory, files, clocks, threads.
//!
//! This is the only room that names `rustix` or `libc`.

pub(crate) mod mem;
