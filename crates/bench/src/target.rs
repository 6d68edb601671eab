//! Targets: what this project wants of a measurement, and whether it has it.

use serde::Serialize;

/// A target and what was measured. Records call the wanted value `bar`.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// What is measured, and on which side of the target it has to be.
    pub what: String,
    /// The value that is wanted.
    #[serde(rename = "bar")]
    pub wanted: f64,
    /// The value that was measured.
    pub measured: f64,
    /// Whether the target is met.
    pub met: bool,
}

impl Target {
    /// A value that should not be larger.
    pub(crate) fn at_most(what: String, wanted: f64, measured: f64) -> Self {
        Target { what: format!("{what}, at most"), wanted, measured, met: measured <= wanted }
    }

    /// A value that should not be smaller.
    pub(crate) fn at_least(what: String, wanted: f64, measured: f64) -> Self {
        Target { what: format!("{what}, at least"), wanted, measured, met: measured >= wanted }
    }
}
