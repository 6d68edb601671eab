//! The reader of files of named arrays.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::tensors::check(bytes));
