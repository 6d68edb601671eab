//! AVX2, for the processors without AVX-512: products of bytes by `vpmaddubsw`, the other loops compiled from plain code.
//!
//! `vpmaddubsw` adds two products in 16 bits and saturates. Where an unsigned byte times a weight cannot reach that (twice
//! 255 * 64 fits), it is exact; otherwise the bytes' halves of four bits are multiplied apart, which always fits.

use super::{Pointers, detected, kernel, tile};
use crate::code::Bits;
use crate::draw::{self, Rounding};
use crate::kernel::{Draw, Kernel, LANES, Output, Product, VECTOR, scalar};
use crate::noise::{Place, block_lanes};
use crate::pack as packing;
use core::arch::x86_64::*;

/// The kernel, for processors on which [`detected`] is true.
pub(super) const KERNEL: Kernel = kernel!("avx2");

/// Whether this processor can run the kernel.
pub(super) fn detected() -> bool {
    detected!("avx2")
}

#[target_feature(enable = "avx2")]
fn noise(key: [u32; 2], place: Place, first: u32, out: &mut [u8]) {
    const BLOCKS: usize = 16;
    let mut block = first;
    for chunk in out.chunks_mut(16 * BLOCKS) {
        let words = block_lanes::<BLOCKS>(key, place, block);
        let mut bytes = [0u8; 16 * BLOCKS];
        for lane in 0..BLOCKS {
            for (w, word) in words.iter().enumerate() {
                bytes[16 * lane + 4 * w..][..4].copy_from_slice(&word[lane].to_le_bytes());
            }
        }
        chunk.copy_from_slice(&bytes[..chunk.len()]);
        block = block.wrapping_add(BLOCKS as u32);
    }
}

#[target_feature(enable = "avx2")]
fn unpack(packed: &[u8], first: usize, bits: Bits, out: &mut [u8]) {
    if bits.get() == 4 && first.is_multiple_of(2) {
        let (pairs, rest) = out.as_chunks_mut::<2>();
        for (pair, &byte) in pairs.iter_mut().zip(&packed[first / 2..]) {
            *pair = [byte & 15, byte >> 4];
        }
        let last = first + 2 * pairs.len();
        rest.iter_mut().for_each(|slot| *slot = packing::get(packed, last, bits).unwrap_or(0));
    } else {
        for (i, slot) in out.iter_mut().enumerate() {
            *slot = packing::get(packed, first + i, bits).unwrap_or(0);
        }
    }
}

#[target_feature(enable = "avx2")]
fn draw(rows: &Draw<'_>, pitch: usize, out: &mut [i8]) {
    for (i, out) in out.chunks_mut(pitch).enumerate().take(rows.scales.len()) {
        let (scale, mu, sigma, noise) = rows.row(i);
        let mut levels = [0i16; 256];
        for (level, &t) in levels.iter_mut().zip(rows.levels) {
            *level = scale.level(t);
        }
        let codes = out.iter_mut().zip(mu.iter().zip(sigma));
        match rows.rounding {
            Rounding::Nearest => {
                for ((w, (&mu, &sigma)), &noise) in codes.zip(noise) {
                    let level = levels[sigma as usize];
                    *w = draw::weight(&scale, rows.mu_bits, rows.grid, mu, level, noise, None);
                }
            }
            Rounding::Stochastic => {
                for ((w, (&mu, &sigma)), &[noise, up]) in codes.zip(noise.as_chunks::<2>().0) {
                    let level = levels[sigma as usize];
                    *w = draw::weight(&scale, rows.mu_bits, rows.grid, mu, level, noise, Some(up));
                }
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn pack(rows: &[i8], pitch: usize, len: usize, strip: &mut [i8]) {
    let whole = len / 4;
    for lane in 0..LANES {
        let row = rows[lane * pitch..][..len].as_chunks::<4>().0;
        for (four, vector) in row.iter().zip(strip.chunks_exact_mut(VECTOR)) {
            vector[4 * lane..][..4].copy_from_slice(four);
        }
    }
    if whole * 4 < len {
        scalar::pack(&rows[4 * whole..], pitch, len % 4, &mut strip[whole * VECTOR..]);
    }
}

#[target_feature(enable = "avx2")]
fn product(p: &Product<'_>, mut output: Output<'_>) {
    // One pass over the weights is little beside the products; it decides how they are multiplied.
    let narrow = p.weights.iter().all(|w| (-64..=64).contains(w));
    for strip in 0..p.start.len() / LANES {
        if narrow {
            run::<4, true>(p, strip, &mut output);
        } else {
            run::<4, false>(p, strip, &mut output);
        }
    }
}

/// All windows with one strip.
#[target_feature(enable = "avx2")]
fn run<const P: usize, const NARROW: bool>(p: &Product<'_>, strip: usize, output: &mut Output<'_>) {
    match output {
        Output::Sums(out) => {
            for (i, origins) in p.origins.chunks(P).enumerate() {
                let sums = sums::<P, NARROW>(p, strip, &tile(origins));
                for (j, sums) in sums.iter().take(origins.len()).enumerate() {
                    out[(i * P + j) * p.start.len() + strip * LANES..][..LANES].copy_from_slice(sums);
                }
            }
        }
        Output::Codes { out, pitch, channels, pool, requantize } => {
            let lane = strip * LANES;
            let valid = channels.saturating_sub(lane).min(LANES);
            let mut put = |at: usize, sums: &[i32; LANES]| {
                for (i, (slot, &sum)) in out[at * *pitch..].iter_mut().skip(lane).zip(sums).take(valid).enumerate() {
                    *slot = scalar::code(requantize, lane + i, sum);
                }
            };
            if *pool == 1 {
                for (i, origins) in p.origins.chunks(P).enumerate() {
                    let sums = sums::<P, NARROW>(p, strip, &tile(origins));
                    sums.iter().take(origins.len()).enumerate().for_each(|(j, s)| put(i * P + j, s));
                }
                return;
            }
            for (i, window) in p.origins.chunks(*pool).enumerate() {
                let mut largest = [i32::MIN; LANES];
                for origins in window.chunks(P) {
                    for sums in sums::<P, NARROW>(p, strip, &tile(origins)) {
                        largest.iter_mut().zip(sums).for_each(|(l, s)| *l = s.max(*l));
                    }
                }
                put(i, &largest);
            }
        }
    }
}

/// The sums of `P` windows with one strip.
#[target_feature(enable = "avx2")]
#[inline]
fn sums<const P: usize, const NARROW: bool>(p: &Product<'_>, strip: usize, origins: &[usize; P]) -> [[i32; LANES]; P] {
    let (at, runs) = (Pointers::of(p), &p.runs);
    let starts = [0, 8].map(|half| {
        let start = &p.start[strip * LANES + half..][..8];
        // SAFETY: 8 words are 32 bytes.
        unsafe { _mm256_loadu_si256(start.as_ptr().cast()) }
    });
    let mut sums = [starts; P];
    let ones = _mm256_set1_epi16(1);
    let nibble = _mm256_set1_epi8(15);
    let mut vector = strip * runs.vectors() * VECTOR;
    for row in 0..runs.rows {
        for column in 0..runs.columns {
            let offset = row * runs.row_pitch + column * runs.column_pitch;
            for group in 0..runs.groups {
                // SAFETY: `Kernel::product` has checked that the weights hold `vectors()` vectors of every strip.
                let w = [0, 32].map(|half| unsafe { _mm256_loadu_si256(at.weights.add(vector + half).cast()) });
                for (sums, &origin) in sums.iter_mut().zip(origins) {
                    // SAFETY: it has checked that every window's extent, of which these are four bytes, lies inside.
                    let x = unsafe { at.input.add(origin + offset + 4 * group).cast::<i32>().read_unaligned() };
                    let x = _mm256_set1_epi32(x);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        let four = |x| _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones);
                        *sum = if NARROW {
                            _mm256_add_epi32(*sum, four(x))
                        } else {
                            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble);
                            let high = _mm256_slli_epi32::<4>(four(high));
                            _mm256_add_epi32(*sum, _mm256_add_epi32(four(_mm256_and_si256(x, nibble)), high))
                        };
                    }
                }
                vector += VECTOR;
            }
        }
    }
    sums.map(|halves| {
        let mut out = [0; LANES];
        for (part, half) in out.chunks_exact_mut(8).zip(halves) {
            // SAFETY: 8 words are 32 bytes.
            unsafe { _mm256_storeu_si256(part.as_mut_ptr().cast(), half) };
        }
        out
    })
}
