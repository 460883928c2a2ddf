//! Sequences of operations on a log, on the simulated disk, against a model.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbolt::fuzz::operations(data));
