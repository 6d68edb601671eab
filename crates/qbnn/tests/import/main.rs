//! Posteriors of other programs: each library's file gives the numbers that its own draws have, the usual mistakes are
//! refused with what was found; and the files that other programs read.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test should fail where it stands")]

mod codes;
mod libraries;
mod mistakes;
mod norms;
mod onnx;
mod own_names;
mod priors;
mod round_trip;
mod support;
