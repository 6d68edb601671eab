//! Activations on a uniform grid: unsigned after the ReLU family, signed where the function can be negative; the step,
//! and with it the clip, is learned (PACT, Choi et al. 2018, in LSQ's parametrisation).
//!
//! The mean of several codes is a code of 8 bits again, on a grid finer by 2^(8 - bits), halves rounded up: what the
//! integer runtime makes of an average-pool (`docs/file-format.md`). Pixels are codes of 8 bits already.

use super::fit;
use super::settings::Calibration;
use super::uniform::Uniform;
use crate::data::Normalisation;
use crate::math::{straight_through, vectorized};
use crate::nn::activation::Activation;
use crate::nn::network::Codes;
use crate::nn::pass::ActivationQuantizer;
use qbnn_core::{Bits, UniformCode};

/// The codes of an activation function's values.
pub fn code(function: Activation, bits: Bits) -> UniformCode {
    if function.signed() { UniformCode::Signed(bits) } else { UniformCode::Unsigned(bits) }
}

/// The grids of a network's activations.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationGrids {
    /// Width.
    pub bits: Bits,
    /// Parameters: log2 of each activation's step.
    pub log2_steps: Vec<f32>,
    /// The largest value of each activation's function, where it has one.
    pub(super) ceilings: Vec<Option<f32>>,
}

impl ActivationGrids {
    /// One grid for each of the functions, every step 1.
    pub fn new(bits: Bits, functions: &[Activation]) -> Self {
        let ceilings = functions.iter().map(|f| f.ceiling()).collect();
        ActivationGrids { bits, log2_steps: vec![0.0; functions.len()], ceilings }
    }
}

/// Quantized activations of a network whose pixels lie on a grid of their own.
pub struct QuantizedActivations<'a> {
    /// Width.
    pub bits: Bits,
    /// log2 of each activation's step.
    pub log2_steps: &'a [f32],
    /// The grid of the pixels.
    pub pixels: Normalisation,
}

/// Width of the codes that means of codes have.
const AVERAGE_BITS: u32 = 8;

impl QuantizedActivations<'_> {
    /// The grid of means of codes: how many steps make 1, and the code of the number 0 (not a whole one for pixels).
    pub fn average_grid(&self, codes: Codes) -> (f32, f32) {
        match codes {
            Codes::Image => (255.0 * self.pixels.std, 255.0 * self.pixels.mean),
            Codes::Activation(index) => {
                (((AVERAGE_BITS - self.bits.get()) as f32 - self.log2_steps[index]).exp2(), 0.0)
            }
        }
    }

    /// Step, smallest and largest code of an activation.
    pub fn grid(&self, index: usize, function: Activation) -> (f32, [f32; 2]) {
        let code = code(function, self.bits);
        (self.log2_steps[index].exp2(), [code.min() as f32, code.max() as f32])
    }
}

impl ActivationQuantizer for QuantizedActivations<'_> {
    fn parameters(&self) -> usize {
        self.log2_steps.len()
    }

    fn forward(&self, index: usize, function: Activation, x: &[f32], y: &mut [f32]) {
        let grid = Uniform::new(code(function, self.bits), self.log2_steps[index]);
        function.specialised(
            #[inline(always)]
            |f| y.iter_mut().zip(x).for_each(|(y, &x)| *y = grid.value(f.value(x))),
        );
    }

    fn average(&self, codes: Codes, window: usize, means: &mut [f32]) {
        let (inverse, zero) = self.average_grid(codes);
        let step = 1.0 / inverse;
        // Means of codes lie `1 / window` apart. Half of the least distance to a half decides what float left open.
        let up = zero + 0.5 + 0.25 / window as f32;
        vectorized(
            #[inline(always)]
            || means.iter_mut().for_each(|mean| *mean = ((*mean * inverse + up).floor() - zero) * step),
        );
    }

    fn backward(
        &self,
        index: usize,
        function: Activation,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        d_log2_steps: &mut [f32],
    ) {
        let grid = Uniform::new(code(function, self.bits), self.log2_steps[index]);
        let [sum, _] = function.specialised(
            #[inline(always)]
            |function| {
                straight_through(
                    x,
                    dy,
                    dx,
                    #[inline(always)]
                    |x, dy, _| {
                        let value = function.value(x);
                        let ste = grid.backward(value, grid.code(value), dy);
                        (ste.value * function.slope(x), [ste.log2_scale, 0.0])
                    },
                )
            },
        );
        d_log2_steps[index] += sum;
    }
}

/// log2 of the first step of an activation, from its float values: that of the least squared error, or of their range.
pub fn calibrate(function: Activation, bits: Bits, rule: Calibration, values: &[f32]) -> f32 {
    fit::scale(code(function, bits), rule, || values.iter().map(|&v| (v, 1.0)))
}
