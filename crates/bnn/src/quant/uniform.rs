//! The uniform grid, `value = code * scale`, with the learned step of LSQ (Esser et al. 2020, eq. 1 to 3).

use crate::math::round;
use qbnn_core::UniformCode;

/// A uniform grid with its scale at hand.
#[derive(Clone, Copy, Debug)]
pub struct Uniform {
    scale: f32,
    inverse: f32,
    min: f32,
    max: f32,
}

/// Gradients of one quantized value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StraightThrough {
    /// Of the value before quantization: the gradient itself inside the grid, zero where it clips.
    pub value: f32,
    /// Of log2(scale).
    pub log2_scale: f32,
}

impl Uniform {
    /// A grid of `code` with scale 2^`log2_scale`.
    #[inline(always)]
    pub fn new(code: UniformCode, log2_scale: f32) -> Self {
        let scale = log2_scale.exp2();
        Uniform { scale, inverse: 1.0 / scale, min: code.min() as f32, max: code.max() as f32 }
    }

    /// The scale.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The nearest code.
    #[inline(always)]
    pub fn code(&self, x: f32) -> f32 {
        round((x * self.inverse).clamp(self.min, self.max))
    }

    /// The code of `x` when a fraction is rounded up if it exceeds `1 - up`: `up` uniform in (0, 1) rounds
    /// stochastically.
    #[inline(always)]
    pub fn code_with(&self, x: f32, up: f32) -> f32 {
        (x * self.inverse + up).floor().clamp(self.min, self.max)
    }

    /// The nearest value of the grid.
    #[inline(always)]
    pub fn value(&self, x: f32) -> f32 {
        self.code(x) * self.scale
    }

    /// Straight-through gradients of a value `x` that became `code`, under `gradient` of the quantized value.
    ///
    /// d value / d scale is `code - x / scale` inside (the rounding's own error) and `code` outside.
    #[inline(always)]
    pub fn backward(&self, x: f32, code: f32, gradient: f32) -> StraightThrough {
        let v = x * self.inverse;
        let inside = v >= self.min - 0.5 && v <= self.max + 0.5;
        let slope = if inside { code - v } else { code };
        StraightThrough {
            value: if inside { gradient } else { 0.0 },
            log2_scale: gradient * slope * self.scale * std::f32::consts::LN_2,
        }
    }
}

/// log2 of the least scale under which no value clips; 2^-8 without any non-zero value.
///
/// Two's complement has one level more below zero than above it, so the two sides are measured apart.
pub fn min_max(code: UniformCode, values: impl Iterator<Item = f32>) -> f32 {
    let (above, below) = values.fold((0.0f32, 0.0f32), |(a, b), v| (a.max(v), b.max(-v)));
    let needed = (above / code.max() as f32).max(if code.min() < 0 { below / -code.min() as f32 } else { 0.0 });
    if needed > 0.0 { needed.log2() } else { -8.0 }
}

/// log2 of the scale that minimises the weighted squared error over `values`: a search over 80 shrinkages of the one
/// under which nothing clips.
///
/// `values` gives (value, weight) pairs afresh for each candidate. Without any non-zero value the scale is 2^-8.
pub fn least_error<I: Iterator<Item = (f32, f32)>>(code: UniformCode, values: impl Fn() -> I) -> f32 {
    let widest = min_max(code, values().map(|(v, _)| v));
    let mut best = (f64::INFINITY, widest);
    for i in 0..80 {
        let log2_scale = widest - i as f32 * 0.05;
        let grid = Uniform::new(code, log2_scale);
        let error: f64 = values().map(|(v, weight)| (weight * (grid.value(v) - v).powi(2)) as f64).sum();
        if error < best.0 {
            best = (error, log2_scale);
        }
    }
    best.1
}
