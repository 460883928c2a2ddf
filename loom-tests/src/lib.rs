//! Loom models of Ringbolt.
