//! The first scale of a uniform grid, by the rule that the settings name.

use super::settings::Calibration;
use super::uniform::{least_error, min_max};
use qbnn_core::UniformCode;

/// log2 of the scale for (value, sigma) pairs, which `values` gives afresh for each candidate.
pub fn scale<I: Iterator<Item = (f32, f32)>>(code: UniformCode, rule: Calibration, values: impl Fn() -> I) -> f32 {
    match rule {
        // A point mass has no sigma to measure by.
        Calibration::Prediction | Calibration::WeightedError => {
            least_error(code, || values().map(|(v, s)| (v, if s > 0.0 { 1.0 / (s * s) } else { 1.0 })))
        }
        Calibration::Error => least_error(code, || values().map(|(v, _)| (v, 1.0))),
        Calibration::Range => min_max(code, values().map(|(v, _)| v)),
    }
}

/// Length of the rows that a tensor's values are cut into, one for each of some scales.
pub(super) fn row_of(values: &[f32], scales: &[f32]) -> usize {
    (values.len() / scales.len().max(1)).max(1)
}
