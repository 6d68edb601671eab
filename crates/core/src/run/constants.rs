//! The constants that a model's stored scales stand for: ratios, multipliers, sigma levels, origins of windows.

use super::error::RunError;
use super::plan::{Plan, leaky, sigma_levels};
use super::step::{Action, LinearStep};
use crate::code::Bits;
use crate::draw::{BiasScale, RowScale, sigma_level};
use crate::fixed::{OCTAVE, WIDE_FRACTION_BITS, exp2};
use crate::kernel::Kernel;
use crate::model::{Codes, Grid};

/// A plan with its constants: ready to draw and to run, shared by all threads.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) kernel: Kernel,
    pub(super) constants: &'a [i32],
}

impl<'a> Plan<'a> {
    /// The program of this plan, for a kernel, in memory of [`Plan::constants`] words.
    ///
    /// # Errors
    /// [`RunError::Memory`] if there are fewer words.
    pub fn prepare(&self, kernel: Kernel, constants: &'a mut [i32]) -> Result<Program<'a>, RunError> {
        let (found, wanted) = (constants.len(), self.constants);
        let constants = constants.get_mut(..wanted).ok_or(RunError::Memory {
            what: "words of constants (Plan::constants)",
            found,
            wanted,
        })?;
        for step in self.steps {
            let Action::Linear(l) = &step.action else { continue };
            let layer = self.model.layer(l.layer);
            let parts = (self.model.codes(&layer), self.model.grid_of(l.input), self.model.mu_bits());
            // A checked model has all three; without them there is nothing to prepare.
            if let (Some(codes), Some(input), Some(mu_bits)) = parts {
                scales(l, &codes, input, mu_bits, constants);
                self.levels(l, &codes, constants);
                self.origins(l, constants);
            }
        }
        Ok(Program { plan: *self, kernel, constants })
    }

    fn levels(&self, l: &LinearStep, codes: &Codes<'_>, constants: &mut [i32]) {
        let (levels, has_sigma) = (sigma_levels(&self.model), self.model.posterior().has_sigma());
        let both = constants[l.at.levels..][..2 * levels].chunks_exact_mut(levels.max(1));
        for (part, step) in both.zip([codes.sigma_step(), codes.bias_sigma_step()]) {
            let level = |k| if has_sigma { sigma_level(k as u8, step) as i32 } else { 0 };
            part.iter_mut().enumerate().for_each(|(k, t)| *t = level(k));
        }
    }

    /// Origins in the order in which outputs want them: the four windows of a pooled output are neighbours.
    fn origins(&self, l: &LinearStep, constants: &mut [i32]) {
        let out = &mut constants[l.at.origins..][..l.windows(self.block)];
        let input = l.input.checked_sub(1).map(|i| self.steps[i].output);
        if l.whole() {
            let pitch = input.map_or(l.patch(), |v| v.image());
            let first = input.map_or(0, |v| (v.border - l.linear.padding) * (v.row_pitch() + v.shape.channels));
            out.iter_mut().enumerate().for_each(|(i, o)| *o = (first + i * pitch) as i32);
            return;
        }
        let origin = |row: usize, column: usize| match input {
            None => (row * l.columns + column) * l.patch(),
            Some(v) => {
                let edge = v.border - l.linear.padding;
                let (row, column) = (row * l.linear.stride + edge, column * l.linear.stride + edge);
                row * v.row_pitch() + column * v.shape.channels
            }
        };
        match l.pool {
            None => {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = origin(i / l.columns, i % l.columns) as i32;
                }
            }
            Some(stride) => {
                let columns = (l.columns - 2) / stride + 1;
                for (i, o) in out.iter_mut().enumerate() {
                    let (row, column) = (i / 4 / columns * stride, i / 4 % columns * stride);
                    *o = origin(row + i / 2 % 2, column + i % 2) as i32;
                }
            }
        }
    }
}

fn scales(l: &LinearStep, codes: &Codes<'_>, input: Grid, mu_bits: Bits, constants: &mut [i32]) {
    let wide = -(WIDE_FRACTION_BITS as i32) * OCTAVE;
    let output = l.activation.map_or(wide, |a| a.log2_step as i32);
    for channel in 0..l.channels {
        let weight = codes.weight_scales.get(channel);
        let row = RowScale::new(codes.mu_scales.get(channel), weight, codes.sigma_top(), mu_bits);
        if let Some(row) = row {
            constants[l.at.rows + 2 * channel..][..2].copy_from_slice(&pack_row(row));
        }
        let accumulator = weight as i32 + input.log2_step;
        let bias = BiasScale::new(codes.bias_mu_scale(), codes.bias_sigma_top(), accumulator);
        constants[l.at.biases + 4 * channel..][..4].copy_from_slice(&pack_bias(bias));
    }
    let per_group = l.strips * crate::kernel::LANES;
    for lane in 0..l.lanes() {
        let Some((_, channel)) = l.channel(lane / per_group, lane % per_group) else {
            constants[l.at.multipliers + lane] = 0;
            if l.at.negative > 0 {
                constants[l.at.negative + lane] = 0;
            }
            continue;
        };
        let ratio = codes.weight_scales.get(channel) as i32 + input.log2_step - output;
        let multiplier = exp2(ratio, l.shift).min(i32::MAX as i64);
        constants[l.at.multipliers + lane] = multiplier as i32;
        if let Some(a) = l.activation.filter(leaky) {
            constants[l.at.negative + lane] = below_zero(multiplier, a.slope);
        }
    }
}

/// A multiplier times a slope of 31 fraction bits.
pub(crate) fn below_zero(multiplier: i64, slope: u32) -> i32 {
    ((multiplier * slope as i64 + (1 << 30)) >> 31) as i32
}

fn pack_row(row: RowScale) -> [i32; 2] {
    [row.mean as i32 | (row.deviation as i32) << 16, row.fraction as i32]
}

fn pack_bias(bias: BiasScale) -> [i32; 4] {
    [bias.mean as i32, (bias.mean >> 32) as i32, bias.deviation as i32, (bias.deviation >> 32) as i32]
}

impl Program<'_> {
    /// The plan.
    pub fn plan(&self) -> &Plan<'_> {
        &self.plan
    }

    /// The kernel.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn row(&self, l: &LinearStep, channel: usize) -> RowScale {
        let at = l.at.rows + 2 * channel;
        let (both, fraction) = (self.constants[at], self.constants[at + 1]);
        RowScale { mean: both as i16, deviation: (both >> 16) as i16, fraction: fraction as u8 }
    }

    pub(super) fn bias(&self, l: &LinearStep, channel: usize) -> BiasScale {
        let w = &self.constants[l.at.biases + 4 * channel..][..4];
        let join = |low: i32, high: i32| (high as i64) << 32 | low as u32 as i64;
        BiasScale { mean: join(w[0], w[1]), deviation: join(w[2], w[3]) }
    }
}
