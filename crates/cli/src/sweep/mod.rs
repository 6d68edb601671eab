//! The command line of sweeps: arguments, progress, tables.

pub mod args;
pub mod progress;
pub mod text;
