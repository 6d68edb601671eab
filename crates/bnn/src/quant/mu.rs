//! Means on a uniform grid, one scale for each row of a tensor.

use super::fit;
use super::settings::Calibration;
use super::uniform::Uniform;
use crate::math::{straight_through, vectorized};
use qbnn_core::UniformCode;

/// log2 of the scale of a row of means, whose standard deviations are `sigma`.
pub fn calibrate(code: UniformCode, rule: Calibration, mu: &[f32], sigma: &[f32]) -> f32 {
    fit::scale(code, rule, || mu.iter().zip(sigma).map(|(&m, &s)| (m, s)))
}

/// Writes a row as stored.
pub fn store(code: UniformCode, log2_scale: f32, mu: &[f32], stored: &mut [f32]) {
    let grid = Uniform::new(code, log2_scale);
    vectorized(
        #[inline(always)]
        || stored.iter_mut().zip(mu).for_each(|(q, &m)| *q = grid.value(m)),
    );
}

/// Turns the gradient of a stored row into that of the row, in place; returns that of log2(scale).
pub fn backward(code: UniformCode, log2_scale: f32, mu: &[f32], gradient: &mut [f32]) -> f32 {
    let grid = Uniform::new(code, log2_scale);
    let [sum, _] = straight_through(
        mu,
        mu,
        gradient,
        #[inline(always)]
        |m, _, d| {
            let ste = grid.backward(m, grid.code(m), d);
            (ste.value, [ste.log2_scale, 0.0])
        },
    );
    sum
}
