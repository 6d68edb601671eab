//! The model file: `cargo +nightly fuzz run model -- -max_len=4096`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::model::check(bytes));
