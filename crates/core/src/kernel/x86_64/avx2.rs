//! 256 bits, for the processors without AVX-512 or with little of it: products by whatever instruction there is, the other
//! loops compiled from plain code for AVX2.
//!
//! `vpmaddubsw` adds two products in 16 bits and saturates. Where an unsigned byte times a weight cannot reach that (twice
//! 255 * 64 fits), it is exact; otherwise the bytes' halves of four bits are multiplied apart, which always fits. The
//! dot-product instruction of AVX-VNNI, or of AVX-512 in its 256-bit form, has no such trouble.

use super::products::products;
use super::{Pointers, detected, kernel, tile};
use crate::code::Bits;
use crate::draw::PURPOSE;
use crate::kernel::{Codes, Draw, Kernel, LANES, Output, Product, VECTOR, scalar};
use crate::noise::{GAUSSIAN, philox_lanes};
use crate::pack as packing;
use core::arch::x86_64::*;

/// The kernel, for processors on which [`detected`] is true.
pub(super) const KERNEL: Kernel = kernel!("avx2");

/// Whether this processor can run the kernel.
pub(super) fn detected() -> bool {
    detected!("avx2")
}

products!(
    "avx2",
    // One pass over the weights is little beside the products; it decides how they are multiplied.
    |p: &Product<'_>| p.weights.iter().all(|w| (-64..=64).contains(w)),
    |sum, x, w, narrow: bool| {
        let four = |x| _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1));
        if narrow {
            _mm256_add_epi32(sum, four(x))
        } else {
            let nibble = _mm256_set1_epi8(15);
            let high = _mm256_slli_epi32::<4>(four(_mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble)));
            _mm256_add_epi32(sum, _mm256_add_epi32(four(_mm256_and_si256(x, nibble)), high))
        }
    }
);

/// Processors with AVX-VNNI.
pub(super) mod avxvnni {
    use super::*;

    pub(in super::super) const KERNEL: Kernel = kernel!("avxvnni");

    pub(in super::super) fn detected() -> bool {
        detected!("avx2", "avxvnni")
    }

    products!("avx2,avxvnni", |_: &Product<'_>| true, |sum, x, w, _| _mm256_dpbusd_avx_epi32(sum, x, w));
}

/// Processors with VNNI in AVX-512, but without the byte look-ups of the full kernel.
pub(super) mod avx512vl {
    use super::*;

    pub(in super::super) const KERNEL: Kernel = kernel!("avx512vl");

    pub(in super::super) fn detected() -> bool {
        detected!("avx2", "avx512f", "avx512vl", "avx512vnni")
    }

    products!("avx2,avx512f,avx512vl,avx512vnni", |_: &Product<'_>| true, |sum, x, w, _| _mm256_dpbusd_epi32(
        sum, x, w
    ));
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
fn pack(rows: &[u8], at: &[usize; LANES], len: usize, strip: &mut [u8]) {
    strip.fill(0);
    for (lane, &at) in at.iter().enumerate() {
        for (four, vector) in rows[at..][..len].chunks(4).zip(strip.chunks_exact_mut(VECTOR)) {
            vector[4 * lane..][..four.len()].copy_from_slice(four);
        }
    }
}

/// As [`scalar::KERNEL`] lays them.
#[target_feature(enable = "avx2")]
fn moments(codes: &Codes<'_>, out: &mut [i32]) {
    scalar::moments(codes, out);
}

#[target_feature(enable = "avx2")]
fn draw(draw: &Draw<'_>, noise: &mut [i32], out: &mut [i8], sums: Option<&mut [i32; LANES]>) {
    let (each, lanes) = (draw.rounding.noise_bytes(), draw.lanes);
    // The noise of every lane, word by word.
    let last = lanes.byte.iter().max().map_or(0, |&b| b as usize) + draw.noise_bytes();
    let (words, _) = noise.as_chunks_mut::<LANES>();
    for (b, words) in words.as_chunks_mut::<4>().0.iter_mut().enumerate().take(last.div_ceil(16)) {
        let mut counter = [lanes.block, [draw.tensor; LANES], lanes.draw, [PURPOSE; LANES]];
        counter[0].iter_mut().for_each(|block| *block = block.wrapping_add(b as u32));
        let noise = philox_lanes::<LANES>(counter, draw.key);
        for (words, noise) in words.iter_mut().zip(noise) {
            *words = noise.map(|word| word as i32);
        }
    }
    let (low, high) = (draw.grid.min(), draw.grid.max());
    let groups = draw.groups();
    // Numbers of 32 bits throughout, and a place for each: what the compiler turns into vectors.
    let fractions: [i32; VECTOR] = core::array::from_fn(|j| lanes.fraction[j / 4] as i32);
    let vectors = out.as_chunks_mut::<VECTOR>().0.iter_mut().zip(draw.moments.as_chunks::<VECTOR>().0);
    for (i, (out, moments)) in vectors.enumerate() {
        let (mut eps, mut up) = ([0i32; VECTOR], [0i32; VECTOR]);
        let first = (i / groups * draw.run_len + i % groups * 4) * each;
        for lane in 0..LANES {
            let at = first + lanes.byte[lane] as usize;
            let [a, b, c] = [0, 1, each].map(|i| words[at / 4 + i][lane] as u32 as u64);
            let four = (a | b << 32) >> (at % 4 * 8);
            if each == 1 {
                for j in 0..4 {
                    eps[4 * lane + j] = GAUSSIAN[(four >> (8 * j)) as u8 as usize] as i32;
                }
            } else {
                let next = (b | c << 32) >> (at % 4 * 8);
                let eight = four & 0xffff_ffff | next << 32;
                for j in 0..4 {
                    eps[4 * lane + j] = GAUSSIAN[(eight >> (16 * j)) as u8 as usize] as i32;
                    up[4 * lane + j] = (eight >> (16 * j + 8)) as u8 as i32;
                }
            }
        }
        for j in 0..VECTOR {
            let (mean, level) = (moments[j] << 16 >> 16, moments[j] >> 16);
            let deviation = (eps[j] * level + (1 << 14)) >> 15;
            let sum = (mean + deviation).clamp(i16::MIN as i32, i16::MAX as i32) + (up[j] >> (8 - fractions[j]));
            out[j] = (sum >> fractions[j]).clamp(low, high) as i8;
        }
    }
    if let Some(sums) = sums {
        let mut places = [0i32; VECTOR];
        for vector in out.as_chunks::<VECTOR>().0 {
            places.iter_mut().zip(vector).for_each(|(sum, &w)| *sum += w as i32);
        }
        for (sum, four) in sums.iter_mut().zip(places.as_chunks::<4>().0) {
            *sum += four.iter().sum::<i32>();
        }
    }
}
