//! The specification: every loop written as its definition says, for any processor.

#![forbid(unsafe_code)]

use super::{Draw, Kernel, LANES, Output, Product, Requantize, VECTOR};
use crate::code::Bits;
use crate::draw::{self, Rounding};
use crate::fixed::requantize;
use crate::noise::{self, Place};
use crate::pack;

/// The kernel that every processor has.
pub const KERNEL: Kernel = Kernel { name: "scalar", noise, unpack, draw, pack, product };

fn noise(key: [u32; 2], place: Place, first: u32, out: &mut [u8]) {
    for (i, chunk) in out.chunks_mut(16).enumerate() {
        let words = noise::block(key, place, first.wrapping_add(i as u32));
        for (byte, slot) in words.iter().flat_map(|w| w.to_le_bytes()).zip(chunk) {
            *slot = byte;
        }
    }
}

fn unpack(packed: &[u8], first: usize, bits: Bits, out: &mut [u8]) {
    for (i, slot) in out.iter_mut().enumerate() {
        *slot = pack::get(packed, first + i, bits).unwrap_or(0);
    }
}

fn draw(rows: &Draw<'_>, pitch: usize, out: &mut [i8]) {
    for (i, out) in out.chunks_mut(pitch).enumerate().take(rows.scales.len()) {
        let (scale, mu, sigma, noise) = rows.row(i);
        for (i, w) in out[..rows.len].iter_mut().enumerate() {
            let level = scale.level(rows.levels[sigma[i] as usize & (rows.levels.len() - 1)]);
            let (noise, rounding) = match rows.rounding {
                Rounding::Nearest => (noise[i], None),
                Rounding::Stochastic => (noise[2 * i], Some(noise[2 * i + 1])),
            };
            *w = draw::weight(&scale, rows.mu_bits, rows.grid, mu[i], level, noise, rounding);
        }
    }
}

pub(super) fn pack(rows: &[i8], pitch: usize, len: usize, strip: &mut [i8]) {
    for (i, slot) in strip.iter_mut().enumerate() {
        let (lane, input) = (i / 4 % LANES, i / VECTOR * 4 + i % 4);
        *slot = if input < len { rows[lane * pitch + input] } else { 0 };
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
