//! Bootstrap over inputs, stratified by group (Efron 1979; Efron and Tibshirani 1993, chapter 13): percentile intervals, and
//! for an AUROC, whose replicates are skewed near 1, a normal interval on the logit scale.
//!
//! A resample is a vector of counts per input, see [`crate::PooledScores`]. It depends on the
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

    /// Writes resample number `resample` as counts per pooled input; each group's counts sum to its size. A count is one
    /// byte, so that those of millions of inputs stay in a processor's cache; that an input is taken more than 255 times
    /// has a probability below 1e-500, and would leave it at 255.
    pub fn fill(&self, resample: u64, counts: &mut Vec<u8>) {
        counts.clear();
        counts.resize(self.groups.iter().sum(), 0);
        let mut generator = SplitMix::new(self.seed, resample);
        let mut rest = counts.as_mut_slice();
        for &size in &self.groups {
            let (group, after) = rest.split_at_mut(size);
            for _ in 0..size {
                let count = &mut group[generator.below(size)];
                *count = count.saturating_add(1);
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

/// Of an AUROC: `value` and the standard deviation of its replicates, taken to the logit scale (the delta method), where
/// the interval is normal, and back. Near 1 an AUROC's distribution is skewed, which a percentile interval gets wrong:
/// `examples/coverage.rs` measures both.
///
/// An AUROC of 1 (or 0) has replicates that are all the same, and its interval is not a point: `pairs` disjoint pairs of a
/// positive and a negative, as many as the smaller side has inputs, were all ordered rightly, which bounds the AUROC as
/// the exact interval of a proportion does (Clopper and Pearson 1934).
///
/// `None` without replicates, or if any of them is undefined.
pub fn logit_interval(value: f64, replicates: &[Option<f64>], pairs: usize) -> Option<Interval> {
    /// Quantile 0.975 of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    let all: Vec<f64> = replicates.iter().copied().collect::<Option<_>>()?;
    if all.is_empty() || pairs == 0 || !(0.0..=1.0).contains(&value) {
        return None;
    }
    let bound = 0.025f64.powf(1.0 / pairs as f64);
    if value == 1.0 {
        return Some([bound, 1.0]);
    }
    if value == 0.0 {
        return Some([0.0, 1.0 - bound]);
    }
    let n = all.len() as f64;
    let mean = all.iter().sum::<f64>() / n;
    let variance = all.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let logit = (value / (1.0 - value)).ln();
    let reach = Z * variance.sqrt() / (value * (1.0 - value));
    let back = |x: f64| 1.0 / (1.0 + (-x).exp());
    Some([back(logit - reach), back(logit + reach)])
}

/// Of an AUPR of 1, whose replicates are all 1: down to the least AUPR that an AUROC at the lower end of its own interval
/// ([`logit_interval`]) allows, of so many positives and negatives.
///
/// With F(r) the false positive rate at recall r, r and F in one order, an AUPR is 1 less the mean over r of
/// c F / (r + c F), c negatives to one positive; an AUROC is 1 less the mean of F. For a given mean the loss is greatest
/// where F is the same at every recall: it is concave in F, and F cannot be greater where r is less. There it is
/// x ln (1 + 1 / x) with x = c F.
pub(crate) fn interval_of_perfect_aupr(positives: usize, negatives: usize) -> Option<Interval> {
    let [bound, _] = logit_interval(1.0, &[Some(1.0)], positives.min(negatives))?;
    let x = (1.0 - bound) * negatives as f64 / positives as f64;
    Some([1.0 - x * (1.0 / x).ln_1p(), 1.0])
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
        let (mut a, mut b) = (vec![], vec![9u8; 40]);
        resampler.fill(3, &mut a);
        resampler.fill(3, &mut b);
        assert_eq!(a, b);
        assert_eq!((a.len(), a[..5].iter().sum::<u8>(), a[5..].iter().sum::<u8>()), (8, 5, 3));
        resampler.fill(4, &mut b);
        assert_ne!(a, b);
    }

    #[test]
    fn every_input_is_drawn_once_on_average() {
        let resampler = Resampler::new(1, &[50]);
        let (mut sums, mut counts) = (vec![0u32; 50], vec![]);
        for r in 0..4000 {
            resampler.fill(r, &mut counts);
            sums.iter_mut().zip(&counts).for_each(|(s, &c)| *s += u32::from(c));
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

    #[test]
    fn the_interval_of_a_perfect_aupr_is_that_of_its_auroc() {
        // 50 pairs: AUROC at least 0.9289, so a share of 0.0711 of the negatives above all positives is the worst.
        let [low, high] = interval_of_perfect_aupr(50, 50).unwrap();
        let n = 100_000;
        let precision = |i: usize| (i as f64 + 0.5) / (i as f64 + 0.5 + n as f64 * 0.071_1);
        let mean = (0..n).map(precision).sum::<f64>() / n as f64;
        assert!((low - mean).abs() < 2e-4 && high == 1.0, "{low} {mean}");
        assert!(interval_of_perfect_aupr(50, 500).unwrap()[0] < low);
        assert_eq!(interval_of_perfect_aupr(0, 5), None);
    }

    #[test]
    fn the_interval_of_an_auroc_stays_within_its_range() {
        let replicates: Vec<_> = (0..=100).map(|i| Some(0.98 + 0.0002 * f64::from(i))).collect();
        let [low, high] = logit_interval(0.99, &replicates, 50).unwrap();
        // Standard deviation 0.00586, so 0.0115 to each side if it were normal: here more below than above.
        assert!((low - 0.9689).abs() < 5e-4 && (high - 0.9968).abs() < 5e-4, "{low} {high}");
        // 0.025^(1/50): the textbook bound of 50 successes out of 50 is 0.9289.
        let [low, high] = logit_interval(1.0, &replicates, 50).unwrap();
        assert!((low - 0.9289).abs() < 5e-5 && high == 1.0, "{low} {high}");
        assert_eq!(logit_interval(0.9, &[], 5), None);
        assert_eq!(logit_interval(0.9, &[Some(0.9), None], 5), None);
    }
}
