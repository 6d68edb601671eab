//! Random numbers that are the same on every machine: a counter hashed by SplitMix64's finaliser.
//!
//! Number n of a stream is a function of (seed, stream, n) alone. Floats are made from integers by exact operations,
//! and the Gaussian is a sum of uniforms, so that no platform's `ln` or `cos` can change a bit.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    key: u64,
    count: u64,
}

impl Random {
    /// The stream of this name under this seed; streams do not disturb each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { key: mix(mix(seed) ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93)), count: 0 }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        mix(self.key.wrapping_add(self.count.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// Uniform in 0..1, a multiple of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in low..high.
    pub(crate) fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform whole number in 0..n, and 0 for n = 0; the bias is below n / 2^64.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// Mean 0, variance 1, within -6..6: the sum of twelve uniforms, less 6.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bits_never_change() {
        let mut random = Random::new(7, 3);
        let bits: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(bits, KNOWN);
    }

    const KNOWN: [u64; 3] = [0xe687_4bad_c8cd_8537, 0x6c88_6607_7bf6_24df, 0x1780_cf86_7bf4_1a29];

    #[test]
    fn moments_are_those_announced() {
        let mut random = Random::new(1, 2);
        let n = 100_000;
        let (mut sum, mut square, mut unit) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = random.normal();
            sum += x;
            square += x * x;
            unit += random.unit();
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.02 && (square / n - 1.0).abs() < 0.02 && (unit / n - 0.5).abs() < 0.01);
    }

    #[test]
    fn whole_numbers_reach_both_ends() {
        let mut random = Random::new(1, 2);
        let mut seen = [false; 5];
        (0..200).for_each(|_| seen[random.below(5) as usize] = true);
        assert_eq!(seen, [true; 5]);
        assert_eq!(random.below(0), 0);
    }
}
