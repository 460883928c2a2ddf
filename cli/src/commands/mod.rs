//! What the command can do, a file each.

pub(crate) mod append;
pub(crate) mod copy;
pub(crate) mod demo;
pub(crate) mod inspect;
pub(crate) mod read;
pub(crate) mod repair;
pub(crate) mod stream;
pub(crate) mod verify;
