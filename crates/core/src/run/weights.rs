//! Drawing tiles of weights: from packed codes to strips that a product can use.

use super::constants::Program;
use super::step::{Action, LinearStep};
use super::{Scratch, Size};
use crate::draw::{self, RowScale};
use crate::kernel::{Draw, LANES, VECTOR};
use crate::noise;
use crate::pack;
use core::ops::Range;

/// Materialised weights: every strip of several draws.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'m> {
    signed: &'m [i8],
    words: &'m [i32],
    draws: (u32, u32),
}

/// Some strips of one group of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile<'t> {
    pub weights: &'t [i8],
    pub starts: &'t [i32],
}

/// Memory in which rows are drawn.
pub(super) struct DrawMemory<'m> {
    pub rows: &'m mut [i8],
    pub mu: &'m mut [u8],
    pub sigma: &'m mut [u8],
    pub noise: &'m mut [u8],
}

impl<'m> Weights<'m> {
    /// Draws every weight of the draws `draws` under `seed`, in memory of [`super::Plan::weights`]`(draws.len())`.
    ///
    /// # Panics
    /// If some memory is too small.
    pub fn draw(
        program: &Program<'_>,
        seed: u64,
        draws: Range<u32>,
        signed: &'m mut [i8],
        words: &'m mut [i32],
        scratch: &mut Scratch<'_>,
    ) -> Self {
        let plan = &program.plan;
        assert!(scratch.holds(plan.scratch), "scratch memory is smaller than Plan::scratch says");
        let Size { signed: need, words: need_words, .. } = plan.weights(draws.len());
        assert!(signed.len() >= need && words.len() >= need_words, "memory is smaller than Plan::weights says");
        // Vectors that begin at multiples of their size are read faster.
        let first = aligned(signed);
        let signed = &mut signed[first..];
        let key = noise::key(seed);
        let group = plan.group as u32;
        for step in plan.steps {
            let Action::Linear(l) = &step.action else { continue };
            let mut draw = draws.start;
            while draw < draws.end {
                let end = if l.shared > 1 { (draw + group).min(draws.end) } else { draw + 1 };
                let (mut at, mut start) = plan.place(l, draw - draws.start);
                for channels in 0..l.linear.groups {
                    let (strips, starts) = (l.strips * l.strip(), l.strips * LANES);
                    let into = (&mut signed[at..at + strips], &mut words[start..start + starts]);
                    let (_, _, mut memory) = program.draw_memory(scratch);
                    program.draw_tile(l, key, draw..end, channels, 0..l.strips, into, &mut memory);
                    (at, start) = (at + strips, start + starts);
                }
                draw = end;
            }
        }
        Weights { signed: &signed[..], words: &words[..], draws: (draws.start, draws.end) }
    }

    /// The draws that there are.
    pub fn draws(&self) -> Range<u32> {
        self.draws.0..self.draws.1
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
    /// The scratch memory's parts: a tile, its starts, and what drawing needs.
    pub(super) fn draw_memory<'s>(
        &self,
        scratch: &'s mut Scratch<'_>,
    ) -> (&'s mut [i8], &'s mut [i32], DrawMemory<'s>) {
        let at = &self.plan.at;
        let (rows, tile) = scratch.signed.split_at_mut(at.tile);
        let (mu, rest) = scratch.bytes.split_at_mut(at.sigma);
        let (sigma, rest) = rest.split_at_mut(at.noise - at.sigma);
        let noise = &mut rest[..at.padded - at.noise];
        (tile, &mut scratch.words[..at.sums], DrawMemory { rows, mu, sigma, noise })
    }

    /// Draws the strips `strips` of one group of channels, for the draws `draws` (one, or those that share strips).
    #[expect(clippy::too_many_arguments, reason = "what to draw, and where to")]
    pub(super) fn draw_tile(
        &self,
        l: &LinearStep,
        key: [u32; 2],
        draws: Range<u32>,
        channels: usize,
        strips: Range<usize>,
        into: (&mut [i8], &mut [i32]),
        memory: &mut DrawMemory<'_>,
    ) {
        let pitch = l.linear.fan_in().next_multiple_of(VECTOR) + VECTOR;
        let (weights, starts) = into;
        let parts = weights.chunks_exact_mut(l.strip().max(1)).zip(starts.chunks_exact_mut(LANES));
        for (strip, (weights, starts)) in strips.zip(parts) {
            let mut lane = 0;
            while lane < LANES {
                let first = l.channel(channels, strip * LANES + lane);
                let Some((draw, channel)) = first.filter(|&(d, _)| draws.start + (d as u32) < draws.end) else {
                    // Lanes without a channel, or without a draw: weights of zero.
                    memory.rows[lane * pitch..][..l.linear.fan_in()].fill(0);
                    starts[lane] = 0;
                    lane += 1;
                    continue;
                };
                let last = (channels + 1) * l.group_channels();
                let end = (channel + LANES - lane).min(last);
                let draw = draws.start + draw as u32;
                self.draw_rows(l, key, draw, channel..end, pitch, lane, memory);
                self.starts(l, key, draw, channel..end, pitch, &memory.rows[lane * pitch..], &mut starts[lane..]);
                lane += end - channel;
            }
            for (run, part) in weights.chunks_exact_mut((l.runs.groups * VECTOR).max(1)).enumerate() {
                self.kernel.pack(&memory.rows[run * l.run_len..], pitch, l.run_len, part);
            }
        }
    }

    /// Draws the rows of the channels `channels` into rows `first..` of the memory.
    #[expect(clippy::too_many_arguments, reason = "what to draw, and where to")]
    fn draw_rows(
        &self,
        l: &LinearStep,
        key: [u32; 2],
        draw: u32,
        channels: Range<usize>,
        pitch: usize,
        first: usize,
        memory: &mut DrawMemory<'_>,
    ) {
        let model = &self.plan.model;
        let layer = model.layer(l.layer);
        let parts = (model.codes(&layer), model.mu_bits(), model.sigma_code(), model.weight_code());
        let (Some(codes), Some(mu_bits), Some(sigma), Some(grid)) = parts else { return };
        let rounding = model.rounding();
        let n = l.linear.fan_in();
        let (begin, all) = (channels.start * n, channels.len() * n);
        self.kernel.unpack(codes.mu, begin, mu_bits, &mut memory.mu[..all]);
        self.kernel.unpack(codes.sigma, begin, sigma.0, &mut memory.sigma[..all]);
        let (skip, bytes) = (begin * rounding.noise_bytes() % 16, all * rounding.noise_bytes());
        let block = begin * rounding.noise_bytes() / 16;
        let place = draw::place(l.tensor, draw);
        self.kernel.noise(key, place, block as u32, &mut memory.noise[..skip + bytes]);
        let mut levels = [0i16; 256];
        let count = sigma.0.levels() as usize;
        for (level, &word) in levels.iter_mut().zip(&self.constants[l.at.levels..][..count]) {
            *level = word as i16;
        }
        let mut scales = [RowScale::default(); LANES];
        scales.iter_mut().zip(channels.clone()).for_each(|(scale, channel)| *scale = self.row(l, channel));
        let rows = Draw {
            len: n,
            scales: &scales[..channels.len()],
            mu: &memory.mu[..all],
            sigma: &memory.sigma[..all],
            noise: &memory.noise[skip..skip + bytes],
            levels: &levels[..count],
            mu_bits,
            grid,
            rounding,
        };
        self.kernel.draw(&rows, pitch, &mut memory.rows[first * pitch..]);
    }

    /// What the sums of the channels start with: the drawn bias, less what the input's zero point adds.
    #[expect(clippy::too_many_arguments, reason = "what was drawn, and where to")]
    fn starts(
        &self,
        l: &LinearStep,
        key: [u32; 2],
        draw: u32,
        channels: Range<usize>,
        pitch: usize,
        rows: &[i8],
        starts: &mut [i32],
    ) {
        let model = &self.plan.model;
        let layer = model.layer(l.layer);
        let parts = (model.codes(&layer), model.sigma_code(), model.grid_of(l.input));
        let (Some(codes), Some(sigma), Some(input)) = parts else { return };
        let place = draw::place(l.tensor + 1, draw);
        let levels = &self.constants[l.at.levels + sigma.0.levels() as usize..][..sigma.0.levels() as usize];
        let each = model.rounding().noise_bytes();
        let mut block = [0u8; 16];
        let mut have = None;
        for ((channel, start), row) in channels.zip(starts).zip(rows.chunks(pitch)) {
            let at = channel * each;
            if have != Some(at / 16) {
                have = Some(at / 16);
                self.kernel.noise(key, place, (at / 16) as u32, &mut block);
            }
            let code = pack::get(codes.bias_sigma, channel, sigma.0).unwrap_or(0);
            let level = levels[code as usize] as i16;
            let bias = self.bias(l, channel).draw(codes.bias_mu[channel] as i8, level, block[at % 16]);
            let sum = || row[..l.linear.fan_in()].iter().map(|&w| w as i32).sum::<i32>();
            // The sum with the inputs makes up for what wraps around here.
            *start = if input.zero == 0 { bias } else { bias.wrapping_sub(input.zero.wrapping_mul(sum())) };
        }
    }
}
