//! The draw: `mu + sigma * eps` with noise from core's integer table, and how a drawn weight meets its grid.
//!
//! Two bytes of noise per parameter: the first chooses an entry of the Gaussian table, the second, as a fraction of
//! 256 at the middle of its cell, decides the rounding where that is stochastic.

use super::fit::{row_of, scale};
use super::settings::{Calibration, Rounding};
use super::uniform::Uniform;
use crate::math::{straight_through, vectorized};
use qbnn_core::UniformCode;
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS};

/// Deviations by random byte, in standard deviations: the Gaussian table, seen through `bits` of its 8 index bits.
///
/// Fewer bits merge neighbouring entries into their mean, rescaled to unit variance: 1 bit leaves -1 and +1.
pub fn deviations(bits: u32) -> [f32; 256] {
    let cell = 256 >> bits.clamp(1, 8);
    let one = (1u32 << GAUSSIAN_FRACTION_BITS) as f64;
    let mean = |i: usize| {
        let from = i / cell * cell;
        GAUSSIAN[from..from + cell].iter().map(|&v| v as f64).sum::<f64>() / (cell as f64 * one)
    };
    if cell == 1 {
        return std::array::from_fn(|i| mean(i) as f32);
    }
    let variance = (0..256).map(|i| mean(i).powi(2)).sum::<f64>() / 256.0;
    std::array::from_fn(|i| (mean(i) / variance.sqrt()) as f32)
}

/// The grid of a tensor's drawn weights.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightQuantizer {
    /// The integers.
    pub code: UniformCode,
    /// How a drawn weight meets them.
    pub rounding: Rounding,
    /// Parameters: log2 of the scale of each row.
    pub log2_scales: Vec<f32>,
}

impl WeightQuantizer {
    /// A grid with so many rows, every scale 1.
    pub fn new(code: UniformCode, rounding: Rounding, rows: usize) -> Self {
        WeightQuantizer { code, rounding, log2_scales: vec![0.0; rows] }
    }

    /// Sets the scales from stored means and standard deviations.
    pub fn calibrate(&mut self, rule: Calibration, mu: &[f32], sigma: &[f32]) {
        let table = deviations(8);
        // Nine points of each Gaussian stand for its draws; of the range, its ends.
        let points: Vec<f32> = match rule {
            Calibration::Range => vec![table[0], table[255]],
            _ => (0..9).map(|i| table[14 + i * 28 + i / 2]).collect(),
        };
        let points = &points;
        let len = row_of(mu, &self.log2_scales);
        let rows = mu.chunks_exact(len).zip(sigma.chunks_exact(len));
        for (log2_scale, (mu, sigma)) in self.log2_scales.iter_mut().zip(rows) {
            let draws = || mu.iter().zip(sigma).flat_map(move |(&m, &s)| points.iter().map(move |p| (m + s * p, s)));
            *log2_scale = scale(self.code, rule, draws);
        }
    }

    /// Puts drawn weights on the grid. `bytes` are the two of each weight.
    pub fn round(&self, raw: &[f32], bytes: &[u8], weights: &mut [f32]) {
        let len = row_of(raw, &self.log2_scales);
        let rows = raw.chunks_exact(len).zip(bytes.chunks_exact(2 * len)).zip(weights.chunks_exact_mut(len));
        for (&log2_scale, ((raw, bytes), weights)) in self.log2_scales.iter().zip(rows) {
            let grid = Uniform::new(self.code, log2_scale);
            vectorized(
                #[inline(always)]
                || match self.rounding {
                    Rounding::Nearest => {
                        weights.iter_mut().zip(raw).for_each(|(w, &x)| *w = grid.code_with(x, 0.5) * grid.scale());
                    }
                    Rounding::Stochastic => {
                        for ((w, &x), pair) in weights.iter_mut().zip(raw).zip(bytes.chunks_exact(2)) {
                            *w = grid.code_with(x, (pair[1] as f32 + 0.5) / 256.0) * grid.scale();
                        }
                    }
                },
            );
        }
    }

    /// Turns the gradient of the weights on the grid into that of the weights before it, in place; adds that of the
    /// parameters.
    pub fn backward(&self, raw: &[f32], weights: &[f32], gradient: &mut [f32], d_log2_scales: &mut [f32]) {
        let len = row_of(raw, &self.log2_scales);
        let rows = raw.chunks_exact(len).zip(weights.chunks_exact(len)).zip(gradient.chunks_exact_mut(len));
        for ((&log2_scale, d_log2_scale), ((raw, weights), gradient)) in
            self.log2_scales.iter().zip(d_log2_scales).zip(rows)
        {
            let grid = Uniform::new(self.code, log2_scale);
            let inverse = 1.0 / grid.scale();
            let [sum, _] = straight_through(
                raw,
                weights,
                gradient,
                #[inline(always)]
                |x, w, d| {
                    let ste = grid.backward(x, w * inverse, d);
                    (ste.value, [ste.log2_scale, 0.0])
                },
            );
            *d_log2_scale += sum;
        }
    }
}
