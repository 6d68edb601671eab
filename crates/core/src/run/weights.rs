//! Drawing strips of weights: from packed codes to moments, and from moments, draw by draw, to strips that a product can
//! use. Moments are four times as large as drawn weights, so those of a single strip are held at a time, for all draws.

use super::constants::Program;
use super::error::RunError;
use super::plan::sigma_levels;
use super::step::{Action, LinearStep};
use super::{Scratch, Size};
use crate::draw::{self, BiasMoments, RowScale};
use crate::kernel::{Codes, Draw, LANES, Lanes, VECTOR};
use crate::noise;
use crate::pack;
use core::ops::Range;

/// Materialised weights: every strip of several draws.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'m> {
    pub(super) signed: &'m [i8],
    pub(super) words: &'m [i32],
    pub(super) draws: (u32, u32),
    /// How they lie: what [`super::Plan::layout`] said.
    pub(super) layout: Layout,
}

/// How drawn weights lie in memory: what the draws of a group share, what each has, and how many make a group. Two plans with
/// the same layout are told apart by their model.
pub(super) type Layout = (Size, Size, usize, u32);

/// Some strips of one group of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile<'t> {
    pub weights: &'t [i8],
    pub starts: &'t [i32],
}

/// Memory for drawing a strip.
pub(super) struct DrawMemory<'m> {
    /// Unpacked codes of 16 rows, then those of means and of sigmas as they lie in the strip.
    pub codes: &'m mut [u8],
    pub mu: &'m mut [u8],
    pub sigma: &'m mut [u8],
    /// Moments of the strip that [`Program::strip`] was asked for last.
    pub moments: &'m mut [i32],
    pub noise: &'m mut [i32],
}

/// A strip whose moments lie in the memory for drawing: what its lanes are.
pub(super) struct Strip {
    lanes: Lanes,
    /// Of each lane: which of the draws that share the strip it belongs to.
    member: [u32; LANES],
    /// Of each lane: its bias, and where that one's noise begins; 0 where there is no channel.
    biases: [(BiasMoments, usize); LANES],
}

impl<'m> Weights<'m> {
    /// Draws every weight of the draws `draws` under `seed`, in memory of [`super::Plan::weights`]`(draws.len())`.
    ///
    /// # Errors
    /// [`RunError::Memory`] if some memory is too small.
    pub fn draw(
        program: &Program<'_>,
        seed: u64,
        draws: Range<u32>,
        signed: &'m mut [i8],
        words: &'m mut [i32],
        scratch: &mut Scratch<'_>,
    ) -> Result<Self, RunError> {
        let plan = &program.plan;
        scratch.holds(plan.scratch)?;
        let need = plan.weights(draws.len());
        for (what, found, wanted) in [
            ("signed bytes for weights (Plan::weights)", signed.len(), need.signed),
            ("words for weights (Plan::weights)", words.len(), need.words),
        ] {
            if found < wanted {
                return Err(RunError::Memory { what, found, wanted });
            }
        }
        // Vectors that begin at multiples of their size are read faster.
        let first = aligned(signed);
        let signed = &mut signed[first..];
        let key = noise::key(seed);
        let group = plan.group as u32;
        for step in plan.steps {
            let Action::Linear(l) = &step.action else { continue };
            let together = if l.shared > 1 { group } else { 1 };
            // A strip's moments serve all draws.
            for (channels, strip) in (0..l.linear.groups * l.strips).map(|i| (i / l.strips, i % l.strips)) {
                let (_, _, mut memory) = program.draw_memory(scratch);
                let moments = program.strip(l, channels, strip, &mut memory);
                for first in draws.clone().step_by(together as usize) {
                    let (at, start) = plan.place(l, first - draws.start);
                    let strip_at = channels * l.strips + strip;
                    let into = (
                        &mut signed[at + strip_at * l.strip()..][..l.strip()],
                        &mut words[start + strip_at * LANES..][..LANES],
                    );
                    program.draw_strip(l, key, first, &moments, into, &mut memory);
                }
            }
        }
        let draws = (draws.start, draws.end.max(draws.start));
        Ok(Weights { signed: &signed[..], words: &words[..], draws, layout: plan.layout() })
    }

    /// The draws that there are.
    pub fn draws(&self) -> Range<u32> {
        self.draws.0..self.draws.1
    }

    /// Whether they were drawn for a plan.
    pub(super) fn belong(&self, plan: &super::Plan<'_>) -> bool {
        self.layout == plan.layout()
    }

    /// The strips of one group of channels of a layer.
    pub(super) fn tile(&self, program: &Program<'_>, l: &LinearStep, draw: u32, channels: usize) -> Tile<'m> {
        let (at, start) = program.plan.place(l, draw - self.draws.0);
        let (strips, starts) = (l.strips * l.strip(), l.strips * LANES);
        Tile {
            weights: &self.signed[at + channels * strips..][..strips],
            starts: &self.words[start + channels * starts..][..starts],
        }
    }
}

/// How many bytes precede the first at a multiple of 64.
fn aligned(memory: &[i8]) -> usize {
    memory.as_ptr().align_offset(64).min(super::plan::SLACK)
}

impl super::Plan<'_> {
    /// How drawn weights lie, and the checksum of the model that they belong to.
    fn layout(&self) -> Layout {
        (self.shared, self.own, self.group, self.model.checksum())
    }

    /// Where the strips and starts of a layer lie, for the draw with number `draw` among those that are held.
    fn place(&self, l: &LinearStep, draw: u32) -> (usize, usize) {
        let (group, member) = (draw as usize / self.group, draw as usize % self.group);
        let of = |shared: usize, own: usize, at: usize| {
            let first = group * (shared + self.group * own);
            if l.shared > 1 { first + at } else { first + shared + member * own + at }
        };
        (of(self.shared.signed, self.own.signed, l.weights), of(self.shared.words, self.own.words, l.starts))
    }
}

impl Program<'_> {
    /// The scratch memory's parts: a strip, its starts, and what drawing needs.
    pub(super) fn draw_memory<'s>(
        &self,
        scratch: &'s mut Scratch<'_>,
    ) -> (&'s mut [i8], &'s mut [i32], DrawMemory<'s>) {
        let at = &self.plan.at;
        let (codes, rest) = scratch.bytes.split_at_mut(at.mu);
        let (mu, rest) = rest.split_at_mut(at.sigma - at.mu);
        let (moments, rest_of_words) = scratch.words.split_at_mut(at.noise);
        let (noise, starts) = rest_of_words.split_at_mut(at.starts - at.noise);
        let sigma = &mut rest[..at.padded - at.sigma];
        (&mut scratch.signed[..], &mut starts[..LANES], DrawMemory { codes, mu, sigma, moments, noise })
    }

    /// Works out the moments of a strip's weights, for [`Program::draw_strip`] under any draws.
    pub(super) fn strip(&self, l: &LinearStep, channels: usize, strip: usize, memory: &mut DrawMemory<'_>) -> Strip {
        let model = &self.plan.model;
        let mut out = Strip {
            lanes: Lanes { fraction: [8; LANES], fit: true, ..Lanes::default() },
            member: [0; LANES],
            biases: Default::default(),
        };
        let layer = model.layer(l.layer);
        let (Some(codes), Some(mu_bits)) = (model.codes(&layer), model.mu_bits()) else { return out };
        let (sigma_bits, levels) = (model.sigma_code().map(|sigma| sigma.0), sigma_levels(model));
        let (len, each) = (l.linear.fan_in(), model.rounding().noise_bytes());
        let levels = self.constants[l.at.levels..][..2 * levels].split_at(levels);
        let of_lane = |lane: usize| l.channel(channels, strip * LANES + lane).map(|of| (lane, of));
        let (mut scales, mut rows) = ([RowScale::NONE; LANES], [0; LANES]);
        for (lane, (member, channel)) in (0..LANES).filter_map(of_lane) {
            (scales[lane], rows[lane]) = (self.row(l, channel), lane * len);
            // In 64 bits: two bytes for each weight may be more than an address holds.
            let first = channel as u64 * len as u64 * each as u64;
            out.lanes.block[lane] = (first / 16) as u32;
            out.lanes.byte[lane] = (first % 16) as u8;
            out.lanes.fraction[lane] = scales[lane].fraction;
            out.lanes.fit &= scales[lane].fits();
            out.lanes.count = lane + 1;
            out.member[lane] = member as u32;
            let code = sigma_bits.and_then(|bits| pack::get(codes.bias_sigma, channel, bits)).unwrap_or(0);
            let bias = self.bias(l, channel).moments(codes.bias_mu[channel] as i8, levels.1[code as usize] as i16);
            out.biases[lane] = (bias, channel * each);
        }
        let all = l.strip();
        for (packed, bits, strip) in
            [(codes.mu, Some(mu_bits), &mut memory.mu[..all]), (codes.sigma, sigma_bits, &mut memory.sigma[..all])]
        {
            let Some(bits) = bits else {
                strip.fill(0);
                continue;
            };
            // Neighbouring channels in one go.
            let mut lane = 0;
            while let Some((_, (_, channel))) = (lane < LANES).then(|| of_lane(lane)).flatten() {
                let count = ((channels + 1) * l.group_channels() - channel).min(LANES - lane);
                let rows = &mut memory.codes[lane * len..][..count * len];
                self.kernel.unpack(packed, channel * len, bits, rows);
                lane += count;
            }
            for (run, part) in strip.chunks_exact_mut(l.runs.groups * VECTOR).enumerate() {
                self.kernel.pack(memory.codes, &rows.map(|at| at + run * l.run_len), l.run_len, part);
            }
        }
        let mut words = [0i16; 256];
        words.iter_mut().zip(levels.0).for_each(|(level, &word)| *level = word as i16);
        let codes = Codes {
            run_len: l.run_len,
            scales: &scales,
            mu: &memory.mu[..all],
            sigma: &memory.sigma[..all],
            levels: &words[..levels.0.len()],
            mu_bits,
            rounding: model.rounding(),
        };
        self.kernel.moments(&codes, &mut memory.moments[..all]);
        out
    }

    /// Draws a strip from its moments, under the draw `draw` (or the first of those that share it).
    pub(super) fn draw_strip(
        &self,
        l: &LinearStep,
        key: [u32; 2],
        draw: u32,
        strip: &Strip,
        (weights, starts): (&mut [i8], &mut [i32]),
        memory: &mut DrawMemory<'_>,
    ) {
        let model = &self.plan.model;
        let (Some(grid), Some(input)) = (model.weight_code(), model.grid_of(l.input)) else { return };
        // Of draws that share a strip some may not be asked for: nobody reads their sums.
        let draws = strip.member.map(|member| draw.wrapping_add(member));
        let all = Draw {
            moments: &memory.moments[..l.strip()],
            run_len: l.run_len,
            lanes: &Lanes { draw: draws, ..strip.lanes },
            grid,
            rounding: model.rounding(),
            key,
            tensor: l.tensor,
        };
        let mut sums = [0; LANES];
        self.kernel.draw(&all, memory.noise, weights, (input.zero != 0).then_some(&mut sums));
        let dropped = model.posterior().dropped();
        if dropped > 0 && l.tensor > 0 {
            self.drop_units(l, key, &draws, dropped, weights);
            sums = sums_of(weights);
        }
        let (mut have, mut noise) = (None, [0u8; 16]);
        for (lane, (start, (bias, at))) in starts.iter_mut().zip(&strip.biases).enumerate() {
            let block = (draws[lane], (at / 16) as u32);
            if have != Some(block) {
                have = Some(block);
                noise::fill(key, draw::counter(l.tensor + 1, block.0), block.1, &mut noise);
            }
            // The sum with the inputs makes up for what wraps around here.
            *start = bias.draw(noise[at % 16]).wrapping_sub(input.zero.wrapping_mul(sums[lane]));
        }
    }

    /// Sets the weights to zero that read a unit which its draw drops ([`draw::mask_counter`]): the rule word for word, lane by lane,
    /// for files of MC dropout. A unit is an input channel of a convolution, or a number that a dense layer reads.
    fn drop_units(&self, l: &LinearStep, key: [u32; 2], draws: &[u32; LANES], dropped: u8, weights: &mut [i8]) {
        let units = draw::units(&l.linear, self.plan.model.shape_of(self.plan.model.layer(l.layer).input));
        let (run_bytes, fan_in) = (l.runs.groups * VECTOR, l.linear.fan_in());
        let mut noise = [0u8; 16];
        for (lane, &draw) in draws.iter().enumerate().filter(|(lane, draw)| !draws[..*lane].contains(draw)) {
            for unit in 0..units {
                if unit % 16 == 0 {
                    noise::fill(key, draw::mask_counter(l.tensor, draw), (unit / 16) as u32, &mut noise);
                }
                if noise[unit % 16] >= dropped {
                    continue;
                }
                for input in (unit..fan_in).step_by(units) {
                    let (run, at) = (input / l.run_len, input % l.run_len);
                    let first = run * run_bytes + at / 4 * VECTOR + at % 4;
                    for other in (lane..LANES).filter(|&other| draws[other] == draw) {
                        weights[first + 4 * other] = 0;
                    }
                }
            }
        }
    }
}

/// The sum of each lane's weights in a strip.
fn sums_of(weights: &[i8]) -> [i32; LANES] {
    let mut sums = [0; LANES];
    for vector in weights.chunks_exact(VECTOR) {
        for (sum, weights) in sums.iter_mut().zip(vector.chunks_exact(VECTOR / LANES)) {
            *sum += weights.iter().map(|&w| w as i32).sum::<i32>();
        }
    }
    sums
}
