//! Activations on a uniform grid: unsigned after the ReLU family, signed where the function can be negative; the step,
//! and with it the clip, is learned (PACT, Choi et al. 2018, in LSQ's parametrisation).

use super::fit;
use super::settings::Fit;
use super::uniform::Uniform;
use crate::math::through;
use crate::nn::activation::Activation;
use crate::nn::pass::Sites;
use qbnn_core::{Bits, UniformCode};

/// The codes of an activation function's values.
pub fn code(function: Activation, bits: Bits) -> UniformCode {
    if function.signed() { UniformCode::Signed(bits) } else { UniformCode::Unsigned(bits) }
}

/// Quantized activations: one grid per site.
pub struct QuantizedSites<'a> {
    /// Width.
    pub bits: Bits,
    /// log2 of each site's step.
    pub log2_steps: &'a [f32],
}

impl Sites for QuantizedSites<'_> {
    fn parameters(&self) -> usize {
        self.log2_steps.len()
    }

    fn forward(&self, site: usize, function: Activation, x: &[f32], y: &mut [f32]) {
        let grid = Uniform::new(code(function, self.bits), self.log2_steps[site]);
        function.specialised(
            #[inline(always)]
            |f| y.iter_mut().zip(x).for_each(|(y, &x)| *y = grid.value(f.value(x))),
        );
    }

    fn backward(&self, site: usize, function: Activation, x: &[f32], dy: &[f32], dx: &mut [f32], learned: &mut [f32]) {
        let grid = Uniform::new(code(function, self.bits), self.log2_steps[site]);
        let [sum, _] = function.specialised(
            #[inline(always)]
            |function| {
                through(
                    x,
                    dy,
                    dx,
                    #[inline(always)]
                    |x, dy, _| {
                        let value = function.value(x);
                        let through = grid.backward(value, grid.code(value), dy);
                        (through.value * function.slope(x), [through.log2_scale, 0.0])
                    },
                )
            },
        );
        learned[site] += sum;
    }
}

/// log2 of the first step of a site, from its float values: that of the least squared error, or of their range.
pub fn calibrate(function: Activation, bits: Bits, rule: Fit, values: &[f32]) -> f32 {
    fit::scale(code(function, bits), rule, || values.iter().map(|&v| (v, 1.0)))
}
