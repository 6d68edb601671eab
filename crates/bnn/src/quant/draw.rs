//! The draw: `mu + sigma * eps` with noise from core's integer table, and how a drawn weight meets its grid.
//!
//! Two bytes of noise per parameter: the first chooses an entry of the Gaussian table, the second, as a fraction of
//! 256 at the middle of its cell, decides the rounding where that is stochastic.

use super::fit;
use super::settings::{Calibration, Rounding};
use super::uniform::Uniform;
use crate::math::{straight_through, vectorized};
use qbnn_core::UniformCode;
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS};

/// One draw's working memory: everything that the backward pass asks for again.
#[derive(Clone, Debug, Default)]
pub struct Draw {
    /// Drawn weights, flat.
    pub weights: Vec<f32>,
    /// Standard normal noise, flat.
    pub noise: Vec<f32>,
    /// Random bytes of one tensor.
    pub(crate) bytes: Vec<u8>,
    /// Weights before their own grid, flat; empty where they have none.
    pub(crate) raw: Vec<f32>,
}

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

/// log2 of the scale of a row of drawn weights.
pub fn calibrate(code: UniformCode, rule: Calibration, mu: &[f32], sigma: &[f32]) -> f32 {
    let table = deviations(8);
    // Nine points of each Gaussian stand for its draws; of the range, its ends.
    let points: Vec<f32> = match rule {
        Calibration::Range => vec![table[0], table[255]],
        _ => (0..9).map(|i| table[14 + i * 28 + i / 2]).collect(),
    };
    let points = &points;
    let draws = || mu.iter().zip(sigma).flat_map(move |(&m, &s)| points.iter().map(move |p| (m + s * p, s)));
    fit::scale(code, rule, draws)
}

/// Puts a row of drawn weights on its grid. `bytes` are the two of each weight.
pub fn round(code: UniformCode, log2_scale: f32, rounding: Rounding, raw: &[f32], bytes: &[u8], weights: &mut [f32]) {
    let grid = Uniform::new(code, log2_scale);
    vectorized(
        #[inline(always)]
        || match rounding {
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

/// Turns the gradient of a row on its grid into that of the row before it, in place; returns that of log2(scale).
pub fn backward(code: UniformCode, log2_scale: f32, raw: &[f32], weights: &[f32], gradient: &mut [f32]) -> f32 {
    let grid = Uniform::new(code, log2_scale);
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
    sum
}
