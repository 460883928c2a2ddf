//! A kernel that changes its mind: calls that are refused or cut short from some moment on, by a
//! seccomp filter or a limit, in a child process, with a log on the real disk above them. And what
//! it keeps for a process that is killed.

#[path = "../rungs/mod.rs"]
#[allow(dead_code)] // each test uses its part of it
mod rungs;

mod child;
mod filter;
mod limit;
mod lock;
mod refused;
mod unsynced;
