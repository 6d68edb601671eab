//! The first scale of a uniform grid, by the rule that the settings name.

use super::settings::Fit;
use super::uniform::{covering, search};
use qbnn_core::UniformCode;

/// log2 of the scale for (value, sigma) pairs, which `values` gives afresh for each candidate.
pub fn scale<I: Iterator<Item = (f32, f32)>>(code: UniformCode, rule: Fit, values: impl Fn() -> I) -> f32 {
    match rule {
        // A point mass has no sigma to measure by.
        Fit::WeightedError => search(code, || values().map(|(v, s)| (v, if s > 0.0 { 1.0 / (s * s) } else { 1.0 }))),
        Fit::Error => search(code, || values().map(|(v, _)| (v, 1.0))),
        Fit::Range => covering(code, values().map(|(v, _)| v)),
    }
}
