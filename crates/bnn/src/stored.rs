//! The posterior that a model file stores, as floats: codes become the numbers that they stand for, once.

use crate::error::BnnError;
use crate::math::vectorized;
use crate::quant::weight::deviations;
use qbnn_core::draw::Rounding;
use qbnn_core::fixed::{Log2, OCTAVE};
use qbnn_core::model::{Codes, Floats, Layer, Model, Op};
use qbnn_core::pack;

/// Means and standard deviations of a linear layer, weights in the file's order
/// (`[output channel][window row][window column][input channel of the group]`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodedPosterior {
    /// Means of the weights.
    pub mu: Vec<f32>,
    /// Standard deviations of the weights.
    pub sigma: Vec<f32>,
    /// Means of the biases.
    pub bias_mu: Vec<f32>,
    /// Standard deviations of the biases.
    pub bias_sigma: Vec<f32>,
}

/// A stored logarithm as the scale that it stands for.
pub(crate) fn scale(log2: Log2) -> f32 {
    (log2 as f32 / OCTAVE as f32).exp2()
}

impl DecodedPosterior {
    /// Of a linear layer; empty for any other.
    ///
    /// # Errors
    /// [`BnnError::Network`] names the layer (by its number, counted from 1) that stores a number that is none, or a
    /// standard deviation below zero.
    pub fn read(model: &Model<'_>, index: usize) -> Result<Self, BnnError> {
        let layer = model.layer(index);
        let stored = match (model.codes(&layer), model.floats(&layer)) {
            (Some(codes), _) => Self::decode(model, &layer, &codes),
            (None, Some(floats)) => Self::floats(&floats),
            (None, None) => DecodedPosterior::default(),
        };
        let means = stored.mu.iter().chain(&stored.bias_mu);
        let sigmas = stored.sigma.iter().chain(&stored.bias_sigma);
        let strange = means.copied().find(|m| !m.is_finite());
        match strange.or(sigmas.copied().find(|s| !(s.is_finite() && *s >= 0.0))) {
            None => Ok(stored),
            Some(found) => Err(BnnError::Network {
                network: model.name().to_owned(),
                layer: (index + 1).to_string(),
                problem: format!("it stores {found} as a mean or a standard deviation; write the model file again"),
            }),
        }
    }

    /// The same with each weight's moments as its draws have them, where drawn weights lie on a grid: over the 256
    /// deviations of the Gaussian table, each on the grid, ends included.
    ///
    /// # Errors
    /// As [`DecodedPosterior::read`].
    pub fn drawn(model: &Model<'_>, index: usize) -> Result<Self, BnnError> {
        let mut stored = Self::read(model, index)?;
        let layer = model.layer(index);
        let codes = model.codes(&layer).map(|c| c.weight_scales);
        let scales = codes.or(model.floats(&layer).map(|f| f.weight_scales));
        let (Some(code), Some(scales)) = (model.weight_code(), scales) else { return Ok(stored) };
        let grid = [code.min() as f32, code.max() as f32];
        let up = match model.rounding() {
            Rounding::Nearest => 0.5,
            Rounding::Stochastic => 0.0,
        };
        let table = deviations(8);
        let row = stored.mu.len() / scales.len().max(1);
        for (i, (mu, sigma)) in stored.mu.iter_mut().zip(&mut stored.sigma).enumerate() {
            let scale = scale(scales.get(i / row));
            (*mu, *sigma) = on_grid(*mu / scale, *sigma / scale, grid, up, &table);
            (*mu, *sigma) = (*mu * scale, *sigma * scale);
        }
        Ok(stored)
    }

    fn floats(stored: &Floats<'_>) -> Self {
        let of = |bytes: &[u8]| bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        // Without sigmas in the file they are zeros.
        let sigmas = |bytes: &[u8], means: &[u8]| if bytes.is_empty() { vec![0.0; means.len() / 4] } else { of(bytes) };
        DecodedPosterior {
            mu: of(stored.mu),
            sigma: sigmas(stored.sigma, stored.mu),
            bias_mu: of(stored.bias_mu),
            bias_sigma: sigmas(stored.bias_sigma, stored.bias_mu),
        }
    }

    fn decode(model: &Model<'_>, layer: &Layer, codes: &Codes<'_>) -> Self {
        let Some(mu_bits) = model.mu_bits() else { return DecodedPosterior::default() };
        let channels = layer.shape.channels;
        let row = match layer.op {
            Op::Linear(l) => l.fan_in(),
            _ => 0,
        };
        let sigmas = |packed: &[u8], top: Log2, step: Log2, n: usize| {
            // 2^(top - code * step), as the trainer has it.
            let value = |code: u8| ((top as f32 - code as f32 * step as f32) / OCTAVE as f32).exp2();
            let Some(code) = model.sigma_code() else { return vec![0.0; n] };
            (0..n).map(|i| value(pack::get(packed, i, code.0).unwrap_or(0))).collect()
        };
        let mean = |i: usize| pack::get_signed(codes.mu, i, mu_bits).unwrap_or(0) as f32;
        DecodedPosterior {
            mu: (0..channels * row).map(|i| mean(i) * scale(codes.mu_scales.get(i / row))).collect(),
            sigma: sigmas(codes.sigma, codes.sigma_top(), codes.sigma_step(), channels * row),
            bias_mu: codes.bias_mu.iter().map(|&m| m as i8 as f32 * scale(codes.bias_mu_scale())).collect(),
            bias_sigma: sigmas(codes.bias_sigma, codes.bias_sigma_top(), codes.bias_sigma_step(), channels),
        }
    }
}

/// Mean and standard deviation of a weight that is drawn from N(`mu`, `sigma`²) and put on the grid of the integers from
/// one end to the other: to the nearest (`up` = 1/2), or, with `up` = 0, up with the probability of the fraction.
fn on_grid(mu: f32, sigma: f32, [low, high]: [f32; 2], up: f32, table: &[f32; 256]) -> (f32, f32) {
    let centre = (mu + 0.5).floor().clamp(low, high);
    let (mut sum, mut square) = ([0.0f32; 16], [0.0f32; 16]);
    vectorized(
        #[inline(always)]
        || {
            for deviations in table.as_chunks::<16>().0 {
                for i in 0..16 {
                    let x = mu + sigma * deviations[i] + up;
                    let below = x.floor();
                    let share = if up == 0.0 { x - below } else { 0.0 };
                    let first = below.max(low).min(high) - centre;
                    let second = (below + 1.0).max(low).min(high) - centre;
                    sum[i] += first + share * (second - first);
                    square[i] += first * first + share * (second * second - first * first);
                }
            }
        },
    );
    let [mean, square] = [sum, square].map(|s| s.iter().sum::<f32>() / 256.0);
    (centre + mean, (square - mean * mean).max(0.0).sqrt())
}
