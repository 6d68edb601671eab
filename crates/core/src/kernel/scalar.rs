//! The specification: every loop written as its definition says, for any processor.

#![forbid(unsafe_code)]

use super::{Codes, Draw, Kernel, LANES, Output, Product, Requantize, VECTOR};
use crate::code::Bits;
use crate::draw;
use crate::fixed::requantize;
use crate::noise;
use crate::pack;

/// The kernel that every processor has.
pub const KERNEL: Kernel = Kernel { name: "scalar", unpack, pack, moments, draw, product };

fn unpack(packed: &[u8], first: usize, bits: Bits, out: &mut [u8]) {
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = pack::get(packed, first + i, bits).unwrap_or(0);
    }
}

fn pack(rows: &[u8], at: &[usize; LANES], len: usize, strip: &mut [u8]) {
    for (i, slot) in strip.iter_mut().enumerate() {
        let (lane, input) = (i / 4 % LANES, i / VECTOR * 4 + i % 4);
        *slot = if input < len { rows[at[lane] + input] } else { 0 };
    }
}

/// Lane and input within its run of byte `i` of a strip.
fn place(i: usize, run_len: usize) -> (usize, usize) {
    let run = run_len.div_ceil(4) * VECTOR;
    (i / 4 % LANES, i % run / VECTOR * 4 + i % 4)
}

/// A word holds the mean in its low half (to the nearest code: and half a step), the level in its high half.
pub(super) fn moments(codes: &Codes<'_>, out: &mut [i32]) {
    for (i, word) in out.iter_mut().enumerate() {
        let (lane, input) = place(i, codes.run_len);
        let scale = &codes.scales[lane];
        let mean = scale.mean(codes.mu_bits, codes.mu[i], codes.rounding);
        let level = scale.level(codes.levels[codes.sigma[i] as usize & (codes.levels.len() - 1)]);
        // Behind the run's last input is a weight of 0, whatever its noise.
        let level = if input < codes.run_len { level } else { 0 };
        *word = (level as i32) << 16 | mean as u16 as i32;
    }
}

fn draw(draw: &Draw<'_>, _: &mut [i32], out: &mut [i8], mut sums: Option<&mut [i32; LANES]>) {
    let (each, lanes) = (draw.rounding.noise_bytes(), draw.lanes);
    for lane in 0..LANES {
        let (mut have, mut block) = (None, [0; 4]);
        for i in (0..out.len() / LANES).map(|i| i / 4 * VECTOR + 4 * lane + i % 4) {
            let run = i / (draw.groups() * VECTOR);
            let byte = lanes.byte[lane] as usize + (run * draw.run_len + place(i, draw.run_len).1) * each;
            if have != Some(byte / 16) {
                have = Some(byte / 16);
                let index = lanes.block[lane].wrapping_add((byte / 16) as u32);
                block = noise::block(draw.key, draw::counter(draw.tensor, lanes.draw[lane]), index);
            }
            let noise = |byte: usize| block[byte % 16 / 4].to_le_bytes()[byte % 4];
            let up = (each == 2).then(|| noise(byte + 1));
            let (mean, level) = (draw.moments[i] as i16, (draw.moments[i] >> 16) as i16);
            let w = draw::from_moments(lanes.fraction[lane], draw.grid, mean, level, noise(byte), up);
            out[i] = w;
            if let Some(sums) = &mut sums {
                sums[lane] += w as i32;
            }
        }
    }
}

/// The sum of one lane of one strip with one window.
fn sum(p: &Product<'_>, lane: usize, origin: i32) -> i32 {
    let (strip, lane_in_strip) = (lane / LANES, lane % LANES);
    let mut weights = p.weights[strip * p.runs.vectors() * VECTOR..].chunks_exact(VECTOR);
    let mut sum = p.start[lane];
    for row in 0..p.runs.rows {
        for column in 0..p.runs.columns {
            let at = origin as usize + row * p.runs.row_pitch + column * p.runs.column_pitch;
            for (x, w) in p.input[at..at + 4 * p.runs.groups].chunks_exact(4).zip(&mut weights) {
                for (&x, &w) in x.iter().zip(&w[4 * lane_in_strip..]) {
                    // Only the whole sum is known to fit: what precedes it may wrap around.
                    sum = sum.wrapping_add(x as i32 * w as i32);
                }
            }
        }
    }
    sum
}

/// The code of a sum: rescaled, rounded, clamped, made unsigned.
pub(crate) fn code(r: &Requantize<'_>, lane: usize, sum: i32) -> u8 {
    let multipliers = match r.negative {
        Some(negative) if sum < 0 => negative,
        _ => r.multipliers,
    };
    let code = requantize(sum, multipliers[lane], r.shift).clamp(r.low as i64, r.high as i64);
    (code as i32 + r.zero) as u8
}

fn product(p: &Product<'_>, output: Output<'_>) {
    match output {
        Output::Sums(out) => {
            for (sums, &origin) in out.chunks_exact_mut(p.start.len()).zip(p.origins) {
                sums.iter_mut().enumerate().for_each(|(lane, s)| *s = sum(p, lane, origin));
            }
        }
        Output::Codes { out, pitch, channels, pool, requantize } => {
            for (out, origins) in out.chunks_mut(pitch).zip(p.origins.chunks_exact(pool)) {
                for (lane, slot) in out[..channels].iter_mut().enumerate() {
                    let largest = origins.iter().map(|&origin| sum(p, lane, origin)).max();
                    *slot = code(&requantize, lane, largest.unwrap_or(0));
                }
            }
        }
    }
}
