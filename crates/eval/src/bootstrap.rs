//! Percentile bootstrap over inputs, stratified by group (Efron 1979; Efron and Tibshirani 1993, chapter 13).
//!
//! A resample is a vector of counts per input, see [`crate::weighted`](crate::WeightedAuroc). It depends on the
//! seed, its own number and the group sizes alone: two models on the same inputs meet the same resamples, so the
//! paired difference of a metric is the difference of their replicates, one by one.

/// A 95 % interval `[lo, hi]`.
pub type Interval = [f64; 2];

/// Draws resamples: each group is drawn from itself with replacement, as many times as it has inputs.
#[derive(Debug, Clone)]
pub struct Resampler {
    seed: u64,
    groups: Vec<usize>,
}

impl Resampler {
    /// `groups` are the group sizes in the order in which the inputs are pooled.
    pub fn new(seed: u64, groups: &[usize]) -> Self {
        Self { seed, groups: groups.to_vec() }
    }

    /// Writes resample number `resample` as counts per pooled input; each group's counts sum to its size.
    pub fn fill(&self, resample: u64, counts: &mut Vec<u32>) {
        counts.clear();
        counts.resize(self.groups.iter().sum(), 0);
        let mut generator = SplitMix::new(self.seed, resample);
        let mut rest = counts.as_mut_slice();
        for &size in &self.groups {
            let (group, after) = rest.split_at_mut(size);
            for _ in 0..size {
                group[generator.below(size)] += 1;
            }
            rest = after;
        }
    }
}

/// The 2.5 % and 97.5 % percentiles of the replicates, linearly interpolated between neighbours (numpy's default).
/// `None` without replicates, or if any of them is undefined: an interval over the lucky resamples would be too narrow.
pub fn percentile_interval(replicates: &[Option<f64>]) -> Option<Interval> {
    let mut sorted: Vec<f64> = replicates.iter().copied().collect::<Option<_>>()?;
    if sorted.is_empty() {
        return None;
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |quantile: f64| {
        let place = quantile * (sorted.len() - 1) as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(sorted.len() - 1);
        sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
    };
    Some([at(0.025), at(0.975)])
}

/// SplitMix64 (Steele, Lea and Flood 2014): a counter through a 64-bit mix; small, fast, and good enough to pick
/// inputs. Not for secrets.
struct SplitMix {
    state: u64,
}

impl SplitMix {
    /// One stream per (seed, resample).
    fn new(seed: u64, resample: u64) -> Self {
        Self { state: mix(mix(seed) ^ resample) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// An index in `0..n`, n > 0, by multiplying high (Lemire 2019); uneven by n / 2^64 at most.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_its_published_answers() {
        // First outputs of SplitMix64 from state 1234567, as given by the reference implementation.
        let mut g = SplitMix { state: 1_234_567 };
        assert_eq!([g.next(), g.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn resamples_are_stratified_and_repeatable() {
        let resampler = Resampler::new(7, &[5, 0, 3]);
        let (mut a, mut b) = (vec![], vec![9; 40]);
        resampler.fill(3, &mut a);
        resampler.fill(3, &mut b);
        assert_eq!(a, b);
        assert_eq!((a.len(), a[..5].iter().sum::<u32>(), a[5..].iter().sum::<u32>()), (8, 5, 3));
        resampler.fill(4, &mut b);
        assert_ne!(a, b);
    }

    #[test]
    fn every_input_is_drawn_once_on_average() {
        let resampler = Resampler::new(1, &[50]);
        let (mut sums, mut counts) = (vec![0u32; 50], vec![]);
        for r in 0..4000 {
            resampler.fill(r, &mut counts);
            sums.iter_mut().zip(&counts).for_each(|(s, c)| *s += c);
        }
        // Standard deviation of a sum is about 63.
        assert!(sums.iter().all(|s| s.abs_diff(4000) < 320), "{sums:?}");
    }

    #[test]
    fn percentiles_interpolate() {
        let replicates: Vec<_> = (0..=1000).map(|i| Some(f64::from(i))).collect();
        assert_eq!(percentile_interval(&replicates), Some([25.0, 975.0]));
        assert_eq!(percentile_interval(&[Some(2.0)]), Some([2.0, 2.0]));
        assert_eq!(percentile_interval(&[]), None);
        assert_eq!(percentile_interval(&[Some(1.0), None]), None);
    }
}
