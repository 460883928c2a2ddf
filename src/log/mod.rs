//! One segmented log.
pub(crate) mod frame;
pub(crate) mod position;
pub(crate) mod segment;
pub use position::Position;
