//! Standard deviations on their grid, one range for each row of a tensor: logarithmic, or uniform as in related work.
//!
//! The posterior learns ln(sigma). The logarithmic grid is straight-through in that domain, the uniform one in sigma
//! itself.

use super::file::{BELOW, LEAST, at_least, at_most, snapped};
use super::log::{self, LogGrid};
use super::settings::{Calibration, SigmaGrid};
use super::uniform::{Uniform, least_error, min_max};
use crate::math::{exp, straight_through, vectorized};
use qbnn_core::fixed::OCTAVE;
use qbnn_core::{Bits, LogCode, UniformCode};
use std::f32::consts::{LN_2, LOG2_E};
use std::ops::Range;

/// Names of the parameters of one range, behind that of their tensor.
pub(crate) const TOP: &str = "sigma.log2_top";
pub(crate) const STEP: &str = "sigma.log2_step";

/// Octaves between neighbours on the logarithmic grid that a model file can hold, least and most.
const LEAST_STEP: f32 = 1.0 / OCTAVE as f32;
const MOST_STEP: f32 = 16.0 - BELOW;

/// The grid of a tensor's standard deviations.
#[derive(Clone, Debug, PartialEq)]
pub enum SigmaQuantizer {
    /// `2^(top - code * step)`.
    Log {
        /// The integers.
        code: LogCode,
        /// Parameters of each row: the top and log2(step).
        rows: Vec<[f32; 2]>,
    },
    /// `code * scale`, from zero on.
    Uniform {
        /// The integers.
        code: UniformCode,
        /// Parameters: log2 of the scale of each row.
        log2_scales: Vec<f32>,
    },
}

impl SigmaQuantizer {
    /// A grid of some width with so many rows, every parameter 0.
    pub fn new(grid: SigmaGrid, bits: Bits, rows: usize) -> Self {
        match grid {
            SigmaGrid::Log => SigmaQuantizer::Log { code: LogCode(bits), rows: vec![[0.0; 2]; rows] },
            SigmaGrid::Uniform => {
                SigmaQuantizer::Uniform { code: UniformCode::Unsigned(bits), log2_scales: vec![0.0; rows] }
            }
        }
    }

    /// Width in bits.
    pub fn bits(&self) -> u32 {
        match self {
            SigmaQuantizer::Log { code: LogCode(b), .. }
            | SigmaQuantizer::Uniform { code: UniformCode::Unsigned(b) | UniformCode::Signed(b), .. } => b.get(),
        }
    }

    /// All parameters, row by row.
    pub fn params(&self) -> &[f32] {
        match self {
            SigmaQuantizer::Log { rows, .. } => rows.as_flattened(),
            SigmaQuantizer::Uniform { log2_scales, .. } => log2_scales,
        }
    }

    /// The same, to be changed.
    pub fn params_mut(&mut self) -> &mut [f32] {
        match self {
            SigmaQuantizer::Log { rows, .. } => rows.as_flattened_mut(),
            SigmaQuantizer::Uniform { log2_scales, .. } => log2_scales,
        }
    }

    /// The names of the parameters in a checkpoint, behind that of their tensor, and which of them they are.
    pub fn named(&self) -> Vec<(&'static str, Range<usize>)> {
        match self {
            SigmaQuantizer::Log { rows, .. } if rows.len() == 1 => vec![(TOP, 0..1), (STEP, 1..2)],
            // Top and log2(step) of each row, side by side.
            SigmaQuantizer::Log { rows, .. } => vec![("sigma.log2_top.log2_step", 0..2 * rows.len())],
            SigmaQuantizer::Uniform { log2_scales, .. } => vec![("sigma.log2_scale", 0..log2_scales.len())],
        }
    }

    /// Keeps the parameters within what a model file can hold; returns log2 of the largest sigma, where the grid is one
    /// that a file knows.
    pub(super) fn limit(&mut self) -> Option<f32> {
        match self {
            SigmaQuantizer::Log { rows, .. } => {
                let mut largest = f32::NEG_INFINITY;
                for [top, log2_step] in rows {
                    at_least(LEAST, top);
                    at_least(LEAST_STEP.log2(), log2_step);
                    at_most(MOST_STEP.log2(), log2_step);
                    largest = largest.max(*top);
                }
                Some(largest)
            }
            SigmaQuantizer::Uniform { .. } => None,
        }
    }

    /// Rounds the parameters to the nearest that a model file holds.
    pub(super) fn snap(&mut self) {
        match self {
            SigmaQuantizer::Log { rows, .. } => {
                for [top, log2_step] in rows {
                    *top = snapped(*top);
                    *log2_step = snapped(log2_step.exp2()).max(LEAST_STEP).log2();
                }
            }
            SigmaQuantizer::Uniform { log2_scales, .. } => log2_scales.iter_mut().for_each(|s| *s = snapped(*s)),
        }
    }

    /// Length of the rows that values of a tensor are cut into.
    fn row_len(&self, values: &[f32]) -> usize {
        let rows = match self {
            SigmaQuantizer::Log { rows, .. } => rows.len(),
            SigmaQuantizer::Uniform { log2_scales, .. } => log2_scales.len(),
        };
        (values.len() / rows.max(1)).max(1)
    }

    /// Sets the parameters from ln(sigma). `span` instead gives the least and the largest sigma that are to come, where
    /// training has not yet shown them.
    pub fn calibrate(&mut self, rule: Calibration, log_sigma: &[f32], span: Option<(f32, f32)>) {
        let values = log_sigma.chunks_exact(self.row_len(log_sigma));
        match self {
            SigmaQuantizer::Log { code, rows } => {
                for ([top, step], log_sigma) in rows.iter_mut().zip(values) {
                    (*top, *step) = match (span, rule) {
                        (Some((low, high)), _) => log::span(*code, low.log2(), high.log2()),
                        (None, Calibration::Prediction | Calibration::Range) => {
                            log::fit(*code, &mut in_octaves(log_sigma), (0.0, 1.0))
                        }
                        (None, _) => log::fit(*code, &mut in_octaves(log_sigma), (0.01, 0.995)),
                    };
                }
            }
            SigmaQuantizer::Uniform { code, log2_scales } => {
                let code = *code;
                for (log2_scale, log_sigma) in log2_scales.iter_mut().zip(values) {
                    let values = || log_sigma.iter().map(|l| l.exp());
                    *log2_scale = match (span, rule) {
                        (Some((_, high)), _) => min_max(code, [high].into_iter()),
                        (None, Calibration::Prediction | Calibration::WeightedError) => {
                            least_error(code, || values().map(|s| (s, 1.0 / (s * s))))
                        }
                        (None, Calibration::Error) => least_error(code, || values().map(|s| (s, 1.0))),
                        (None, Calibration::Range) => min_max(code, values()),
                    };
                }
            }
        }
    }

    /// Writes the standard deviations as stored.
    pub fn store(&self, log_sigma: &[f32], stored: &mut [f32]) {
        let len = self.row_len(log_sigma);
        let values = stored.chunks_exact_mut(len).zip(log_sigma.chunks_exact(len));
        match self {
            SigmaQuantizer::Log { code, rows } => {
                for (&[top, step], (stored, log_sigma)) in rows.iter().zip(values) {
                    let grid = LogGrid::new(*code, top, step);
                    // Few levels, each worked out once.
                    let levels: Vec<f32> = (0..code.0.levels()).map(|k| grid.log2_value(k as f32).exp2()).collect();
                    vectorized(
                        #[inline(always)]
                        || stored.iter_mut().zip(log_sigma).for_each(|(q, &l)| *q = grid.code(l * LOG2_E)),
                    );
                    stored.iter_mut().for_each(|q| *q = levels[*q as usize]);
                }
            }
            SigmaQuantizer::Uniform { code, log2_scales } => {
                for (&log2_scale, (stored, log_sigma)) in log2_scales.iter().zip(values) {
                    let grid = Uniform::new(*code, log2_scale);
                    vectorized(
                        #[inline(always)]
                        || stored.iter_mut().zip(log_sigma).for_each(|(q, &l)| *q = grid.value(exp(l))),
                    );
                }
            }
        }
    }

    /// Whether the grid has a zero, which the KL divergence cannot be taken at.
    pub fn has_zero(&self) -> bool {
        match self {
            SigmaQuantizer::Log { .. } => false,
            SigmaQuantizer::Uniform { .. } => true,
        }
    }

    /// Lifts stored standard deviations above zero, to where the KL divergence is taken: at least half a step. A weight
    /// without noise would be infinitely far from any prior.
    pub fn lift(&self, stored: &mut [f32]) {
        let len = self.row_len(stored);
        match self {
            SigmaQuantizer::Log { .. } => {}
            SigmaQuantizer::Uniform { log2_scales, .. } => {
                for (log2_scale, stored) in log2_scales.iter().zip(stored.chunks_exact_mut(len)) {
                    let least = 0.5 * log2_scale.exp2();
                    stored.iter_mut().for_each(|s| *s = s.max(least));
                }
            }
        }
    }

    /// Turns the gradient of stored standard deviations into that of their ln(sigma), in place, and adds to that of the
    /// parameters (as [`SigmaQuantizer::params`] has them).
    pub fn backward(&self, log_sigma: &[f32], stored: &[f32], gradient: &mut [f32], d_params: &mut [f32]) {
        let len = self.row_len(log_sigma);
        let values = log_sigma.chunks_exact(len).zip(stored.chunks_exact(len)).zip(gradient.chunks_exact_mut(len));
        match self {
            SigmaQuantizer::Log { code, rows } => {
                let rows = rows.iter().zip(d_params.as_chunks_mut::<2>().0);
                for ((&[top, step], [d_top, d_step]), ((log_sigma, stored), gradient)) in rows.zip(values) {
                    let grid = LogGrid::new(*code, top, step);
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
            }
            SigmaQuantizer::Uniform { code, log2_scales } => {
                let rows = log2_scales.iter().zip(d_params);
                for ((&log2_scale, d_log2_scale), ((log_sigma, stored), gradient)) in rows.zip(values) {
                    let grid = Uniform::new(*code, log2_scale);
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
                    *d_log2_scale += scale;
                }
            }
        }
    }
}

fn in_octaves(log_sigma: &[f32]) -> Vec<f32> {
    log_sigma.iter().map(|l| l * LOG2_E).collect()
}
