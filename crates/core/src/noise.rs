//! Noise by counter: Philox4x32-10, and the Gaussian as a table of integers.
//!
//! A counter-based generator has no state to carry: the noise of weight 17 of tensor 3 in draw 5 is a function of those
//! numbers and the seed. That is what makes a prediction depend on (model, seed, S) alone, and never on batch, threads,
//! instruction set or order.
//!
//! Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; checked below with
//! the known answers that their Random123 library publishes.

pub(crate) const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
pub(crate) const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Where a block of noise sits: everything that it depends on besides the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoiseCounter {
    /// What the noise is for (weights, pixels, shuffling …), so that two uses never share words.
    pub purpose: u32,
    /// The tensor, layer or epoch.
    pub tensor: u32,
    /// The draw or training step.
    pub draw: u32,
}

/// The Philox key of a 64-bit seed.
pub const fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Four random words: Philox4x32-10 of a counter under a key.
#[inline]
pub fn philox4x32_10(counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let mut x = counter;
    for _ in 0..ROUNDS {
        let (p0, p1) = (x[0] as u64 * MULTIPLIER[0] as u64, x[2] as u64 * MULTIPLIER[1] as u64);
        x = [(p1 >> 32) as u32 ^ x[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ x[3] ^ key[1], p0 as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    x
}

/// Philox of `L` counters at once, words apart (`[word][lane]`): the same numbers as [`philox4x32_10`], in the shape
/// that a vectorizing compiler wants.
///
/// Every word has 64 bits to itself. A product then is one instruction and its high half one shift; the low half may
/// carry the high one along, because products read low halves only.
#[inline(always)]
pub fn philox_lanes<const L: usize>(counter: [[u32; L]; 4], mut key: [u32; 2]) -> [[u32; L]; 4] {
    const LOW: u64 = 0xffff_ffff;
    // Loops, not `map`: that is a call, which falls out of a caller's vectorized code.
    let mut x = [[0u64; L]; 4];
    for (wide, word) in x.iter_mut().zip(&counter) {
        wide.iter_mut().zip(word).for_each(|(wide, &word)| *wide = word as u64);
    }
    for _ in 0..ROUNDS {
        #[expect(clippy::needless_range_loop, reason = "four arrays advance together")]
        for lane in 0..L {
            let product0 = (x[0][lane] & LOW) * MULTIPLIER[0] as u64;
            let product1 = (x[2][lane] & LOW) * MULTIPLIER[1] as u64;
            x[0][lane] = (product1 >> 32) ^ x[1][lane] ^ key[0] as u64;
            x[1][lane] = product1;
            x[2][lane] = (product0 >> 32) ^ x[3][lane] ^ key[1] as u64;
            x[3][lane] = product0;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    let mut words = [[0u32; L]; 4];
    for (word, wide) in words.iter_mut().zip(&x) {
        word.iter_mut().zip(wide).for_each(|(word, &wide)| *word = wide as u32);
    }
    words
}

/// Words of `L` consecutive blocks at a place: block `first + lane` in each lane.
#[inline(always)]
pub fn block_lanes<const L: usize>(key: [u32; 2], place: NoiseCounter, first: u32) -> [[u32; L]; 4] {
    let mut index = [0u32; L];
    for (lane, slot) in index.iter_mut().enumerate() {
        *slot = first.wrapping_add(lane as u32);
    }
    philox_lanes([index, [place.tensor; L], [place.draw; L], [place.purpose; L]], key)
}

/// Words of one block at a place.
#[inline]
pub fn block(key: [u32; 2], place: NoiseCounter, index: u32) -> [u32; 4] {
    philox4x32_10([index, place.tensor, place.draw, place.purpose], key)
}

/// Fills `out` with a place's noise from block `first` on, 16 bytes a block: words little-endian, one after the other.
pub fn fill(key: [u32; 2], place: NoiseCounter, first: u32, out: &mut [u8]) {
    for (i, chunk) in out.chunks_mut(16).enumerate() {
        let words = block(key, place, first.wrapping_add(i as u32));
        for (byte, slot) in words.iter().flat_map(|w| w.to_le_bytes()).zip(chunk) {
            *slot = byte;
        }
    }
}

/// Fraction bits of [`GAUSSIAN`]: an entry of 4096 is one standard deviation.
pub const GAUSSIAN_FRACTION_BITS: u32 = 12;

/// The integer Gaussian: entry `i` of the distribution cut into 256 cells of equal probability, in units of 2^-12
/// standard deviations.
///
/// Each entry is its cell's mean, scaled so that the table as a whole has mean 0 (exactly: it is antisymmetric) and
/// variance 1 (within 1e-5). Eight random bits choose an entry; the largest is 2.97 standard deviations.
pub static GAUSSIAN: [i16; 256] = gaussian();

const fn gaussian() -> [i16; 256] {
    let mut table = [0i16; 256];
    let mut i = 0;
    while i < 128 {
        table[128 + i] = POSITIVE_HALF[i];
        table[127 - i] = -POSITIVE_HALF[i];
        i += 1;
    }
    table
}

/// Means of the 128 positive cells: 256 * (pdf(lower edge) - pdf(upper edge)), rescaled to unit variance, times 4096.
#[rustfmt::skip]
const POSITIVE_HALF: [i16; 128] = [
    20, 60, 100, 140, 181, 221, 261, 301, 341, 382, 422, 462, 503, 543, 584, 624,
    665, 706, 746, 787, 828, 869, 910, 951, 993, 1034, 1075, 1117, 1159, 1201, 1242, 1285,
    1327, 1369, 1412, 1454, 1497, 1540, 1583, 1627, 1670, 1714, 1758, 1802, 1846, 1890, 1935, 1980,
    2025, 2071, 2117, 2163, 2209, 2255, 2302, 2349, 2397, 2445, 2493, 2541, 2590, 2639, 2689, 2739,
    2789, 2840, 2891, 2943, 2995, 3048, 3101, 3154, 3209, 3263, 3319, 3375, 3431, 3489, 3547, 3605,
    3665, 3725, 3786, 3848, 3911, 3975, 4039, 4105, 4172, 4240, 4309, 4380, 4451, 4524, 4599, 4675,
    4753, 4832, 4914, 4997, 5082, 5170, 5260, 5353, 5449, 5548, 5650, 5755, 5865, 5979, 6098, 6222,
    6352, 6489, 6634, 6787, 6951, 7126, 7316, 7523, 7750, 8005, 8295, 8635, 9046, 9578, 10352, 12166,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_answers_of_random123() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32_10([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    proptest! {
        #[test]
        fn lanes_are_blocks(seed: u64, first: u32, tensor: u32, draw: u32) {
            let place = NoiseCounter { purpose: 3, tensor, draw };
            let lanes = block_lanes::<16>(key(seed), place, first);
            for lane in 0..16u32 {
                let one = block(key(seed), place, first.wrapping_add(lane));
                prop_assert_eq!(one, [0, 1, 2, 3].map(|w: usize| lanes[w][lane as usize]));
            }
        }
    }

    #[test]
    fn the_table_is_a_standard_gaussian() {
        let sum: i64 = GAUSSIAN.iter().map(|&v| v as i64).sum();
        assert_eq!(sum, 0);
        let squares: i64 = GAUSSIAN.iter().map(|&v| (v as i64).pow(2)).sum();
        let one = 256i64 << (2 * GAUSSIAN_FRACTION_BITS);
        assert!((squares - one).abs() * 100_000 <= one, "variance {squares} / {one}");
        assert!(GAUSSIAN.windows(2).all(|w| w[0] < w[1]));
    }
}
