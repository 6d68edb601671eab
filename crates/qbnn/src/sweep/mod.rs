//! Sweeps: a grid of experiments from one file, float networks shared, a ledger that survives a kill, tables with
//! intervals over seeds.
//!
//! The way through: [`spec`] (what was written) to [`plan`] (which runs, which tables), [`ledger`] (what is done
//! already), [`schedule`] (who does what when) and [`work`] (one task), then [`tables`] and [`document`]. [`gather`] is for tasks
//! that other processes do.

pub mod derive;
pub mod document;
pub mod estimate;
pub mod gather;
pub mod interval;
pub mod ledger;
pub mod plan;
mod progress;
pub mod rows;
pub mod schedule;
pub mod spec;
pub mod tables;
pub mod work;

pub use progress::Progress;
