//! Frames, headers and footers from any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringbolt::fuzz::frame(data));
