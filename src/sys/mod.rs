//! The kernel's calls behind safe types: memory, files, clocks, threads.
//!
//! This is the only room that names `rustix` or `libc`.

pub(crate) mod fork;
pub(crate) mod mem;
pub(crate) mod thread {
    pub(crate) fn pin(_cpu: usize) -> std::io::Result<()> {
        Ok(())
    }
}
