//! Means on a uniform grid, one scale for each row of a tensor.

use super::fit::{row_of, scale};
use super::settings::Calibration;
use super::uniform::Uniform;
use crate::math::{straight_through, vectorized};
use qbnn_core::UniformCode;

/// The grid of a tensor's means.
#[derive(Clone, Debug, PartialEq)]
pub struct MuQuantizer {
    /// The integers.
    pub code: UniformCode,
    /// Parameters: log2 of the scale of each row.
    pub log2_scales: Vec<f32>,
}

impl MuQuantizer {
    /// A grid with so many rows, every scale 1.
    pub fn new(code: UniformCode, rows: usize) -> Self {
        MuQuantizer { code, log2_scales: vec![0.0; rows] }
    }

    /// Sets the scales from means and standard deviations.
    pub fn calibrate(&mut self, rule: Calibration, mu: &[f32], sigma: &[f32]) {
        let len = row_of(mu, &self.log2_scales);
        for ((log2_scale, mu), sigma) in
            self.log2_scales.iter_mut().zip(mu.chunks_exact(len)).zip(sigma.chunks_exact(len))
        {
            *log2_scale = scale(self.code, rule, || mu.iter().zip(sigma).map(|(&m, &s)| (m, s)));
        }
    }

    /// Writes the means as stored.
    pub fn store(&self, mu: &[f32], stored: &mut [f32]) {
        let len = row_of(mu, &self.log2_scales);
        for ((&log2_scale, mu), stored) in
            self.log2_scales.iter().zip(mu.chunks_exact(len)).zip(stored.chunks_exact_mut(len))
        {
            let grid = Uniform::new(self.code, log2_scale);
            vectorized(
                #[inline(always)]
                || stored.iter_mut().zip(mu).for_each(|(q, &m)| *q = grid.value(m)),
            );
        }
    }

    /// Turns the gradient of the stored means into that of the means, in place; adds that of the parameters.
    pub fn backward(&self, mu: &[f32], gradient: &mut [f32], d_log2_scales: &mut [f32]) {
        let len = row_of(mu, &self.log2_scales);
        let rows = mu.chunks_exact(len).zip(gradient.chunks_exact_mut(len));
        for ((&log2_scale, d_log2_scale), (mu, gradient)) in self.log2_scales.iter().zip(d_log2_scales).zip(rows) {
            let grid = Uniform::new(self.code, log2_scale);
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
            *d_log2_scale += sum;
        }
    }
}
