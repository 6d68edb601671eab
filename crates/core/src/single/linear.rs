//! The outputs of one channel of a linear layer.

use super::channel::Channel;
use super::place::Fused;
use crate::fixed::requantize;
use crate::model::{Grid, Linear, Shape};
use crate::run::ops::to_i32_q16;

/// What a layer reads: codes `[row][column][channel]`.
#[derive(Clone, Copy)]
pub(super) struct Input<'v> {
    pub bytes: &'v [u8],
    pub shape: Shape,
    /// The byte of the number 0.
    pub zero: i32,
}

/// One channel under one draw.
#[derive(Clone, Copy)]
pub(super) struct LinearRun<'v> {
    pub linear: Linear,
    pub input: Input<'v>,
    /// Drawn weights `[kernel row][kernel column][input channel of the group]`, as the bytes of signed numbers.
    pub weights: &'v [u8],
    pub weight_sum: i32,
    pub bias: i32,
    pub channel: usize,
    /// Of the layer's output, before what runs with it.
    pub shape: Shape,
}

/// The sum of products of unsigned and signed bytes. It may wrap around: only a whole sum is known to fit.
#[inline(always)]
fn dot(x: &[u8], w: &[u8]) -> i32 {
    x.iter().zip(w).fold(0i32, |sum, (&x, &w)| sum.wrapping_add(x as i32 * w as i8 as i32))
}

impl LinearRun<'_> {
    /// Computes all outputs of the channel, and writes them where its value lies.
    pub fn outputs(&self, fused: &Fused, constants: &Channel, grid: Option<Grid>, out: &mut [u8]) {
        let channels = self.shape.channels;
        let Some((activation, grid)) = fused.activation.zip(grid) else {
            for place in 0..self.shape.rows * self.shape.columns {
                let sum = self.sum(place / self.shape.columns, place % self.shape.columns);
                let wide = to_i32_q16(sum, (constants.multiplier, fused.shift));
                let at = 4 * (place * channels + self.channel);
                out[at..at + 4].copy_from_slice(&wide.to_le_bytes());
            }
            return;
        };
        let code = |sum: i32| {
            let multiplier = if sum < 0 { constants.negative } else { constants.multiplier };
            let code = requantize(sum, multiplier, fused.shift).clamp(activation.low as i64, activation.high as i64);
            (code as i32 + grid.zero) as u8
        };
        match fused.pool {
            None => {
                for row in 0..self.shape.rows {
                    for column in 0..self.shape.columns {
                        out[(row * self.shape.columns + column) * channels + self.channel] =
                            code(self.sum(row, column));
                    }
                }
            }
            // Of four sums the largest has the largest code.
            Some(stride) => {
                let side = |n: usize| (n - 2) / stride + 1;
                let (rows, columns) = (side(self.shape.rows), side(self.shape.columns));
                for row in 0..rows {
                    for column in 0..columns {
                        let (top, left) = (row * stride, column * stride);
                        let above = self.sum(top, left).max(self.sum(top, left + 1));
                        let below = self.sum(top + 1, left).max(self.sum(top + 1, left + 1));
                        out[(row * columns + column) * channels + self.channel] = code(above.max(below));
                    }
                }
            }
        }
    }

    /// The sum of a window with the weights, and the bias. What lies around the input counts as the number 0.
    fn sum(&self, row: usize, column: usize) -> i32 {
        let Linear { kernel_rows, kernel_columns, stride, padding, groups, group_inputs, .. } = self.linear;
        let Input { bytes, shape, zero } = self.input;
        let group = self.channel / (self.shape.channels / groups);
        // The window in the input, and which part of it lies within.
        let (top, left) = (row * stride, column * stride);
        let within = |first: usize, kernel: usize, side: usize| {
            let begin = padding.saturating_sub(first);
            begin..(side + padding).saturating_sub(first).clamp(begin, kernel)
        };
        let rows = within(top, kernel_rows, shape.rows);
        let columns = within(left, kernel_columns, shape.columns);
        let whole = rows.len() == kernel_rows && columns.len() == kernel_columns;
        let (mut sum, mut weights) = (0i32, self.weight_sum);
        if !whole {
            weights = 0;
        }
        let mut part = |x: &[u8], w: &[u8]| {
            sum = sum.wrapping_add(dot(x, w));
            if !whole && zero != 0 {
                weights += w.iter().map(|&w| w as i8 as i32).sum::<i32>();
            }
        };
        for ky in rows {
            let line = ((top + ky - padding) * shape.columns + left + columns.start - padding) * shape.channels;
            let weights = ky * kernel_columns * group_inputs;
            if groups == 1 {
                let len = columns.len() * group_inputs;
                let first = weights + columns.start * group_inputs;
                part(&bytes[line..line + len], &self.weights[first..first + len]);
            } else {
                for (i, kx) in columns.clone().enumerate() {
                    let x = line + i * shape.channels + group * group_inputs;
                    let w = weights + kx * group_inputs;
                    part(&bytes[x..x + group_inputs], &self.weights[w..w + group_inputs]);
                }
            }
        }
        // The sum with the inputs makes up for what wraps around here.
        sum.wrapping_add(self.bias).wrapping_sub(zero.wrapping_mul(weights))
    }
}
