//! The logarithmic grid of sigma: `value = 2^(top - code * step)`, straight through in the log2 domain.

use crate::math::round;
use qbnn_core::LogCode;

/// A logarithmic grid: `top` is log2 of the largest sigma, `step` the octaves between neighbours.
#[derive(Clone, Copy, Debug)]
pub struct LogGrid {
    top: f32,
    step: f32,
    max: f32,
}

/// Gradients of one quantized log2(sigma).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StraightThrough {
    /// Of log2(sigma) before quantization.
    pub value: f32,
    /// Of the top.
    pub top: f32,
    /// Of log2(step).
    pub log2_step: f32,
}

impl LogGrid {
    /// A grid from its parameters.
    #[inline(always)]
    pub fn new(code: LogCode, top: f32, log2_step: f32) -> Self {
        LogGrid { top, step: log2_step.exp2(), max: code.max() as f32 }
    }

    /// The nearest code of log2(sigma).
    #[inline(always)]
    pub fn code(&self, log2_sigma: f32) -> f32 {
        round(((self.top - log2_sigma) / self.step).clamp(0.0, self.max))
    }

    /// log2(sigma) of a code.
    #[inline(always)]
    pub fn log2_value(&self, code: f32) -> f32 {
        self.top - code * self.step
    }

    /// Straight-through gradients of log2(sigma) under `gradient` of its quantized value.
    #[inline(always)]
    pub fn backward(&self, log2_sigma: f32, gradient: f32) -> StraightThrough {
        let t = (self.top - log2_sigma) / self.step;
        let code = self.code(log2_sigma);
        let inside = t >= -0.5 && t <= self.max + 0.5;
        let slope = if inside { t - code } else { -code };
        StraightThrough {
            value: if inside { gradient } else { 0.0 },
            top: if inside { 0.0 } else { gradient },
            log2_step: gradient * slope * self.step * std::f32::consts::LN_2,
        }
    }
}

/// Least step of a fitted grid, log2 of 1/64 octave.
const LEAST_LOG2_STEP: f32 = -6.0;

/// Top and log2(step) that span `low` to `high`, both log2(sigma), in steps of at least 1/64 octave.
pub fn span(code: LogCode, low: f32, high: f32) -> (f32, f32) {
    (high, ((high - low) / code.max() as f32).max(LEAST_LOG2_STEP.exp2()).log2())
}

/// Top and log2(step) for log2 standard deviations, which it sorts: from one of their percentiles to another, each as
/// a share of 1.
pub fn fit(code: LogCode, log2_sigmas: &mut [f32], (low, high): (f32, f32)) -> (f32, f32) {
    log2_sigmas.sort_by(f32::total_cmp);
    let at = |share: f32| {
        let last = log2_sigmas.len().saturating_sub(1);
        log2_sigmas.get((share * last as f32).round() as usize).copied().unwrap_or(0.0)
    };
    span(code, at(low), at(high))
}
