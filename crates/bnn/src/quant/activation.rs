//! Activations on a uniform grid: unsigned after the ReLU family, signed where the function can be negative; the step,
//! and with it the clip, is learned (PACT, Choi et al. 2018, in LSQ's parametrisation).

use super::fit;
use super::settings::Fit;
use super::uniform::Uniform;
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
        const LANES: usize = 16;
        let grid = Uniform::new(code(function, self.bits), self.log2_steps[site]);
        let sum = function.specialised(
            #[inline(always)]
            |function| {
                let mut sums = [0.0f32; LANES];
                let inputs = x.chunks(LANES).zip(dy.chunks(LANES));
                for ((x, dy), dx) in inputs.zip(dx.chunks_mut(LANES)) {
                    for (((&x, &dy), dx), sum) in x.iter().zip(dy).zip(dx).zip(&mut sums) {
                        let value = function.value(x);
                        let through = grid.backward(value, grid.code(value), dy);
                        *dx = through.value * function.slope(x);
                        *sum += through.log2_scale;
                    }
                }
                sums.iter().sum::<f32>()
            },
        );
        learned[site] += sum;
    }
}

/// log2 of the first step of a site, from its float values: that of the least squared error, or of their range.
pub fn calibrate(function: Activation, bits: Bits, rule: Fit, values: &[f32]) -> f32 {
    fit::scale(code(function, bits), rule, || values.iter().map(|&v| (v, 1.0)))
}
