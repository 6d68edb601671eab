//! The binary `qbnn` as a user starts it. One test binary has all of it, because each costs a link; `abuse` is another
//! one, because it watches the clock and should have the machine for itself.
//!
//! `cargo test -p qbnn-cli --test it sweep` runs one module.

#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]
#![allow(clippy::print_stdout, reason = "what is left out must be seen")]

#[path = "../common/mod.rs"]
mod common;

mod bench;
mod calibrate;
mod docs;
mod ensemble;
mod eval;
mod export;
mod external;
mod folder;
mod format;
mod identity;
mod import;
mod model;
mod own_data;
mod predict;
mod refuse;
mod report;
mod resume;
mod run;
mod sweep;
mod terminal;
