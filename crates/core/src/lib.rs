//! The number formats of a quantized Bayesian network: what a code means, how codes are packed, where noise comes from.
//!
//! Everything here is an integer and nothing allocates, so that the same definitions serve the trainer on a server and
//! the machine on a microcontroller: a format that is defined once cannot drift between the two. A float or a `std`
//! that strays into this crate is a compile error, not a review comment.
#![no_std]
#![forbid(unsafe_code)]

pub mod code;
pub mod noise;
pub mod pack;

pub use code::{Bits, BitsError, LogCode, UniformCode};
