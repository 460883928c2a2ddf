//! The rings, through their public faces.

mod bytes;
