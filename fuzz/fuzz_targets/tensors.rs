//! The reader of files of named arrays: `cargo +nightly fuzz run tensors ../crates/data/tests/fixtures/posteriors`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::tensors::check(bytes));
