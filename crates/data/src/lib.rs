//! Room of the house; filled next.
#![forbid(unsafe_code)]
