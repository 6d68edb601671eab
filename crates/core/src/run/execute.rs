//! The run itself: blocks of images through the steps of a program, draw by draw.

use super::Scratch;
use super::constants::Program;
use super::error::RunError;
use super::ops::{self, Dequantize};
use super::plan::SLACK;
use super::step::{Action, DrawOffset, LinearStep, Value};
use super::weights::{Tile, Weights};
use crate::kernel::{LANES, Output, Product};
use crate::model::Pool;
use crate::noise;
use core::ops::Range;

/// Where drawn weights come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'w> {
    /// They were drawn before: fastest where one set serves many images.
    Drawn(&'w Weights<'w>),
    /// They are drawn tile by tile, anew for each block of images: no memory for them.
    Streamed {
        /// The seed.
        seed: u64,
    },
}

/// What is being worked on.
#[derive(Clone, Copy)]
struct Work<'w> {
    source: Source<'w>,
    /// Images of the block, `[image][row][column][channel]`.
    images: &'w [u8],
    count: usize,
    /// The draws that share strips, or one of them.
    draws: (u32, u32),
    /// Where the draw's values lie.
    offset: DrawOffset,
}

impl Program<'_> {
    /// Logits of every image under every draw, `[draw][image][class]`, with 16 fraction bits.
    ///
    /// `images` lie as `[image][row][column][channel]`, 8 bits each.
    ///
    /// # Errors
    /// [`RunError`] if a length does not fit the model or [`super::Plan::scratch`], or the weights of a draw were not drawn, or
    /// for another model. Of drawn weights a range must begin with the first draw or a multiple of
    /// [`super::Plan::draws_together`] behind it.
    pub fn run(
        &self,
        source: Source<'_>,
        images: &[u8],
        draws: Range<u32>,
        scratch: &mut Scratch<'_>,
        out: &mut [i32],
    ) -> Result<(), RunError> {
        let plan = &self.plan;
        let (len, classes) = (plan.model.input().len(), plan.model.classes());
        let count = images.len() / len;
        if !images.len().is_multiple_of(len) {
            return Err(RunError::Images { found: images.len(), each: len });
        }
        let wanted = draws.len().checked_mul(count).and_then(|n| n.checked_mul(classes));
        if wanted != Some(out.len()) {
            return Err(RunError::Logits { found: out.len(), wanted });
        }
        scratch.holds(plan.scratch)?;
        if draws.is_empty() {
            return Ok(());
        }
        if let Source::Drawn(weights) = source {
            let have = weights.draws();
            if !weights.belong(plan) {
                return Err(RunError::OtherWeights);
            }
            if draws.start < have.start || draws.end > have.end {
                return Err(RunError::Draws { found: (draws.start, draws.end), drawn: (have.start, have.end) });
            }
            let found = draws.start - have.start;
            if !found.is_multiple_of(plan.group as u32) {
                return Err(RunError::Group { found, together: plan.group });
            }
        }
        self.borders(scratch);
        for (block, images) in images.chunks(plan.block * len).enumerate() {
            let n = images.len() / len;
            self.patches(images, scratch);
            // A round of draws shares strips where the image is read, and then runs in waves. Few images leave places of
            // the block free: streamed, a wave has as many draws as fit in, so that each strip's moments serve them all.
            let wide = match source {
                Source::Drawn(_) => 1,
                Source::Streamed { .. } => plan.block / n,
            };
            let round = if wide > plan.group { wide - wide % plan.group } else { plan.group };
            for first in draws.clone().step_by(round) {
                let end = first.saturating_add(round as u32).min(draws.end);
                // The draws from `draw` on, `count` of them, in a wave that begins with `wave`.
                let work = |draw: u32, count: u32, wave: u32| {
                    let place = |since: u32| (draw - since) as usize * n;
                    let offset = DrawOffset { round: place(first), wave: place(wave) };
                    Work { source, images, count: n, draws: (draw, draw.saturating_add(count).min(end)), offset }
                };
                for step in plan.steps {
                    if let Action::Linear(l) = &step.action
                        && l.shared > 1
                    {
                        let groups = (first..end).step_by(plan.group);
                        self.linear(l, groups.map(|draw| work(draw, plan.group as u32, draw)), scratch);
                    }
                }
                for wave in (first..end).step_by(wide) {
                    let wave = wave..wave.saturating_add(wide as u32).min(end);
                    let each = wave.clone().map(|draw| work(draw, 1, wave.start));
                    for (i, step) in plan.steps.iter().enumerate() {
                        match &step.action {
                            Action::Linear(l) if l.shared == 1 => self.linear(l, each.clone(), scratch),
                            action => each.clone().for_each(|work| self.step(i, action, work, scratch)),
                        }
                    }
                    for work in each {
                        let at = (work.draws.0 - draws.start) as usize * count + block * plan.block;
                        self.logits(work, scratch, &mut out[at * classes..(at + n) * classes]);
                    }
                }
            }
        }
        Ok(())
    }

    /// Zeros around every value that a padded layer reads: what lies inside is overwritten, these stay.
    fn borders(&self, scratch: &mut Scratch<'_>) {
        for step in self.plan.steps {
            let v = &step.output;
            if let (Some(grid), true) = (v.grid, v.border > 0) {
                let at = self.plan.at.values + v.base;
                scratch.bytes[at..at + v.copies * self.plan.block * v.image()].fill(grid.zero as u8);
            }
        }
    }

    /// Copies the windows of every layer that reads the image.
    fn patches(&self, images: &[u8], scratch: &mut Scratch<'_>) {
        let (at, model) = (&self.plan.at, &self.plan.model);
        for step in self.plan.steps {
            let Action::Linear(l) = &step.action else { continue };
            if l.input > 0 {
                continue;
            }
            let (head, rest) = scratch.bytes.split_at_mut(at.patches + l.patches);
            for (i, image) in images.chunks_exact(model.input().len()).enumerate() {
                let zero = model.pixels().zero as u8;
                let out = &mut rest[i * l.image_patches() as usize..];
                ops::patches(image, model.input(), l, zero, &mut head[at.padded..at.lanes], out);
            }
        }
    }

    /// The logits of a block under one draw: the last value, which is wide.
    fn logits(&self, work: Work<'_>, scratch: &Scratch<'_>, out: &mut [i32]) {
        let Some(last) = self.plan.steps.last() else { return };
        let at = self.plan.at.wide + last.output.of(work.offset);
        out.copy_from_slice(&scratch.words[at..at + work.count * last.output.image()]);
    }

    fn step(&self, index: usize, action: &Action, work: Work<'_>, scratch: &mut Scratch<'_>) {
        match action {
            // Linear layers run for several draws at once: see `run`.
            Action::Fused | Action::Linear(_) => {}
            Action::Pool { input, pool } => self.pool(*input, index, pool, work, scratch),
            Action::Activate { input, activation } => {
                let (from, to) = (self.value(*input), self.value(index + 1));
                let Some(grid) = to.grid else { return };
                let rule = ops::ToCodes::new(activation, grid);
                let at = &self.plan.at;
                let (from_at, to_at) = (from.of(work.offset), to.of(work.offset));
                for image in 0..work.count {
                    let wide = &scratch.words[at.wide + from_at + image * from.image()..][..from.image()];
                    let base = at.values + to_at + image * to.image() + to.first();
                    for (row, numbers) in wide.chunks_exact(from.row_pitch()).enumerate() {
                        let out = &mut scratch.bytes[base + row * to.row_pitch()..][..numbers.len()];
                        out.iter_mut().zip(numbers).for_each(|(y, &x)| *y = rule.code(x));
                    }
                }
            }
            Action::Add { input, other } => self.add([*input, *other], index, work, scratch),
        }
    }

    /// A value: 0 is the image, `i + 1` the output of step `i`.
    fn value(&self, value: usize) -> Value {
        match value.checked_sub(1) {
            Some(i) => self.plan.steps[i].output,
            None => Value {
                shape: self.plan.model.input(),
                grid: Some(self.plan.model.pixels()),
                border: 0,
                base: 0,
                copies: 1,
            },
        }
    }

    /// A linear layer under several draws, one after the other (or under the draws that share strips).
    fn linear<'w>(&self, l: &LinearStep, each: impl Iterator<Item = Work<'w>> + Clone, scratch: &mut Scratch<'_>) {
        let groups = 0..l.linear.groups;
        let Some(Work { source: Source::Streamed { seed }, .. }) = each.clone().next() else {
            for (channels, work) in groups.flat_map(|channels| each.clone().map(move |work| (channels, work))) {
                let Source::Drawn(weights) = work.source else { return };
                let tile = weights.tile(self, l, work.draws.0, channels);
                self.products(l, Some(tile), channels, 0..l.strips, work, scratch);
            }
            return;
        };
        for (channels, strip) in groups.flat_map(|channels| (0..l.strips).map(move |strip| (channels, strip))) {
            let (_, _, mut memory) = self.draw_memory(scratch);
            let moments = self.strip(l, channels, strip, &mut memory);
            for work in each.clone() {
                let (weights, starts, mut memory) = self.draw_memory(scratch);
                let into = (&mut weights[..l.strip()], starts);
                self.draw_strip(l, noise::key(seed), work.draws.0, &moments, into, &mut memory);
                self.products(l, None, channels, strip..strip + 1, work, scratch);
            }
        }
    }

    /// The products of some strips with a block's images. Without a tile, the strip in the scratch memory.
    fn products(
        &self,
        l: &LinearStep,
        tile: Option<Tile<'_>>,
        channels: usize,
        strips: Range<usize>,
        work: Work<'_>,
        scratch: &mut Scratch<'_>,
    ) {
        let (at, block) = (&self.plan.at, self.plan.block);
        let lanes = strips.len() * LANES;
        let (starts, words) = scratch.words.split_at_mut(at.sums);
        let tile = tile.unwrap_or_else(|| Tile {
            weights: &scratch.signed[..strips.len() * l.strip()],
            starts: &starts[at.starts..][..lanes],
        });
        let (head, values) = scratch.bytes.split_at_mut(at.values);
        let (head, patches) = head.split_at_mut(at.patches);
        let way = &mut head[at.lanes..];
        let output = self.plan.steps[l.output].output;
        let input = l.input.checked_sub(1).map(|i| self.plan.steps[i].output);
        // A dense layer works off all images at once, a convolution one after the other.
        let (products, each) = if l.whole() { (1, work.count) } else { (work.count, 1) };
        let windows = if l.whole() { work.count } else { l.windows(block) };
        let origins = &self.constants[l.at.origins..][..windows];
        let first_lane = (channels * l.strips + strips.start) * LANES;
        let constants = |from: usize| &self.constants[from + first_lane..][..lanes];
        for image in 0..products {
            let (from, to) = match input {
                None => (&patches[l.patches + image * l.image_patches() as usize..], &mut values[..]),
                Some(v) => {
                    let first = v.of(work.offset) + image * v.image();
                    let from = first..first + each * v.image() + SLACK;
                    let whole = output.base..output.base + output.copies * block * output.image();
                    split_disjoint(values, from, if output.grid.is_some() { whole } else { 0..0 })
                }
            };
            let group = channels * l.linear.group_inputs;
            let product =
                Product { weights: tile.weights, start: tile.starts, input: &from[group..], runs: l.runs, origins };
            let Some((activation, grid)) = l.activation.zip(output.grid) else {
                let sums = &mut words[..windows * lanes];
                self.kernel.product(&product, Output::Sums(sums));
                let (sums, wide) = words.split_at_mut(at.wide - at.sums);
                let to = output.of(work.offset) + image * output.image();
                self.sums_to_q16(l, (channels, strips.start * LANES, lanes), sums, to, windows, wide);
                continue;
            };
            let negative = (l.at.negative > 0).then(|| constants(l.at.negative));
            let requantize = ops::requantization(&activation, constants(l.at.multipliers), negative, l.shift, grid);
            // In place if lanes are channels and nothing surrounds them.
            let direct = l.shared == 1 && output.border == 0;
            let base = match input {
                None => 0,
                Some(_) => output.base,
            };
            let place = |offset| output.of(offset) - base + image * output.image();
            if direct {
                let left = l.group_channels() - strips.start * LANES;
                let first = place(work.offset) + channels * l.group_channels() + strips.start * LANES;
                self.kernel.product(
                    &product,
                    Output::Codes {
                        out: &mut to[first..],
                        pitch: l.channels,
                        channels: left.min(lanes),
                        pool: l.pooled(),
                        requantize,
                    },
                );
            } else {
                let pool = l.pooled();
                let codes = &mut way[..windows / pool * lanes];
                self.kernel.product(
                    &product,
                    Output::Codes { out: &mut codes[..], pitch: lanes, channels: lanes, pool, requantize },
                );
                let part = (channels, strips.start * LANES, lanes);
                let place = |copy| place(DrawOffset { round: work.offset.round + copy * work.count, ..work.offset });
                distribute(l, part, codes, &output, place, to);
            }
        }
    }

    /// Sums on their way to a wide value.
    fn sums_to_q16(
        &self,
        l: &LinearStep,
        (channels, first, lanes): (usize, usize, usize),
        sums: &[i32],
        to: usize,
        windows: usize,
        wide: &mut [i32],
    ) {
        let count = (l.group_channels() - first).min(lanes);
        let at = l.at.multipliers + channels * l.strips * LANES + first;
        let multipliers = &self.constants[at..at + count];
        let base = to + channels * l.group_channels() + first;
        for (window, sums) in sums.chunks_exact(lanes).take(windows).enumerate() {
            let out = &mut wide[base + window * l.channels..][..count];
            for ((y, &sum), &m) in out.iter_mut().zip(sums).zip(multipliers) {
                *y = ops::to_i32_q16(sum, (m, l.shift));
            }
        }
    }

    fn pool(&self, input: usize, index: usize, pool: &Pool, work: Work<'_>, scratch: &mut Scratch<'_>) {
        let (from, to, at) = (self.value(input), self.value(index + 1), &self.plan.at);
        let windows = pool.size * pool.size;
        let (from_at, to_at) = (from.of(work.offset), to.of(work.offset));
        for image in 0..work.count {
            let out = to_at + image * to.image()..to_at + (image + 1) * to.image();
            let read = from_at + image * from.image()..from_at + (image + 1) * from.image();
            let Some(grid) = from.grid else {
                let (x, y) = split_disjoint(&mut scratch.words[at.wide..], read, out);
                if pool.max {
                    ops::pool(pool, (&from, x), (&to, y), |v| v, |a, v| *a = v.max(*a), |a| a);
                } else {
                    let mean = |sum| ops::average_wide(sum, windows as i64);
                    ops::pool(pool, (&from, x), (&to, y), |v| v as i64, |a, v| *a += v as i64, mean);
                }
                continue;
            };
            let values = &mut scratch.bytes[at.values..];
            let (x, y) = if input == 0 {
                (&work.images[image * from.image()..][..from.image()], &mut values[out])
            } else {
                split_disjoint(values, read, out)
            };
            if pool.max {
                ops::pool(pool, (&from, x), (&to, y), |v| v, |a, v| *a = v.max(*a), |a| a);
            } else {
                let mean = |sum| ops::average_code(sum, windows as u64, grid.bits);
                ops::pool(pool, (&from, x), (&to, y), |v| v as u64, |a, v| *a += v as u64, mean);
            }
        }
    }

    fn add(&self, inputs: [usize; 2], index: usize, work: Work<'_>, scratch: &mut Scratch<'_>) {
        let (to, at) = (self.value(index + 1), &self.plan.at);
        let of = |v: &Value, image: usize| v.of(work.offset) + image * v.image();
        for image in 0..work.count {
            let out = at.wide + of(&to, image);
            for (which, &input) in inputs.iter().enumerate() {
                let from = self.value(input);
                let dequantize = from.grid.map(Dequantize::new);
                for row in 0..to.shape.rows {
                    for i in 0..to.row_pitch() {
                        let inside = from.first() + row * from.row_pitch() + i;
                        let number = match dequantize {
                            None => scratch.words[at.wide + of(&from, image) + inside],
                            Some(w) if input == 0 => w.wide(work.images[image * from.image() + inside]),
                            Some(w) => w.wide(scratch.bytes[at.values + of(&from, image) + inside]),
                        };
                        let y = &mut scratch.words[out + row * to.row_pitch() + i];
                        *y = if which == 0 { number } else { y.saturating_add(number) };
                    }
                }
            }
        }
    }
}

/// Two stretches of memory that do not overlap, one to read and one to write.
pub(crate) fn split_disjoint<T>(memory: &mut [T], read: Range<usize>, write: Range<usize>) -> (&[T], &mut [T]) {
    if read.start < write.start {
        let (low, high) = memory.split_at_mut(write.start);
        (&low[read], &mut high[..write.end - write.start])
    } else {
        let (low, high) = memory.split_at_mut(read.start);
        (&high[..read.end - read.start], &mut low[write])
    }
}

/// Codes `[output][lane]` to the values of the draws that share the lanes, within their borders.
fn distribute(
    l: &LinearStep,
    (channels, first, lanes): (usize, usize, usize),
    codes: &[u8],
    output: &Value,
    place: impl Fn(usize) -> usize,
    values: &mut [u8],
) {
    let mut lane = 0;
    while lane < lanes {
        let Some((copy, channel)) = l.channel(channels, first + lane) else { return };
        let run = ((channels + 1) * l.group_channels() - channel).min(lanes - lane);
        let start = place(copy) + output.first() + channel;
        // A dense layer's codes are one output per image, a convolution's one per place.
        let (rows, columns, pitch) = if l.whole() {
            (codes.len() / lanes, 1, output.image())
        } else {
            (output.shape.rows, output.shape.columns, output.row_pitch())
        };
        for row in 0..rows {
            let line = &mut values[start + row * pitch..][..(columns - 1) * l.channels + run];
            let from = &codes[row * columns * lanes + lane..];
            // What a block writes behind a run of a whole place, the next places overwrite.
            match run {
                ..=8 if channel == 0 => copy_runs::<8>(line, l.channels, from, lanes, run),
                9..=16 if channel == 0 => copy_runs::<16>(line, l.channels, from, lanes, run),
                _ => copy_runs::<0>(line, l.channels, from, lanes, run),
            }
        }
        lane += run;
    }
}

/// Copies runs of `run` bytes, from every `lanes`-th to every `channels`-th; as blocks of `N` where there is room for one.
fn copy_runs<const N: usize>(to: &mut [u8], channels: usize, from: &[u8], lanes: usize, run: usize) {
    let mut place = 0;
    for from in from.chunks(lanes).take(to.len().div_ceil(channels)) {
        let out = &mut to[place..];
        match (out.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
            (Some(out), Some(block)) if N > 0 => *out = *block,
            _ => out[..run].copy_from_slice(&from[..run]),
        }
        place += channels;
    }
}
