//! Standard deviations on their grid, one range for each row of a tensor: logarithmic, or uniform as in related work.
//!
//! The posterior learns ln(sigma). The logarithmic grid is straight-through in that domain, the uniform one in sigma
//! itself.

use super::log::{self, LogGrid};
use super::settings::{Calibration, SigmaGrid};
use super::uniform::{Uniform, least_error, min_max};
use crate::math::{exp, straight_through, vectorized};
use qbnn_core::{Bits, LogCode, UniformCode};
use std::f32::consts::{LN_2, LOG2_E};

/// The grid of a network's standard deviations: its integers, without its learned numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigmaQuantizer {
    /// `2^(top - code * step)`: learns the top and log2(step).
    Log(LogCode),
    /// `code * scale`, from zero on: learns log2(scale).
    Uniform(UniformCode),
}

impl SigmaQuantizer {
    /// A grid of some width.
    pub fn new(grid: SigmaGrid, bits: Bits) -> Self {
        match grid {
            SigmaGrid::Log => SigmaQuantizer::Log(LogCode(bits)),
            SigmaGrid::Uniform => SigmaQuantizer::Uniform(UniformCode::Unsigned(bits)),
        }
    }

    /// What a row learns: names as checkpoints have them.
    pub fn learns(self) -> &'static [&'static str] {
        match self {
            SigmaQuantizer::Log(_) => &["log2_top", "log2_step"],
            SigmaQuantizer::Uniform(_) => &["log2_scale"],
        }
    }

    /// Width in bits.
    pub fn bits(self) -> u32 {
        match self {
            SigmaQuantizer::Log(LogCode(b))
            | SigmaQuantizer::Uniform(UniformCode::Unsigned(b) | UniformCode::Signed(b)) => b.get(),
        }
    }

    /// Sets a row's learned numbers from its ln(sigma). `span` instead gives the least and the largest sigma that are
    /// to come, where training has not yet shown them.
    pub fn calibrate(self, rule: Calibration, log_sigma: &[f32], span: Option<(f32, f32)>, learned: &mut [f32]) {
        match (self, learned) {
            (SigmaQuantizer::Log(code), [top, step]) => {
                (*top, *step) = match (span, rule) {
                    (Some((low, high)), _) => log::span(code, low.log2(), high.log2()),
                    (None, Calibration::Range) => log::fit(code, &mut in_octaves(log_sigma), (0.0, 1.0)),
                    (None, _) => log::fit(code, &mut in_octaves(log_sigma), (0.01, 0.995)),
                };
            }
            (SigmaQuantizer::Uniform(code), [scale]) => {
                let values = || log_sigma.iter().map(|l| l.exp());
                *scale = match (span, rule) {
                    (Some((_, high)), _) => min_max(code, [high].into_iter()),
                    (None, Calibration::WeightedError) => least_error(code, || values().map(|s| (s, 1.0 / (s * s)))),
                    (None, Calibration::Error) => least_error(code, || values().map(|s| (s, 1.0))),
                    (None, Calibration::Range) => min_max(code, values()),
                };
            }
            _ => {}
        }
    }

    /// Writes a row of standard deviations as stored.
    pub fn store(self, learned: &[f32], log_sigma: &[f32], stored: &mut [f32]) {
        match (self, learned) {
            (SigmaQuantizer::Log(code), &[top, step]) => {
                let grid = LogGrid::new(code, top, step);
                // Few levels, each worked out once.
                let levels: Vec<f32> = (0..code.0.levels()).map(|k| grid.log2_value(k as f32).exp2()).collect();
                vectorized(
                    #[inline(always)]
                    || stored.iter_mut().zip(log_sigma).for_each(|(q, &l)| *q = grid.code(l * LOG2_E)),
                );
                stored.iter_mut().for_each(|q| *q = levels[*q as usize]);
            }
            (SigmaQuantizer::Uniform(code), &[scale]) => {
                let grid = Uniform::new(code, scale);
                vectorized(
                    #[inline(always)]
                    || stored.iter_mut().zip(log_sigma).for_each(|(q, &l)| *q = grid.value(exp(l))),
                );
            }
            _ => {}
        }
    }

    /// The least sigma that the KL divergence is taken at, where the grid has a zero: half a step. A weight without
    /// noise would be infinitely far from any prior.
    pub fn least(self, learned: &[f32]) -> f32 {
        match (self, learned) {
            (SigmaQuantizer::Uniform(_), &[scale]) => 0.5 * scale.exp2(),
            _ => 0.0,
        }
    }

    /// Turns the gradient of a row of stored standard deviations into that of their ln(sigma), in place, and adds to
    /// that of the learned numbers.
    pub fn backward(
        self,
        learned: &[f32],
        log_sigma: &[f32],
        stored: &[f32],
        gradient: &mut [f32],
        d_learned: &mut [f32],
    ) {
        match (self, learned, d_learned) {
            (SigmaQuantizer::Log(code), &[top, step], [d_top, d_step]) => {
                let grid = LogGrid::new(code, top, step);
                let [top, step] = straight_through(
                    log_sigma,
                    stored,
                    gradient,
                    #[inline(always)]
                    |l, s, d| {
                        // d sigma / d log2(sigma) = sigma ln 2.
                        let ste = grid.backward(l * LOG2_E, d * s * LN_2);
                        (ste.value * LOG2_E, [ste.top, ste.log2_step])
                    },
                );
                *d_top += top;
                *d_step += step;
            }
            (SigmaQuantizer::Uniform(code), &[scale], [d_scale]) => {
                let grid = Uniform::new(code, scale);
                let [scale, _] = straight_through(
                    log_sigma,
                    stored,
                    gradient,
                    #[inline(always)]
                    |l, _, d| {
                        let sigma = exp(l);
                        let ste = grid.backward(sigma, grid.code(sigma), d);
                        (ste.value * sigma, [ste.log2_scale, 0.0])
                    },
                );
                *d_scale += scale;
            }
            _ => {}
        }
    }
}

fn in_octaves(log_sigma: &[f32]) -> Vec<f32> {
    log_sigma.iter().map(|l| l * LOG2_E).collect()
}
