//! Noise for training and float inference, from core's counter-based generator.
//!
//! Every use has a purpose number, so that no two uses share words; every value is a function of (seed, place, index),
//! so that results do not depend on threads and a resumed run needs no generator state.

use crate::math::{cos_sin_turn, ln, vectorized};
use qbnn_core::noise::{NoiseCounter, block_lanes};

/// What noise is for: the `purpose` of a [`NoiseCounter`].
pub mod purpose {
    /// Gaussian noise of weight draws, float.
    pub const WEIGHTS: u32 = 1;
    /// Table noise and rounding bits of quantized weight draws.
    pub const CODES: u32 = 2;
    /// Noise on training inputs.
    pub const PIXELS: u32 = 3;
    /// Order of the training pairs.
    pub const SHUFFLE: u32 = 4;
    /// Initial means.
    pub const INITIAL: u32 = 5;
    /// Noise on activations (local reparameterization).
    pub const ACTIVATIONS: u32 = 6;
    /// Signs on inputs and outputs (flipout).
    pub const SIGNS: u32 = 7;
    /// Orders of the points at which an analytic pass is read out.
    pub const POINTS: u32 = 8;
    /// Blends of training images with OOD images.
    pub const BLENDS: u32 = 9;
    /// Added to a purpose when it serves prediction, so that no prediction reuses a training draw.
    pub const PREDICTION: u32 = 64;
}

const LANES: usize = 16;

/// Fills `out` from the words of 16 blocks at a time, each made into `N` values by `make`.
#[inline(always)]
fn fill<T: Copy, const N: usize>(
    key: [u32; 2],
    place: NoiseCounter,
    first: u32,
    out: &mut [T],
    make: impl Fn([[u32; LANES]; 4]) -> [T; N],
) {
    let mut block = first;
    let mut chunks = out.chunks_exact_mut(N);
    for chunk in &mut chunks {
        // A whole chunk is copied as a value, not by a call.
        if let Some(chunk) = chunk.first_chunk_mut::<N>() {
            *chunk = make(block_lanes::<LANES>(key, place, block));
        }
        block = block.wrapping_add(LANES as u32);
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty() {
        let values = make(block_lanes::<LANES>(key, place, block));
        rest.copy_from_slice(&values[..rest.len()]);
    }
}

/// Numbers that [`normal`] makes at a time: a stretch of them may begin at every multiple.
pub const STRETCH: usize = 8 * LANES;

/// Fills `out` with standard normal numbers: Box and Muller's transform, two numbers of each 32-bit word. Its halves
/// give radius and angle in 65,536 steps each: fine enough for every moment that training could notice, with a largest
/// number of 4.9, at half the price of the generator.
pub fn normal(key: [u32; 2], place: NoiseCounter, out: &mut [f32]) {
    normal_from(key, place, 0, out);
}

/// As [`normal`], from number `first` (a multiple of [`STRETCH`]) on.
pub fn normal_from(key: [u32; 2], place: NoiseCounter, first: usize, out: &mut [f32]) {
    const STEP: f32 = 1.0 / 65_536.0;
    debug_assert!(first.is_multiple_of(STRETCH), "a stretch begins in the middle");
    let first = (first / 8) as u32;
    vectorized(
        #[inline(always)]
        || {
            fill(
                key,
                place,
                first,
                out,
                #[inline(always)]
                |words| {
                    let mut values = [0.0f32; STRETCH];
                    for (words, values) in words.iter().zip(values.as_chunks_mut::<{ 2 * LANES }>().0) {
                        for lane in 0..LANES {
                            let u = ((words[lane] >> 16) as i32 as f32 + 0.5) * STEP;
                            let v = (words[lane] & 0xffff) as i32 as f32 * STEP;
                            let radius = (-2.0 * ln(u)).sqrt();
                            let (cos, sin) = cos_sin_turn(v);
                            values[lane] = radius * cos;
                            values[LANES + lane] = radius * sin;
                        }
                    }
                    values
                },
            );
        },
    );
}

/// Fills `out` with random bytes, as `make` lays the generator's words out.
#[inline(always)]
fn byte_stream(
    key: [u32; 2],
    place: NoiseCounter,
    out: &mut [u8],
    make: impl Fn([[u32; LANES]; 4]) -> [u8; 16 * LANES],
) {
    vectorized(
        #[inline(always)]
        || fill(key, place, 0, out, make),
    );
}

/// Fills `out` with random bytes, 16 a block: byte `i` is byte `i % 16` of block `i / 16`, words little-endian.
pub fn bytes(key: [u32; 2], place: NoiseCounter, out: &mut [u8]) {
    byte_stream(
        key,
        place,
        out,
        #[inline(always)]
        |words| {
            let mut values = [0u8; 16 * LANES];
            for lane in 0..LANES {
                for (w, word) in words.iter().enumerate() {
                    values[16 * lane + 4 * w..][..4].copy_from_slice(&word[lane].to_le_bytes());
                }
            }
            values
        },
    );
}

/// Fills `out` with random bytes in the order in which the generator's lanes give them: cheaper than [`bytes`], for noise
/// that no file format describes.
pub fn loose_bytes(key: [u32; 2], place: NoiseCounter, out: &mut [u8]) {
    byte_stream(
        key,
        place,
        out,
        #[inline(always)]
        |words| {
            let mut values = [0u8; 16 * LANES];
            for (values, word) in values.as_chunks_mut::<4>().0.iter_mut().zip(words.as_flattened()) {
                *values = word.to_le_bytes();
            }
            values
        },
    );
}

/// Fills `out` with random signs, +1 or -1.
pub fn signs(key: [u32; 2], place: NoiseCounter, out: &mut [f32]) {
    let mut random = vec![0u8; out.len()];
    bytes(key, place, &mut random);
    for (sign, byte) in out.iter_mut().zip(random) {
        *sign = if byte & 1 == 0 { 1.0 } else { -1.0 };
    }
}

/// A permutation of `0..n`: Fisher and Yates' shuffle driven by 32-bit words of `place`.
pub fn permutation(key: [u32; 2], place: NoiseCounter, n: usize) -> Vec<u32> {
    let mut random = vec![0u8; 4 * n];
    bytes(key, place, &mut random);
    let mut order: Vec<u32> = (0..n as u32).collect();
    for i in (1..n).rev() {
        let word = u32::from_le_bytes([random[4 * i], random[4 * i + 1], random[4 * i + 2], random[4 * i + 3]]);
        // Multiply-shift: bias below i / 2^32.
        order.swap(i, ((word as u64 * (i as u64 + 1)) >> 32) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: NoiseCounter = NoiseCounter { purpose: purpose::WEIGHTS, tensor: 2, draw: 7 };

    #[test]
    fn normal_numbers_have_the_moments_and_the_tail() {
        let mut x = vec![0.0f32; 1_000_001];
        normal([1, 2], PLACE, &mut x);
        let n = x.len() as f64;
        let moment = |k: i32| x.iter().map(|&v| (v as f64).powi(k)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.004, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.006, "variance {}", moment(2));
        assert!(moment(3).abs() < 0.02, "third moment {}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.05, "fourth moment {}", moment(4));
        let beyond = x.iter().filter(|v| v.abs() > 3.0).count() as f64 / n;
        assert!((beyond - 0.0027).abs() < 0.0003, "beyond three sigma {beyond}");
    }

    #[test]
    fn a_prefix_is_a_prefix_and_places_differ() {
        let (mut long, mut short, mut other) = (vec![0.0; 1000], vec![0.0; 77], vec![0.0; 77]);
        normal([1, 2], PLACE, &mut long);
        normal([1, 2], PLACE, &mut short);
        normal([1, 2], NoiseCounter { draw: 8, ..PLACE }, &mut other);
        assert_eq!(long[..77], short[..]);
        assert_ne!(short, other);
    }

    #[test]
    fn a_permutation_holds_every_number_once() {
        let mut order = permutation([3, 4], PLACE, 1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
