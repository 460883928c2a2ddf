//! The rings, through their public face.

mod broadcast;
