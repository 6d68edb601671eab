//! The image reader: `cargo +nightly fuzz run images -- -max_len=4096`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::images::check(bytes));
